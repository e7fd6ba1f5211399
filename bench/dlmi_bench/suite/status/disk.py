"""Room on the disk of the results: how much a run will take, and whether it is there."""

import shutil
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from statistics import fmean

from dlmi_bench.errors import StoreError
from dlmi_bench.records import Cell, Record
from dlmi_bench.units import format_quantity

LEAST_BYTES = 32 << 20  # below, a run ends before everything in it fails


def estimate_bytes(cells: Iterable[Cell], records: Iterable[Record]) -> int | None:
    """Estimate what the files of these cells take [bytes], by those of other seeds, else of other models.

    None where nothing of their kind is stored. The same file made twice is kept once, so it is rather less.
    """
    sizes: defaultdict[object, list[int]] = defaultdict(list)
    for record in records:
        n_bytes, cell = sum(artifact.size_bytes for artifact in record.artifacts), record.cell
        sizes[cell.kind, cell.task, cell.model].append(n_bytes)
        sizes[cell.kind].append(n_bytes)
    found = [sizes.get((cell.kind, cell.task, cell.model)) or sizes.get(cell.kind) for cell in cells]
    known = [fmean(several) for several in found if several]
    return round(sum(known)) if known or not found else None


def find_free_bytes(folder: Path) -> int:
    """Free room on the disk of a folder, or of the nearest one above that exists [bytes]."""
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    return shutil.disk_usage(there).free


def check_room(folder: Path) -> None:
    """Check that something can still be written.

    Raises:
        StoreError: the disk is full.
    """
    free_bytes = find_free_bytes(folder)
    if free_bytes < LEAST_BYTES:
        cause = f"{folder}: its disk is full, {_format(free_bytes)} are left"
        raise StoreError(cause, "free some, then say the same command: what has ended is kept")


def describe_room(folder: Path, needed_bytes: int | None) -> str:
    """Say how much disk is needed and free; empty where nothing is known."""
    if needed_bytes is None:
        return ""
    free_bytes = find_free_bytes(folder)
    short = "; that is not enough" if needed_bytes > free_bytes else ""
    return f"disk: about {_format(needed_bytes)} to come, {_format(free_bytes)} free{short}"


def _format(n_bytes: int) -> str:
    return format_quantity(n_bytes, "bytes")
