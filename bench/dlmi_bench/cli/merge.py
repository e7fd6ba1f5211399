"""The command `merge`: the stores of several machines or shards as one."""

from pathlib import Path
from typing import Annotated

import typer

from dlmi_bench.cli.options import JsonOption, print_json


def merge(
    stores: Annotated[list[Path], typer.Argument(metavar="STORE...", help="Folders of results.", show_default=False)],
    to: Annotated[Path, typer.Option("--to", help="New folder for all of them.", show_default=False)],
    as_json: JsonOption = False,
) -> None:
    """Write several stores into one. Cells that two finished with different results are refused, by name."""
    from dlmi_bench.cli.answers import MergeAnswer
    from dlmi_bench.store import Store
    from dlmi_bench.store.merge import merge_stores

    sources = [Store(folder, must_exist=True) for folder in stores]
    target = Store(to)
    n_attempts = merge_stores(sources, target)
    cells = target.current()
    if as_json:
        print_json(MergeAnswer(cells=len(cells), attempts=n_attempts, out=str(to)))
    else:
        counts = f"{len(cells)} cells, {n_attempts} attempts, from {len(stores)} stores"
        typer.echo(f"{counts}; read them with: dlmi-bench report --out {to}")
