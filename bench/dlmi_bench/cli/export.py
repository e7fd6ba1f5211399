"""The command `export`: the results in the formats of other tools."""

from pathlib import Path
from typing import Annotated

import typer

from dlmi_bench.cli.options import JsonOption, OutOption, print_json


def export(
    format_: Annotated[
        list[str],
        typer.Option(
            "--format",
            help="onnx, jsonl, csv, parquet, boamps, mlbom, model-card, checklist or methods-text; may be repeated.",
        ),
    ],
    out: OutOption = Path("out"),
    to: Annotated[Path | None, typer.Option("--to", help="Folder for the files; OUT/export by default.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Write the results for other tools: ONNX files, long form, model cards, checklists of a paper, ML-BOM, energy."""
    from dlmi_bench.cli.answers import FilesAnswer
    from dlmi_bench.store import Store
    from dlmi_reports import write_export
    from dlmi_reports.formats.registry import EXPORTS, check_formats

    check_formats(format_, EXPORTS)
    written = write_export(Store(out, must_exist=True), to or out / "export", format_)
    for path in written:
        typer.echo(path, err=as_json)
    if as_json:
        print_json(FilesAnswer(files=tuple(map(str, written))))
