"""Entry point of the command `dlmi-bench`, and of `python -m dlmi_bench`."""

import warnings

from dlmi_bench.search_path import put_own_first


def main() -> None:
    """Run the command line, with this project's modules before any that the user's folders hold."""
    put_own_first()
    warnings.filters[:] = [entry for entry in warnings.filters if entry[0] != "error"]  # type: ignore[index]
    from dlmi_bench.cli.main import main as run

    run()


if __name__ == "__main__":
    main()
