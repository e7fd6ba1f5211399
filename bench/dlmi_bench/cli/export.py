"""The command `export`: the results in the formats of other people's tools."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from dlmi_bench.cli.options import JsonOption, OutOption, print_json


class ExportFormat(StrEnum):
    jsonl = "jsonl"
    csv = "csv"
    parquet = "parquet"
    boamps = "boamps"
    mlbom = "mlbom"
    model_card = "model-card"


def export(
    format_: Annotated[list[ExportFormat], typer.Option("--format", help="May be repeated.")],
    out: OutOption = Path("out"),
    to: Annotated[Path | None, typer.Option("--to", help="Folder for the files; OUT/export by default.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Write the results for other tools: long form, model cards, ML-BOM, energy reports."""
    from dlmi_bench.store import Store
    from dlmi_reports import write_export

    written = write_export(Store(out, must_exist=True), to or out / "export", [f.value for f in format_])
    for path in written:
        typer.echo(path, err=as_json)
    if as_json:
        print_json({"files": [str(path) for path in written]})
