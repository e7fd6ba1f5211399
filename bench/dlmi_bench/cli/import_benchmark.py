"""The command `import-benchmark`: results of pytest-benchmark into the store, labelled as imported."""

from pathlib import Path
from typing import Annotated

import typer

from dlmi_bench.cli.options import JsonOption, OutOption, print_json


def import_benchmark(
    file: Annotated[Path, typer.Argument(metavar="FILE.json", help="What pytest --benchmark-json wrote.")],
    out: OutOption = Path("out"),
    as_json: JsonOption = False,
) -> None:
    """Read a file of pytest-benchmark into the results; reports show it apart and rank nothing by it."""
    from dlmi_bench.cli.answers import ImportAnswer
    from dlmi_bench.store.pytest_benchmark import import_benchmarks

    record = import_benchmarks(file, out)
    if as_json:
        print_json(ImportAnswer(cell=record.cell.key, provenance=record.provenance, figures=record.figures))
    else:
        n = len(record.figures)
        typer.echo(f"{n} benchmarks imported; read them with: dlmi-bench report --out {out}")
