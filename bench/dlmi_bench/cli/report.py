"""The command `report`: the accuracy-versus-cost report in every format."""

from pathlib import Path
from typing import Annotated

import typer

from dlmi_bench import api
from dlmi_bench.cli.options import JsonOption, OutOption, check_places, print_json


def report(
    out: OutOption = Path("out"),
    to: Annotated[Path | None, typer.Option("--to", help="Folder for the report; OUT/report by default.")] = None,
    format_: Annotated[
        list[str] | None, typer.Option("--format", help="md, html, csv, latex, json; all by default.")
    ] = None,
    against: Annotated[Path | None, typer.Option(help="Compare with the results in this folder.")] = None,
    reference: Annotated[
        str | None,
        typer.Option(help="Model to compare with; by default each table names its own."),
    ] = None,
    summary: Annotated[Path | None, typer.Option(help="Append a Markdown summary, as to GITHUB_STEP_SUMMARY.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Write the accuracy-versus-cost report."""
    check_places(summary)
    answer = api.report(out, to=to, formats=format_ or (), against=against, reference=reference, summary=summary)
    typer.echo(answer, err=as_json)
    if as_json:
        print_json({"files": [str(path) for path in answer.content]})
