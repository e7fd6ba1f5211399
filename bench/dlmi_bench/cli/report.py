"""The command `report`: the accuracy-versus-cost report in every format."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dlmi_bench.cli.options import JsonOption, OutOption, print_json

if TYPE_CHECKING:
    from dlmi_bench.store import Store


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
    from dlmi_bench.store import Store
    from dlmi_reports import write_report
    from dlmi_reports.formats.registry import FORMATS, check_formats

    check_formats(format_ or (), FORMATS)
    written = write_report(
        Store(out, must_exist=True),
        to or out / "report",
        format_,
        against=Store(against, must_exist=True) if against else None,
        reference=reference,
        summary=summary,
    )
    for path in written:
        typer.echo(path, err=as_json)
    if as_json:
        print_json({"files": [str(path) for path in written]})


def write_default_report(store: "Store", folder: Path, *, is_quiet: bool) -> None:
    """Write all formats, at the end of a run."""
    from dlmi_reports import write_report

    for path in write_report(store, folder):
        typer.echo(path, err=is_quiet)
