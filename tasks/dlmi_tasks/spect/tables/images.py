"""Images: entries of the image archive from collections and searches."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import date

from dlmi_tasks.spect.tables.days import read_days
from dlmi_tasks.spect.tables.merging import Entry, make_entry
from dlmi_tasks.spect.tables.reading import Line, Table
from dlmi_tasks.spect.tables.records import ImageRow, Problem
from dlmi_tasks.spect.tables.values import parse_decimal, parse_group, parse_image_id, parse_sex, parse_subject
from dlmi_tasks.spect.tables.visits import find_event

ImageEntry = Entry[str, ImageRow]
DECISIVE = ("subject", "group", "visit", "day")  # what the join goes by
OTHERS = ("sex", "age", "description", "protocol")


def read_images(ranked: Iterable[tuple[object, Table]]) -> tuple[dict[str, ImageEntry], list[Problem]]:
    """Images by id, from tables in order of their standing.

    An older table fills what a newer one leaves blank. Of two rows of one standing that differ neither is used.
    """
    index: dict[str, tuple[object, ImageEntry]] = {}
    problems: list[Problem] = []
    disputed = set()
    for standing, table in ranked:
        entries, found = _parse_table(table)
        problems += found
        for entry in entries:
            owner, first = index.setdefault(entry.key, (standing, entry))
            if first is entry:
                continue
            if _differ(first.value, entry.value):
                if owner == standing:
                    reason = f"image id {entry.key} has another row that differs; neither is used"
                    problems.append(Problem(entry.where, reason))
                    disputed.add(entry.key)
            else:
                index[entry.key] = owner, _fill(first, entry.value)
    return {key: entry for key, (_, entry) in index.items() if key not in disputed}, problems


def _differ(first: ImageRow, second: ImageRow) -> bool:
    """Compare two rows in what the join goes by, where both say it; names of one visit or group are the same."""
    return any(a and b and a != b for a, b in zip(_list_decisive(first), _list_decisive(second), strict=True))


def _list_decisive(row: ImageRow) -> tuple[object, ...]:
    return row.subject, parse_group(row.group), find_event(row.visit) or row.visit, row.day


def _fill(first: ImageEntry, row: ImageRow) -> ImageEntry:
    """Fill what is blank in the first row."""
    mine = first.value
    blank = [name for name in (*DECISIVE, *OTHERS) if not getattr(mine, name) and getattr(row, name)]
    return replace(first, value=replace(mine, **{name: getattr(row, name) for name in blank})) if blank else first


def _parse_table(table: Table) -> tuple[list[ImageEntry], list[Problem]]:
    days, problems = read_days(table, "Acq Date")
    rows = [_parse_row(line, day) for line, day in zip(table.lines, days, strict=True)]
    pairs = zip(table.lines, rows, strict=True)
    return [make_entry(table, line, row.image_id, row) for line, row in pairs if row.image_id], problems


def _parse_row(line: Line, day: date | None) -> ImageRow:
    get = line.fields.get
    return ImageRow(
        parse_image_id(get("Image Data ID", "")),
        parse_subject(get("PATNO", "")),
        get("Group", ""),
        get("Visit", ""),
        day,
        parse_sex(get("Sex", "")),
        parse_age(get("Age", "")),
        get("Description", ""),
        get("Imaging Protocol", ""),
    )


def parse_age(text: str) -> float | None:
    """Age in years; None for anything else."""
    try:
        return parse_decimal(text)
    except ValueError:
        return None
