"""Entry point of the command `dlmi-bench`, and of `python -m dlmi_bench`."""

from dlmi_bench.search_path import put_own_first


def main() -> None:
    """Run the command line, with this project's modules before any that the user's folders hold."""
    put_own_first()
    from dlmi_bench.cli.main import main as run

    run()


if __name__ == "__main__":
    main()
