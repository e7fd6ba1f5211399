"""Releases of tables: how old each is, and which of several of one name counts."""

import re
from collections import defaultdict
from collections.abc import Iterable
from datetime import date, datetime
from pathlib import Path

from dlmi_tasks.spect.tables.columns import normalise
from dlmi_tasks.spect.tables.dates import MONTHS, parse_day
from dlmi_tasks.spect.tables.reading import Table
from dlmi_tasks.spect.tables.roles import IMAGES, list_labs

# 05Jan2026, 1_05_2026 and 2026-01-05 in a name; the data cut has 20260105.
NAMED = re.compile(r"(?<!\d)(\d{1,2})(" + "|".join(MONTHS) + r")(\d{4})(?!\d)", re.IGNORECASE)
AMERICAN = re.compile(r"(?<!\d)(\d{1,2})_(\d{1,2})_(\d{4})(?!\d)")
ISO = re.compile(r"(?<!\d)((?:19|20)\d\d)[-_]?(\d\d)[-_]?(\d\d)(?!\d)")
COPY = re.compile(r"\(\d+\)")  # that a browser appends


def find_release(table: Table) -> date:
    """Day of a table: of its name, else of its last update, else of the file."""
    day = find_named_day(table.path.stem)
    if day is None and "LAST_UPDATE" in table.columns:
        updates = {line.fields["LAST_UPDATE"] for line in table.lines}
        day = max((found for text in updates if (found := parse_day(text))), default=None)
    return day or datetime.fromtimestamp(table.path.stat().st_mtime).astimezone().date()


def find_named_day(name: str) -> date | None:
    """Day in the name of a file."""
    if found := NAMED.search(name):
        return parse_day("-".join(found.groups()))
    if found := AMERICAN.search(name):
        return parse_day("/".join(found.groups()))
    found = ISO.search(name)
    return parse_day("-".join(found.groups())) if found else None


def find_stem(path: Path) -> str:
    """Name of a table without the date of its release."""
    name = path.stem
    for pattern in (NAMED, AMERICAN, ISO, COPY):
        name = pattern.sub("", name)
    return normalise(name)


def find_older(tables: Iterable[Table], releases: dict[Path, date]) -> dict[Path, Path]:
    """Tables that a newer release of the same name and role replaces, with that release.

    Collections of images are downloaded in parts, so that none replaces another as a whole.
    """
    groups: dict[tuple[object, ...], list[Table]] = defaultdict(list)
    for table in tables:
        if table.role not in IMAGES:
            groups[table.role, *list_labs(table.columns), find_stem(table.path)].append(table)
    older: dict[Path, Path] = {}
    for group in groups.values():
        newest = max(group, key=lambda table: releases[table.path])
        older |= {t.path: newest.path for t in group if releases[t.path] < releases[newest.path]}
    return older
