"""Reader of one table: text with any delimiter and encoding that spreadsheets write, or a workbook.

Of a table that has no role the header is read and no more.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from itertools import chain, islice
from pathlib import Path

from dlmi_bench.errors import BenchError
from dlmi_bench.files import parsing
from dlmi_tasks.files.limits import list_lines
from dlmi_tasks.spect.tables.columns import find_doubled, match_columns
from dlmi_tasks.spect.tables.dates import read_serial
from dlmi_tasks.spect.tables.records import Problem
from dlmi_tasks.spect.tables.roles import LISTING, UNKNOWN, explain_unknown, find_role
from dlmi_tasks.spect.tables.workbook import list_sheets

DELIMITERS = ",;\t"
UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")
DATE_COLUMNS = ("Acq Date", "INFODT", "DATSCAN_DATE", "LAST_UPDATE")
# Of a table that is read; the study's largest of these kinds has some 40 000 rows.
MAX_LINES, MAX_LINE_CHARS, MAX_CHARS = 500_000, 1 << 20, 1 << 28
MAX_HEADER_LINES = 10  # of which all but the last may be blank
REMEDY = "download the table again as it is; do not edit or re-save it"

Rows = Iterator[tuple[int, list[str]]]  # number of the line, fields


@dataclass(frozen=True)
class Line:
    """One row of a table: its number in the file and the fields that matter, by the names in COLUMNS."""

    number: int
    fields: dict[str, str]


@dataclass(frozen=True)
class Table:
    """One table.

    Attributes:
        columns: Columns that matter and are there, by the names in COLUMNS.
        why: Reason why it is not used; empty where it is.
        problems: What was passed over in it.
    """

    path: Path
    role: str
    columns: frozenset[str]
    lines: list[Line] = field(default_factory=list)
    why: str = ""
    problems: list[Problem] = field(default_factory=list)

    def locate(self, line: Line) -> str:
        return f"{self.path}, line {line.number}"


def read_table(path: Path) -> Table | Problem:
    """Read a table, or say why it cannot be read."""
    try:
        with parsing(f"{path}: cannot be read as a table", REMEDY):
            return _read_workbook(path) if path.suffix.lower() == ".xlsx" else _read_text(path)
    except BenchError as error:
        return Problem(str(path), error.cause)


def is_listing(path: Path) -> bool:
    """Tell whether a table lists images, by its header alone; what cannot be read does not."""
    try:
        with parsing(f"{path}: cannot be read as a table", REMEDY):
            rows = next(iter(list_sheets(path))).rows if path.suffix.lower() == ".xlsx" else _read_header(path)
            return find_role(match_columns(next((row for _, row in rows if any(map(str.strip, row))), []))) == LISTING
    except (BenchError, StopIteration):
        return False


def _read_header(path: Path) -> Rows:
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
        line = next((line for line in islice(file, MAX_HEADER_LINES) if line.strip()), "")
    return iter([(1, next(csv.reader([line], delimiter=find_delimiter(line)), []))])


def _read_text(path: Path) -> Table:
    with path.open("rb") as file:
        encoding = "utf-16" if file.read(2) in UTF_16_MARKS else "utf-8-sig"
    try:
        return _read_encoded(path, encoding)
    except UnicodeDecodeError:
        table = _read_encoded(path, "cp1252")
        if table.role != UNKNOWN:
            table.problems.append(Problem(str(path), "is not UTF-8; read as Windows-1252"))
        return table


def _read_encoded(path: Path, encoding: str) -> Table:
    with path.open(newline="", encoding=encoding) as file:
        lines = list_lines(file, max_lines=MAX_LINES, max_line_chars=MAX_LINE_CHARS, max_chars=MAX_CHARS)
        n_blank, first = next(((n, line) for n, line in enumerate(lines) if line.strip()), (0, ""))
        reader = csv.reader(chain([first], lines), strict=True, delimiter=find_delimiter(first))
        return _make_table(path, ((reader.line_num + n_blank, row) for row in reader))


def find_delimiter(header: str) -> str:
    """Delimiter of a header line: the most frequent outside quotes; a comma where there is none."""
    bare = "".join(header.split('"')[::2])
    return max(DELIMITERS, key=bare.count)


def _read_workbook(path: Path) -> Table:
    """Read the first sheet with a role; of a workbook without one, the first sheet that says why."""
    found: list[Table] = []
    for sheet in list_sheets(path):
        found.append(_make_table(path, sheet.rows, sheet.epoch))
        if found[-1].role != UNKNOWN:
            return found[-1]
    return max(found, key=lambda table: len(table.problems), default=_make_table(path, iter(())))


def _make_table(path: Path, rows: Rows, epoch: date | None = None) -> Table:
    header = next((row for _, row in rows if any(map(str.strip, row))), [])
    places = match_columns(header)
    columns, role = frozenset(places), find_role(places)
    if role == UNKNOWN:
        why, is_similar = explain_unknown(places)
        return Table(path, UNKNOWN, columns, why=why, problems=[Problem(str(path), why)] if is_similar else [])
    if doubled := find_doubled(header):
        why = f"column {', '.join(doubled)} is there more than once"
        return Table(path, role, columns, why=why, problems=[Problem(str(path), why)])
    lines, problems = _read_lines(path, len(header), places, rows, epoch)
    return Table(path, role, columns, lines, problems=problems)


def _read_lines(
    path: Path, n_columns: int, places: dict[str, int], rows: Rows, epoch: date | None
) -> tuple[list[Line], list[Problem]]:
    """Rows with short ones filled up. One with too many fields is left out: its values stand under other names."""
    lines, problems = [], []
    for number, row in rows:
        if any(row[n_columns:]):
            problems.append(Problem(f"{path}, line {number}", f"{len(row)} fields under {n_columns} columns"))
        elif any(row):
            fields = {name: row[i].strip() if i < len(row) else "" for name, i in places.items()}
            if epoch:
                fields |= {name: read_serial(fields[name], epoch) for name in DATE_COLUMNS if name in fields}
            lines.append(Line(number, fields))
    return lines, problems
