"""From the store to tables, plots and pages. Reads records; imports neither torch nor models nor tasks."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.store import Store


def write_report(store: "Store", folder: Path, formats: Sequence[str]) -> list[Path]:
    """Write the report in each of `formats` (md, html, csv) and the plots it needs; returns the files.

    Raises:
        StoreError: the store holds no finished cell.
    """
    from reports.formats import FORMATS
    from reports.load import load_results

    results = load_results(store)
    folder.mkdir(parents=True, exist_ok=True)
    return [path for name in formats for path in FORMATS[name](results, folder)]
