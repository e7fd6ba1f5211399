"""Stages: from the motor examinations, and from the curated data cut where those have none."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from dlmi_tasks.files.limits import MAX_SHOWN
from dlmi_tasks.spect.tables.days import read_days
from dlmi_tasks.spect.tables.merging import Entry, make_entry, merge_entries
from dlmi_tasks.spect.tables.reading import Line, Table
from dlmi_tasks.spect.tables.records import Problem, StageRow
from dlmi_tasks.spect.tables.values import MISSING_STAGES, parse_stage, parse_subject
from dlmi_tasks.spect.tables.visits import find_event

Key = tuple[str, str, str]  # subject, event and page: one examination
StageEntry = Entry[Key, StageRow | None]  # None: a missing stage
Ranked = list[tuple[object, Table]]  # standing and table, the best first


@dataclass(frozen=True)
class Stages:
    """Stages of all tables, in their order."""

    entries: list[StageEntry]
    problems: list[Problem]

    @property
    def rows(self) -> list[StageRow]:
        return [entry.value for entry in self.entries if entry.value]

    @property
    def n_missing(self) -> int:
        return sum(entry.value is None for entry in self.entries)


def read_stages(ranked: Ranked) -> Stages:
    """Read the stages of tables in order of their standing."""
    problems: list[Problem] = []
    parts = {}
    for role in ("stages", "curated"):
        parsed = [(standing, *_parse_table(table)) for standing, table in ranked if table.role == role]
        problems += [problem for *_, found in parsed for problem in found]
        merged = merge_entries([(standing, entries) for standing, entries, _ in parsed])
        parts[role] = [entry for entries in merged.values() for entry in entries]
    added, differing = _fill_gaps(parts["stages"], parts["curated"])
    return Stages(parts["stages"] + added, problems + differing)


def _fill_gaps(own: list[StageEntry], curated: list[StageEntry]) -> tuple[list[StageEntry], list[Problem]]:
    """Curated stages of visits for which no examination has one; those that differ from one are counted."""
    known: dict[tuple[str, str, int], set[float]] = {}
    for mine in own:
        if has := mine.value:
            known.setdefault((has.subject, has.event, has.rank), set()).add(has.stage)
    added, n_differing = [], 0
    for entry in curated:
        row = entry.value
        if row and (stages := known.get((row.subject, row.event, row.rank))):
            n_differing += row.stage not in stages
        elif row or not own:
            added.append(entry)
    reason = f"field NHY differs from the table of examinations in {n_differing} rows; the examinations count"
    return added, [Problem(str(curated[0].path), reason)] if n_differing else []


def _parse_table(table: Table) -> tuple[list[StageEntry], list[Problem]]:
    days, problems = read_days(table, "INFODT")
    entries: list[StageEntry] = []
    unknown: dict[str, Line] = {}
    for line, day in zip(table.lines, days, strict=True):
        event = find_event(line.fields["EVENT_ID"])
        if event is None:
            unknown.setdefault(line.fields["EVENT_ID"], line)
        for column, rank, rule in list_columns(table, line.fields):
            try:
                stage = parse_stage(line.fields[column])
            except ValueError:
                problems.append(_describe_bad(table, line, column))
                continue
            entries.append(_make_entry(table, line, day, stage, rank, rule))
    return entries, problems + [_describe_event(table, line, name) for name, line in unknown.items()]


def list_columns(table: Table, fields: Mapping[str, str]) -> list[tuple[str, int, str]]:
    """Columns with a stage, each with its rank and the rule that says so. The data cut has on and off side by side."""
    if "NHY_ON" in table.columns:
        has_on = fields["NHY_ON"].upper() not in MISSING_STAGES
        return [("NHY", 0, "column NHY"), *([("NHY_ON", 1, "column NHY_ON")] if has_on else [])]
    return [("NHY", *find_medication(fields))]


def find_medication(fields: Mapping[str, str]) -> tuple[int, str]:
    """Rank of an examination, 0 off or untreated and 1 on, and the rule that decided."""
    state, page = fields.get("PDSTATE", "").upper(), fields.get("PAG_NAME", "").upper()
    treated = fields.get("PDTRTMNT", "").removesuffix(".0")
    if state in ("ON", "OFF"):
        return int(state == "ON"), f"PDSTATE {state}"
    if treated == "0":
        return 0, "PDTRTMNT 0"
    if page in ("NUPDR3ON", "NUPDR3OF"):
        return int(page == "NUPDR3ON"), f"PAG_NAME {page}"
    return (1, "PDTRTMNT 1") if treated == "1" else (0, "no sign of treatment")


def _make_entry(table: Table, line: Line, day: date | None, stage: float | None, rank: int, rule: str) -> StageEntry:
    fields = line.fields
    subject, event = parse_subject(fields["PATNO"]), find_event(fields["EVENT_ID"]) or fields["EVENT_ID"].upper()
    page = fields.get("PAG_NAME", "").upper() or rule
    row = None if stage is None else StageRow(subject, event, day, stage, rank, rule)
    return make_entry(table, line, (subject, event, page), row)


def _describe_bad(table: Table, line: Line, column: str) -> Problem:
    reason = f"field {column} is {line.fields[column][:MAX_SHOWN]!r}, expected 0 to 5, or 101 for missing"
    return Problem(table.locate(line), reason)


def _describe_event(table: Table, line: Line, name: str) -> Problem:
    return Problem(table.locate(line), f"field EVENT_ID is {name[:MAX_SHOWN]!r}, a visit that is not known")
