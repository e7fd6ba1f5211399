"""People: group, sex, site and side of the first symptoms of each subject."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from dlmi_tasks.spect.tables.images import ImageEntry
from dlmi_tasks.spect.tables.merging import Entry, Keyed, collect_values, merge_entries, settle_entries
from dlmi_tasks.spect.tables.reading import Table
from dlmi_tasks.spect.tables.records import Problem
from dlmi_tasks.spect.tables.values import parse_group, parse_sex, parse_side, parse_subject

BySubject = dict[str, Entry[str, str]]
ROLES = ("status", "participants", "history", "demographics", "curated")
PARSERS = {"COHORT": parse_group, "Group": parse_group, "Sex": parse_sex, "DOMSIDE": parse_side}
# Groups of the archive that say more than the cohort of the study.
FINER = {"GenCohort PD": "PD", "GenReg PD": "PD", "GenCohort Unaff": "Prodromal", "GenReg Unaff": "Prodromal"}


@dataclass(frozen=True)
class People:
    """Everything by subject."""

    groups: BySubject = field(default_factory=dict)
    sexes: BySubject = field(default_factory=dict)
    sites: BySubject = field(default_factory=dict)
    sides: BySubject = field(default_factory=dict)


def read_people(ranked: list[tuple[object, Table]], images: Iterable[ImageEntry]) -> tuple[People, list[Problem]]:
    """Read what tables and images say of each subject; tables of the study count before the image archive."""
    keyed: Keyed[str] = [
        (standing, table, [parse_subject(line.fields["PATNO"]) for line in table.lines])
        for standing, table in ranked
        if table.role in ROLES
    ]
    images = list(images)
    problems: list[Problem] = []
    cohorts = _collect(keyed, "Group", problems) | _collect(keyed, "COHORT", problems)
    archived = _read_archived(images, "group", problems)
    sexes = _read_archived(images, "sex", problems) | _collect(keyed, "Sex", problems)
    groups, changed = _join_groups(cohorts, archived)
    sites, sides = (_collect(keyed, column, problems) for column in ("SITE", "DOMSIDE"))
    return People(groups, sexes, sites, sides), problems + changed


def _collect(keyed: Keyed[str], column: str, problems: list[Problem]) -> BySubject:
    parse = PARSERS.get(column, str)
    tables = [row for row in keyed if column in row[1].columns]
    found, bad = collect_values(tables, lambda line: parse(line.fields[column]) or None, f"field {column}")
    problems += bad
    return found


def _read_archived(images: list[ImageEntry], name: str, problems: list[Problem]) -> BySubject:
    """Group or sex that all images of a subject agree on."""
    parse = parse_group if name == "group" else str
    values = ((entry, parse(getattr(entry.value, name))) for entry in images)
    entries = [Entry(entry.value.subject, value, entry.path, entry.number) for entry, value in values if value]
    found, differing = settle_entries(merge_entries([("", entries)]), f"field {name.title()} of the images")
    problems += differing
    return found


def _join_groups(cohorts: BySubject, archived: BySubject) -> tuple[BySubject, list[Problem]]:
    """Groups by the study's tables. The archive's group stays where it says the same more finely."""
    joined, problems = dict(archived), []
    for subject, entry in cohorts.items():
        other = archived.get(subject)
        if other is None or other.value == entry.value:
            joined[subject] = entry
        elif FINER.get(other.value) != entry.value:
            reason = f"subject {subject} is {entry.value} here and {other.value} in {other.where}; {entry.value} counts"
            problems.append(Problem(entry.where, reason))
            joined[subject] = entry
    return joined, problems
