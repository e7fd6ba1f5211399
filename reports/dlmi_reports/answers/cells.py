"""Cells of a table of answers as labels and numbers. What a spreadsheet has made of them is refused, not guessed."""

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlmi_bench.errors import DataError
from dlmi_reports.answers.table import AnswerTable

Numbers = NDArray[np.float64]
EMPTY = {"", "nan", "na", "n/a", "#n/a", "null"}
FORMULA = re.compile(r"[=@]|[+-](?=.*[(!])|[+-]\$?[A-Za-z]{1,3}\$?\d")
BROKEN = re.compile(r"#(REF!|VALUE!|DIV/0!|NAME\?|NUM!|NULL!)")
MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec|mai|okt|dez|m\u00e4r)[a-z]*\.?"
DATE = re.compile(
    rf"\d{{1,2}}[-. ]+{MONTH}(?:[-. ]+\d{{2,4}})?|{MONTH}[- ]\d{{1,4}}|\d{{4}}-\d\d-\d\d(?:[ T][\d:.]+)?"
    r"|\d{1,2}[./]\d{1,2}[./](?:\d\d|\d{4})",
    re.IGNORECASE,
)
WHOLE = re.compile(r"([+-]?\d+)\.0+")
COMMA = re.compile(r"[+-]?\d*,\d+(?:[eE][+-]?\d+)?")
MAX_NAME = 200
MAX_SHOWN = 60


def is_empty(cell: str) -> bool:
    """Tell whether a cell holds nothing, or what tables write for it."""
    return cell.lower() in EMPTY


def show(cell: object) -> str:
    """Quote a cell, cut to a length that fits a line."""
    text = str(cell)
    return repr(text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 1]}…")


def read_labels(table: AnswerTable, column: str, *, may_be_dates: bool = False) -> list[str]:
    """Read the labels of a column; a whole number is written without decimals, and a cell that holds none is empty.

    Raises:
        DataError: names the first cell that is a formula, an error of a spreadsheet or a date.
    """
    cells = table.columns[column]
    if isinstance(cells, np.ndarray):
        if cells.ndim != 1:
            raise DataError(f"{table.source}: {column!r} has the shape {cells.shape}", "give one label for each case")
        return ["" if value != value else _shorten(str(value)) for value in cells.tolist()]
    made = {cell: _shorten(cell) for cell in dict.fromkeys(cells)}
    for cell in made:
        if FORMULA.match(cell) or BROKEN.match(cell) or (not may_be_dates and DATE.fullmatch(cell)):
            raise _refuse(table, column, list(cells).index(cell), cell)
    return [made[cell] for cell in cells]


def _shorten(cell: str) -> str:
    whole = WHOLE.fullmatch(cell)
    return whole[1] if whole else "" if is_empty(cell) else cell


def _refuse(table: AnswerTable, column: str, row: int, cell: str) -> DataError:
    where = table.locate(row, column)
    if BROKEN.match(cell):
        return DataError(
            f"{where}: {show(cell)} is an error of a spreadsheet", "correct its formula, or empty the cell"
        )
    if FORMULA.match(cell):
        remedy = "formulas are never evaluated: paste the values, then save the table again"
        return DataError(f"{where}: {show(cell)} is a formula", remedy)
    remedy = "a spreadsheet may have made it of a label such as 1-2: give the column the type text, then enter it again"
    return DataError(f"{where}: {show(cell)} is a date, not a class", remedy)


def check_name(where: str, name: str) -> None:
    """Check that the name of an algorithm can be printed, and is no longer than a name.

    Raises:
        DataError: it cannot, or is.
    """
    if not name.isprintable() or len(name) > MAX_NAME:
        raise DataError(f"{where}: {show(name)} is no name", f"use printable letters, at most {MAX_NAME}")


def read_numbers(table: AnswerTable, column: str) -> Numbers:
    """Read the numbers of a column, NaN where a cell is empty.

    Raises:
        DataError: names the first cell that is no number.
    """
    numbers, row = find_numbers(table, column)
    if row is not None:
        cell = table.columns[column][row]
        if FORMULA.match(cell) or BROKEN.match(cell):
            raise _refuse(table, column, row, cell)
        remedy = "write numbers like 0.25, or 0,25 where semicolons or quotes separate the cells"
        raise DataError(f"{table.locate(row, column)}: {show(cell)} is not a number", remedy)
    return numbers


def find_numbers(table: AnswerTable, column: str) -> tuple[Numbers, int | None]:
    """Find the numbers of a column, and the first row that holds none and is not empty."""
    cells: Any = table.columns[column]
    if isinstance(cells, np.ndarray):
        return cells.astype(float), None
    numbers = np.full(len(cells), np.nan)
    for row, cell in enumerate(cells):
        if not is_empty(cell):
            try:
                numbers[row] = float(cell.replace(",", ".") if COMMA.fullmatch(cell) else cell)
            except ValueError:
                return numbers, row
            if not np.isfinite(numbers[row]) or "_" in cell:
                return numbers, row
    return numbers, None
