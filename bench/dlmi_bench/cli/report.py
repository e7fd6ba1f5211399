"""The command `report`: the accuracy-versus-cost report in every format."""

from pathlib import Path
from typing import Annotated

import typer

from dlmi_bench import api
from dlmi_bench.cli.claims import check_names
from dlmi_bench.cli.options import JsonOption, OutOption, check_places, print_json, show_answer


def report(
    out: OutOption = Path("out"),
    to: Annotated[Path | None, typer.Option("--to", help="Folder for the report; OUT/report by default.")] = None,
    format_: Annotated[
        list[str] | None, typer.Option("--format", help="md, html, csv, latex, json, table; all by default.")
    ] = None,
    against: Annotated[Path | None, typer.Option(help="Compare with the results in this folder.")] = None,
    reference: Annotated[
        str | None,
        typer.Option(help="Model to compare with; by default each table names its own."),
    ] = None,
    claims: Annotated[
        Path | None, typer.Option(help="Claims in TOML; by default OUT/claims.toml, or the course's about these tasks.")
    ] = None,
    summary: Annotated[Path | None, typer.Option(help="Append a Markdown summary, as to GITHUB_STEP_SUMMARY.")] = None,
    plots: Annotated[
        list[str] | None, typer.Option(help="pdf, png, svg: plots for a column of a paper, in TO/plots as well.")
    ] = None,
    columns: Annotated[
        list[str] | None,
        typer.Option(help="latency, parameters, macs, file, energy or training: costs in the joined tables."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write the accuracy-versus-cost report."""
    from dlmi_bench.cli.answers import FilesAnswer
    from dlmi_bench.store import Store

    check_places(summary)
    if claims:
        check_names(claims, Store(out, must_exist=True))
    answer = api.report(
        out,
        to=to,
        formats=format_ or (),
        against=against,
        reference=reference,
        claims=claims,
        summary=summary,
        plots=plots or (),
        columns=columns or (),
    )
    typer.echo(answer, err=as_json)
    if as_json:
        print_json(FilesAnswer(files=tuple(map(str, answer.content))))
    else:
        show_answer(out, claims=claims, against=against)
