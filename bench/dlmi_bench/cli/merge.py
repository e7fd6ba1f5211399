"""The command `merge`: the stores of several machines or shards as one."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dlmi_bench.cli.options import JsonOption, print_json

if TYPE_CHECKING:
    from dlmi_bench.store.merge import Merged

PACE_S = 5.0  # between lines of progress
MAX_LINES = 20  # that are printed; --json has all
MAX_STORES = 5  # that a line names


def merge(
    stores: Annotated[list[Path], typer.Argument(metavar="STORE...", help="Folders of results.", show_default=False)],
    to: Annotated[Path, typer.Option("--to", help="New folder for all of them.", show_default=False)],
    prefer: Annotated[
        list[Path] | None,
        typer.Option("--prefer", help="Store whose results hold where two differ, one of STORE.", show_default=False),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write several stores into one. Cells that two finished with different results are refused, by name."""
    from dlmi_bench.cli.answers import MergeAnswer
    from dlmi_bench.store import Store
    from dlmi_bench.store.merge import check_preferred, merge_stores
    from dlmi_bench.store.shards import find_outstanding

    for folder in stores:
        Store(folder, must_exist=True).close()  # before anything is written
    check_preferred(prefer or (), stores)
    target = Store(to)
    merged = merge_stores(stores, target, prefer=prefer or (), tell=_make_pace())
    n_cells = target.count_cells()
    if as_json:
        answer = MergeAnswer(
            cells=n_cells,
            attempts=merged.n_attempts,
            out=str(to),
            stores=len(stores),
            conflicts=merged.conflicts,
            stands_out=tuple(find_outstanding(merged.shards)),
        )
        print_json(answer)
        return
    for line in _describe(merged):
        typer.echo(line)
    counts = f"{n_cells} cells, {merged.n_attempts} attempts, from {len(stores)} stores"
    typer.echo(f"{counts}; read them with: dlmi-bench report --out {to}")


def _describe(merged: "Merged") -> list[str]:
    """Say which conflicts were settled, and which stores stand out."""
    from dlmi_bench.store.shards import find_outstanding

    conflicts = [f"{c.cell}: that of {c.kept} holds, not that of {', '.join(c.others)}" for c in merged.conflicts]
    apart = [
        f"{found.what} {found.value}: {_name(found.stores)}; most have {found.most}"
        for found in find_outstanding(merged.shards)
    ]
    lines = _list("Finished differently, settled by --prefer", conflicts) + _list("Made differently", apart)
    alike = ["All are of one commit, one kind of machine and the same data."] if len(merged.shards) > 1 else []
    return lines or alike


def _list(title: str, lines: list[str]) -> list[str]:
    more = [f"  and {len(lines) - MAX_LINES} more; --json has all"] if len(lines) > MAX_LINES else []
    return [f"{title}:", *(f"  {line}" for line in lines[:MAX_LINES]), *more] if lines else []


def _name(stores: tuple[str, ...]) -> str:
    more = f" and {len(stores) - MAX_STORES} more" if len(stores) > MAX_STORES else ""
    return f"{', '.join(stores[:MAX_STORES])}{more}"


def _make_pace() -> Callable[[str], None]:
    """Make what prints a line of progress, not more often than every PACE_S, and none of what takes less."""
    last = time.monotonic()

    def tell(line: str) -> None:
        nonlocal last
        if time.monotonic() - last >= PACE_S:
            typer.echo(line, err=True)
            last = time.monotonic()

    return tell
