"""Reader of the study's tables: which image belongs to which visit, and which stage was found at which visit.

Tables are recognised by their columns, because their names change with every release.
"""

import csv
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path

from dlmi_bench.errors import DataError
from dlmi_bench.files import parsing
from dlmi_tasks.files.limits import MAX_SHOWN, list_lines, parse_number
from dlmi_tasks.spect.ppmi.layout import MISSING_STAGE, STAGE_RANGE, Problem

STAGE_NAME = re.compile(r"mds[-_ ]*updrs[-_ ]*part[-_ ]*iii", re.IGNORECASE)
STAGE_REQUIRED = ("PATNO", "EVENT_ID", "INFODT", "NHY")
COLLECTION_REQUIRED = ("Image Data ID", "Subject", "Group", "Visit", "Acq Date")
SEARCH_REQUIRED = ("Image ID", "Subject ID", "Research Group", "Visit", "Study Date")
# The study's own binding ratios, in the order of anatomy.REGIONS.
RATIO_COLUMNS = ("DATSCAN_CAUDATE_L", "DATSCAN_CAUDATE_R", "DATSCAN_PUTAMEN_L", "DATSCAN_PUTAMEN_R")
RATIO_REQUIRED = ("PATNO", "EVENT_ID", *RATIO_COLUMNS)
# Everything that is kept of a row.
USED = {*STAGE_REQUIRED, "PAG_NAME", "PDSTATE", *COLLECTION_REQUIRED, *SEARCH_REQUIRED, *RATIO_REQUIRED}
# Of a table that is read; the study's largest of these kinds has some 40 000 rows. Of others only the header is.
MAX_LINES, MAX_LINE_CHARS, MAX_CHARS = 500_000, 1 << 20, 1 << 28
MONTH_MIDDLE = 15  # INFODT gives month and year
DATE_FORMATS = ("%m/%d/%Y", "%Y-%m-%d", "%m/%Y")
REMEDY = "download the table again as it is; do not edit or re-save it"


@dataclass(frozen=True)
class ImageRow:
    """Entry of the image archive for one image."""

    image_id: str
    subject: str
    group: str
    visit: str
    day: date | None


@dataclass(frozen=True)
class StageRow:
    """One motor examination with its Hoehn & Yahr stage. `rank` 0: off or without medication, 1: on."""

    subject: str
    event: str
    day: date | None
    stage: float
    rank: int


@dataclass(frozen=True)
class Tables:
    """All rows of all tables below a folder, and what was passed over in them.

    `ratios`: the study's own, by subject and event, in the order of RATIO_COLUMNS.
    """

    images: dict[str, ImageRow]
    stages: list[StageRow]
    n_missing_stages: int
    problems: list[Problem]
    ratios: dict[tuple[str, str], tuple[float, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Line:
    """One row of a table, and where it stands."""

    where: str
    fields: dict[str, str]


def load_tables(folder: Path) -> Tables:
    """Read every table below `folder` that holds stages or describes images.

    Raises:
        DataError: no table of stages, or a table lacks a column or cannot be read; names file and column.
    """
    images: list[tuple[str, ImageRow]] = []
    stages: list[StageRow] = []
    problems: list[Problem] = []
    ratios: dict[tuple[str, str], tuple[float, ...]] = {}
    n_missing, has_stages = 0, False
    for path in sorted(p for p in folder.rglob("*.csv") if p.is_file()):
        kind, lines, passed_over = _open_table(path)
        problems += passed_over
        if kind == "stages":
            has_stages = True
            rows, n, found = _parse_stages(lines)
            stages, n_missing, problems = stages + rows, n_missing + n, problems + found
        elif kind == "ratios":
            found_ratios, found = _parse_ratios(lines)
            ratios, problems = ratios | found_ratios, problems + found
        elif kind:
            images += [(line.where, _parse_image(line, kind)) for line in lines]
    if not has_stages:
        raise DataError(
            f"{folder}: no table with the columns PATNO and NHY below it",
            "add MDS_UPDRS_Part_III.csv (MDS-UPDRS_Part_III_<date>.csv) of the study data beside the images",
        )
    unique, doubles = _index_images(images)
    return Tables(unique, stages, n_missing, problems + doubles, ratios)


def _open_table(path: Path) -> tuple[str | None, list[Line], list[Problem]]:
    """Kind of the table, its lines, and problems where anything had to be passed over; kind None: something else.

    A table that is damaged or lacks a column is an error where its name or its ids say that it is needed. Many study
    tables hold a column NHY besides; one of those is passed over.
    """
    is_needed = bool(STAGE_NAME.search(path.name))
    try:
        with parsing(f"{path}: cannot be read as a table", REMEDY), path.open(newline="", encoding="utf-8-sig") as file:
            lines = list_lines(file, max_lines=MAX_LINES, max_line_chars=MAX_LINE_CHARS, max_chars=MAX_CHARS)
            reader = csv.reader(lines, strict=True)
            header = [name.strip() for name in next(reader, [])]
            kind, required = _find_kind(set(header), is_named=is_needed)
            if kind is None:
                return None, [], []
            is_needed = is_needed or kind in ("collection", "search")
            _check_columns(path, header, required)
            return kind, *_read_lines(path, header, ((reader.line_num, row) for row in reader))
    except DataError as error:
        if is_needed:
            raise
        return None, [], [Problem(str(path), error.cause)]


def _check_columns(path: Path, header: list[str], required: tuple[str, ...]) -> None:
    if absent := [column for column in required if column not in header]:
        found = ", ".join(header)[:MAX_SHOWN]
        raise DataError(f"{path}: column {', '.join(absent)} is missing (found: {found})", REMEDY)
    # Of two columns with one name nobody can say which is meant.
    if doubled := [name for name, n in Counter(header).items() if name and n > 1]:
        raise DataError(f"{path}: column {', '.join(doubled)[:MAX_SHOWN]} is there more than once", REMEDY)


def _find_kind(columns: set[str], is_named: bool) -> tuple[str | None, tuple[str, ...]]:
    """Find the kind of a table by its columns, and the columns it must have."""
    if is_named or {"PATNO", "NHY"} <= columns:
        return "stages", STAGE_REQUIRED
    if "Image Data ID" in columns:
        return "collection", COLLECTION_REQUIRED
    if {"Image ID", "Subject ID"} <= columns:
        return "search", SEARCH_REQUIRED
    if columns & set(RATIO_COLUMNS):
        return "ratios", RATIO_REQUIRED
    return None, ()


def _read_lines(
    path: Path, header: list[str], rows: Iterator[tuple[int, list[str]]]
) -> tuple[list[Line], list[Problem]]:
    """Rows with short ones filled up. One with too many fields is left out: its values stand under other names."""
    places = {name: i for i, name in enumerate(header) if name in USED}
    lines, problems = [], []
    for number, row in rows:
        where = f"{path}, line {number}"
        if any(row[len(header) :]):
            problems.append(Problem(where, f"{len(row)} fields under {len(header)} columns"))
        elif row:
            fields = {name: row[i].strip() if i < len(row) else "" for name, i in places.items()}
            lines.append(Line(where, fields))
    return lines, problems


def _parse_stages(lines: list[Line]) -> tuple[list[StageRow], int, list[Problem]]:
    rows, n_missing, problems = [], 0, []
    for line in lines:
        text = line.fields["NHY"]
        if text in ("", "UR") or text.removesuffix(".0") == MISSING_STAGE:
            n_missing += 1
        elif (stage := _parse_stage(text)) is None:
            reason = f"field NHY is {text[:MAX_SHOWN]!r}, expected 0 to 5, or {MISSING_STAGE} for missing"
            problems.append(Problem(line.where, reason))
        else:
            rows.append(_make_stage_row(line.fields, stage))
    return rows, n_missing, problems


def _parse_stage(text: str) -> float | None:
    try:
        stage = parse_number(text)
    except ValueError:
        return None
    return stage if STAGE_RANGE[0] <= stage <= STAGE_RANGE[1] else None


def _make_stage_row(fields: dict[str, str], stage: float) -> StageRow:
    # An untreated patient has no state; PAG_NAME NUPDRS3A is the examination after the dose.
    is_on = fields.get("PDSTATE", "").upper() == "ON"
    is_after_dose = not fields.get("PDSTATE") and fields.get("PAG_NAME", "") == "NUPDRS3A"
    rank = int(is_on or is_after_dose)
    return StageRow(fields["PATNO"], fields["EVENT_ID"], parse_day(fields["INFODT"]), stage, rank)


def parse_day(text: str) -> date | None:
    """A date in any of the study's forms; month/year is taken as the middle of the month."""
    if not text.isascii():
        return None  # digits of other scripts pass for digits below
    for form in DATE_FORMATS:
        try:
            day = datetime.strptime(text, form).date()
        except ValueError:
            continue
        return day.replace(day=MONTH_MIDDLE) if form == "%m/%Y" else day
    return None


def _parse_ratios(lines: list[Line]) -> tuple[dict[tuple[str, str], tuple[float, ...]], list[Problem]]:
    """Rows with all four ratios; those with a blank are left out, as the study did not analyse that scan."""
    rows, problems = {}, []
    for line in lines:
        texts = [line.fields[column] for column in RATIO_COLUMNS]
        if not all(texts):
            continue
        try:
            rows[line.fields["PATNO"], line.fields["EVENT_ID"]] = tuple(map(parse_number, texts))
        except ValueError:
            values = str(texts)[:MAX_SHOWN]
            problems.append(Problem(line.where, f"fields {', '.join(RATIO_COLUMNS)} are {values}, expected numbers"))
    return rows, problems


def _parse_image(line: Line, kind: str) -> ImageRow:
    columns = COLLECTION_REQUIRED if kind == "collection" else SEARCH_REQUIRED
    image_id, subject, group, visit, day = (line.fields[column] for column in columns)
    return ImageRow(image_id.removeprefix("I"), subject, group, visit, parse_day(day))


def _index_images(rows: list[tuple[str, ImageRow]]) -> tuple[dict[str, ImageRow], list[Problem]]:
    """Rows by image id. An id with two different rows is dropped: which is right is unknown."""
    index: dict[str, ImageRow] = {}
    problems, disputed = [], set()
    for where, row in rows:
        if index.setdefault(row.image_id, row) != row:
            problems.append(Problem(where, f"image id {row.image_id} has another row that differs; neither is used"))
            disputed.add(row.image_id)
    return {image_id: row for image_id, row in index.items() if image_id not in disputed}, problems
