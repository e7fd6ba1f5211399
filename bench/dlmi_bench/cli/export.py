"""The command `export`: the results in the formats of other tools."""

from pathlib import Path
from typing import Annotated

import typer

from dlmi_bench.cli.options import JsonOption, OutOption, print_json


def export(
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE.onnx]", help="With --format c: this file in place of results.")
    ] = None,
    *,
    format_: Annotated[
        list[str],
        typer.Option(
            "--format",
            help="onnx, c, jsonl, csv, parquet, boamps, mlbom, model-card, checklist or methods-text; may be repeated.",
        ),
    ],
    out: OutOption = Path("out"),
    float_weights: Annotated[
        bool,
        typer.Option("--float-weights", help="With --format c and a file: no weights in few bits; larger and faster."),
    ] = False,
    to: Annotated[Path | None, typer.Option("--to", help="Folder for the files; OUT/export by default.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Write the results for other tools: ONNX files, nets in C, long form, model cards, papers, ML-BOM, energy."""
    from dlmi_bench.cli.answers import FilesAnswer
    from dlmi_bench.errors import UsageError
    from dlmi_bench.store import Store
    from dlmi_reports import write_export
    from dlmi_reports.formats.registry import EXPORTS, check_formats

    check_formats(format_, EXPORTS)
    if float_weights and not file:
        raise UsageError("--float-weights goes with one ONNX file", "name the file, with --format c")
    if file:
        written = _write_file(file, to or out / "export" / "c" / file.stem, format_, is_packed=not float_weights)
    else:
        written = write_export(Store(out, must_exist=True), to or out / "export", format_)
    for path in written:
        typer.echo(path, err=as_json)
    if as_json:
        print_json(FilesAnswer(files=tuple(map(str, written))))


def _write_file(file: Path, folder: Path, formats: list[str], *, is_packed: bool) -> list[Path]:
    """Write one ONNX file in C; it has no results that the other formats could tell of."""
    from dlmi_bench.errors import UsageError
    from dlmi_bench.native.reading.file import read_net
    from dlmi_bench.native.writing.project import MANY_MACS, SLOW, write_project

    if formats != ["c"]:
        raise UsageError(f"{file}: an ONNX file is exported with --format c only", "leave it out to export results")
    written = write_project(file, folder, is_packed=is_packed)
    if read_net(file)[0].macs > MANY_MACS:
        typer.echo(f"note: {SLOW}", err=True)
    return written
