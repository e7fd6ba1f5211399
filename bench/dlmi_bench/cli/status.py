"""The command `status`: a long run from outside."""

from pathlib import Path

from dlmi_bench.cli.options import JsonOption, OutOption, print_json, say


def status(out: OutOption = Path("out"), as_json: JsonOption = False) -> None:
    """Show what a run has done, does and has left, while it goes on or afterwards. Nothing is written."""
    from dlmi_bench.cli.answers import StatusAnswer
    from dlmi_bench.suite.status.summary import format_summary, summarise

    summary = summarise(out)
    if as_json:
        print_json(StatusAnswer.model_validate(summary.model_dump()))
    else:
        say(format_summary(summary))
