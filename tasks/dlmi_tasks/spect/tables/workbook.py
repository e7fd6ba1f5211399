"""Sheets of an .xlsx workbook as rows of text. It is a zip, so every size is checked before and while it is read."""

import io
import warnings
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from dlmi_bench.errors import UnavailableError
from dlmi_bench.extras import find_missing
from dlmi_bench.files import read_bytes
from dlmi_tasks.files.limits import MIB

MAX_BYTES, MAX_UNPACKED_BYTES = 64 * MIB, 512 * MIB
MAX_MEMBERS, MAX_SHEETS = 1000, 100
MAX_ROWS, MAX_COLUMNS, MAX_CELLS = 500_000, 4096, 50_000_000


@dataclass(frozen=True)
class Sheet:
    """One sheet, read as its rows are asked for. `epoch` is day 0 of its serial numbers."""

    epoch: date
    rows: Iterator[tuple[int, list[str]]]


def list_sheets(path: Path) -> Iterator[Sheet]:
    """Open a workbook and list its sheets.

    Raises:
        UnavailableError: openpyxl is not installed.
        ValueError: it is larger than allowed. Damage raises what the parsers raise.
    """
    if missing := find_missing("xlsx"):
        package, _, remedy = missing.partition("; ")
        raise UnavailableError(f"{path.name} is a workbook, and there is {package}; {remedy}", remedy)
    from openpyxl import load_workbook

    content = read_bytes(path, MAX_BYTES)
    _check_sizes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of styles and extensions, which hold no values
        book = load_workbook(io.BytesIO(content), read_only=True, data_only=True, keep_links=False)
        for sheet in book.worksheets[:MAX_SHEETS]:
            sheet.reset_dimensions()  # what a sheet says of its size is not always so
            yield Sheet(book.epoch.date(), _list_rows(sheet.iter_rows(values_only=True)))


def _check_sizes(content: bytes) -> None:
    members = zipfile.ZipFile(io.BytesIO(content)).infolist()
    if len(members) > MAX_MEMBERS:
        raise ValueError(f"a workbook of more than {MAX_MEMBERS} parts")
    if sum(member.file_size for member in members) > MAX_UNPACKED_BYTES:
        raise ValueError(f"holds more than {MAX_UNPACKED_BYTES // MIB} MiB")


def _list_rows(rows: Iterable[tuple[Any, ...]]) -> Iterator[tuple[int, list[str]]]:
    n_cells = 0
    for number, row in enumerate(rows, 1):
        n_cells += len(row)
        if number > MAX_ROWS or len(row) > MAX_COLUMNS or n_cells > MAX_CELLS:
            raise ValueError(f"longer than {MAX_ROWS} rows, {MAX_COLUMNS} columns or {MAX_CELLS} cells")
        yield number, [format_cell(cell) for cell in row]


def format_cell(cell: object) -> str:
    """Text of a cell as a .csv of the sheet would have it."""
    if cell is None:
        return ""
    if isinstance(cell, datetime):
        return cell.date().isoformat()
    if isinstance(cell, bool):
        return str(int(cell))
    return str(cell)
