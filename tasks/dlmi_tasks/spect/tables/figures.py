"""Figures by visit: published binding ratios, tracers, accepted scans, biological stages, ages and visual reads."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import TypeVar

from dlmi_tasks.files.limits import MAX_SHOWN
from dlmi_tasks.spect.tables.columns import LABS
from dlmi_tasks.spect.tables.days import read_days
from dlmi_tasks.spect.tables.images import parse_age
from dlmi_tasks.spect.tables.merging import Entry, FieldError, Keyed, collect_values
from dlmi_tasks.spect.tables.reading import Line, Table
from dlmi_tasks.spect.tables.records import Problem, Visit
from dlmi_tasks.spect.tables.values import (
    IOFLUPANE,
    NEGATIVE,
    NO,
    POSITIVE,
    YES,
    parse_choice,
    parse_decimal,
    parse_nsd,
    parse_subject,
    parse_tracer,
)
from dlmi_tasks.spect.tables.visits import find_event

V = TypeVar("V")
ByVisit = dict[Visit, Entry[Visit, V]]
ROLES = ("ratios", "reads", "acquisition", "ages", "curated")


@dataclass(frozen=True)
class Figures:
    """Everything by visit."""

    ratios: dict[str, ByVisit[tuple[float, ...]]]
    tracers: ByVisit[str]
    acceptable: ByVisit[bool]
    nsd: ByVisit[str]
    ages: ByVisit[float]
    reads: dict[tuple[str, date | None], Entry[tuple[str, date | None], bool]]


def read_figures(ranked: list[tuple[object, Table]]) -> tuple[Figures, list[Problem]]:
    """Read all figures of tables in order of their standing."""
    keyed: Keyed[Visit] = []
    dated: Keyed[tuple[str, date | None]] = []
    problems: list[Problem] = []
    for standing, table in (row for row in ranked if row[1].role in ROLES):
        days, found = read_days(table, "DATSCAN_DATE" if "DATSCAN_DATE" in table.columns else "INFODT")
        problems += found if table.role != "curated" else []  # said already with its stages
        pairs = list(zip(table.lines, days, strict=True))
        keyed.append((standing, table, [find_visit(line, day) for line, day in pairs]))
        dated.append((standing, table, [(parse_subject(line.fields["PATNO"]), day) for line, day in pairs]))
    ratios = {lab: _collect_ratios(keyed, lab, problems) for lab in LABS}
    figures = Figures(
        {lab: found for lab, found in ratios.items() if found},
        _collect_tracers(keyed, problems),
        _collect(keyed, "DATSCAN_IMAGE_ACCEPTABLE", partial(_parse_word, yes=YES, no=NO), problems),
        _collect(keyed, "NSD", lambda _, text: parse_nsd(text), problems),
        _collect(keyed, "Age", lambda _, text: parse_age(text), problems)
        | _collect(keyed, "AGE_AT_VISIT", lambda _, text: parse_age(text), problems),
        _collect(dated, "DATSCAN_VISINTRP", partial(_parse_word, yes=POSITIVE, no=NEGATIVE), problems),
    )
    return figures, problems


def find_visit(line: Line, day: date | None) -> Visit:
    """Subject and event of a line; subject and month where its table names no event."""
    event = line.fields.get("EVENT_ID", "")
    when = (find_event(event) or event.upper()) if event else f"{day:%Y-%m}" if day else ""
    return parse_subject(line.fields["PATNO"]), when


K = TypeVar("K", Visit, tuple[str, date | None])


def _collect(
    keyed: Keyed[K], column: str, parse: Callable[[str, str], V | None], problems: list[Problem]
) -> dict[K, Entry[K, V]]:
    """Values of a column from all tables that have it, without blanks; `parse` takes its name and a text."""
    tables = [row for row in keyed if column in row[1].columns]

    def parse_line(line: Line) -> V | None:
        return parse(column, line.fields[column]) if line.fields[column] else None

    found, bad = collect_values(tables, parse_line, f"field {column}")
    problems += bad
    return found


def _collect_tracers(keyed: Keyed[Visit], problems: list[Problem]) -> ByVisit[str]:
    """Tracers; a blank in one table says ioflupane only where no other names a tracer."""
    tables = [row for row in keyed if "DATSCAN_LIGAND" in row[1].columns]
    blank, _ = collect_values(tables, lambda line: None if line.fields["DATSCAN_LIGAND"] else IOFLUPANE, "")
    return blank | _collect(keyed, "DATSCAN_LIGAND", lambda _, text: parse_tracer(text), problems)


def _collect_ratios(keyed: Keyed[Visit], lab: str, problems: list[Problem]) -> ByVisit[tuple[float, ...]]:
    tables = [row for row in keyed if row[1].columns.issuperset(LABS[lab])]
    found, bad = collect_values(tables, partial(_parse_ratios, columns=LABS[lab]), f"ratios ({lab})")
    problems += bad
    return found


def _parse_ratios(line: Line, columns: tuple[str, ...]) -> tuple[float, ...] | None:
    """Four ratios; None where one is blank, as the lab did not analyse that scan."""
    texts = [line.fields[column] for column in columns]
    if not all(texts):
        return None
    try:
        return tuple(map(parse_decimal, texts))
    except ValueError as error:
        values = str(texts)[:MAX_SHOWN]
        raise FieldError(f"fields {', '.join(columns)} are {values}, expected numbers") from error


def _parse_word(column: str, text: str, *, yes: tuple[str, ...], no: tuple[str, ...]) -> bool:
    found = parse_choice(text, yes, no)
    if found is None:
        raise FieldError(f"field {column} is {text[:MAX_SHOWN]!r}, expected {yes[0]} or {no[0]}")
    return found
