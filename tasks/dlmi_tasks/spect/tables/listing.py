"""Listings of images by the user: which file is whose, with its class where the user says one.

A table with the columns path and subject, or uid and label, as challenges hand them out.
"""

import os
from collections.abc import Iterable
from pathlib import Path

from dlmi_tasks.spect.tables.images import parse_age
from dlmi_tasks.spect.tables.merging import Entry, make_entry, merge_entries, settle_entries
from dlmi_tasks.spect.tables.reading import Line, Table
from dlmi_tasks.spect.tables.records import ListedImage, Problem
from dlmi_tasks.spect.tables.values import parse_group, parse_sex, parse_subject

ListedEntry = Entry[Path, ListedImage]


def read_listing(ranked: Iterable[tuple[object, Table]]) -> tuple[dict[Path, ListedEntry], list[Problem]]:
    """Read listed images by their path; one that is listed twice with different fields is not used."""
    entries, problems = [], []
    for standing, table in ranked:
        found = []
        for line in table.lines:
            path, image = _find_path(table, line), _parse_row(line)
            if path and image.subject:
                found.append(make_entry(table, line, path, image))
            else:
                problems.append(Problem(table.locate(line), "field path or subject is empty"))
        entries.append((standing, found))
    settled, differing = settle_entries(merge_entries(entries), "the row of this path")
    return settled, problems + differing


def _find_path(table: Table, line: Line) -> Path | None:
    """Path as walks write it: below the table's folder, without dots."""
    name = (line.fields.get("Path") or line.fields.get("UID", "")).replace("\\", "/")
    return Path(os.path.normpath(table.path.parent / name)) if name else None


def _parse_row(line: Line) -> ListedImage:
    get = line.fields.get
    return ListedImage(
        parse_subject(get("PATNO") or get("UID", "")),
        get("Label", ""),
        get("SITE", ""),
        get("Session", ""),
        parse_group(get("Group", "")),
        parse_sex(get("Sex", "")),
        parse_age(get("Age", "")),
    )
