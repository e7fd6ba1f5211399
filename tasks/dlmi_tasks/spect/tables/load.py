"""Tables below a folder, read as a whole. Nothing in them is fatal: each file has its account, each loss its reason."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

from dlmi_tasks.spect.tables.columns import LABS
from dlmi_tasks.spect.tables.figures import Figures, read_figures
from dlmi_tasks.spect.tables.images import ImageEntry, read_images
from dlmi_tasks.spect.tables.listing import ListedEntry, read_listing
from dlmi_tasks.spect.tables.merging import Entry
from dlmi_tasks.spect.tables.people import People, read_people
from dlmi_tasks.spect.tables.reading import Table, read_table
from dlmi_tasks.spect.tables.records import Problem, ReadRow, TableFile, Tables
from dlmi_tasks.spect.tables.releases import find_older, find_release
from dlmi_tasks.spect.tables.roles import EXPECTED, IMAGES, LISTING, UNKNOWN, list_labs
from dlmi_tasks.spect.tables.stages import Stages, read_stages
from dlmi_tasks.spect.walk import walk

UNREADABLE = "unreadable"


@dataclass(frozen=True)
class Contents:
    """What the used tables hold, each value with its place."""

    listed: dict[Path, ListedEntry]
    images: dict[str, ImageEntry]
    stages: Stages
    figures: Figures
    people: People

    def list_sources(self) -> set[Path]:
        """Files from which at least one value is."""
        figures, people = self.figures, self.people
        parts: list[Iterable[Entry[Any, Any]]] = [
            *(found.values() for found in (people.groups, people.sexes, people.sites, people.sides)),
            *(found.values() for found in (figures.tracers, figures.nsd)),
            *(found.values() for found in figures.ratios.values()),
            figures.acceptable.values(),
            figures.ages.values(),
            figures.reads.values(),
            self.listed.values(),
            self.images.values(),
            self.stages.entries,
        ]
        return {entry.path for part in parts for entry in part}


def load_tables(folder_or_paths: Path | Iterable[Path], *, root: Path | None = None) -> Tables:
    """Read every table below a folder, or those named, by their columns. No stages at all is no error here.

    Args:
        root: Folder that may hold listings of the user; deeper ones are passed over, since a task could not find them.
    """
    named = walk(folder_or_paths).tables if isinstance(folder_or_paths, Path) else folder_or_paths
    paths = [path for path in named if path.is_file()]  # a pipe would never end
    read = [(path, read_table(path)) for path in paths]
    tables = [table for _, table in read if isinstance(table, Table)]
    tables = [_check_place(table, root) for table in tables]
    used = [table for table in tables if table.role != UNKNOWN and not table.why]
    releases = {table.path: find_release(table) for table in used}
    older = find_older(used, releases)
    current = [table for table in used if table.path not in older]
    contents, problems = _read_contents(current, releases)
    problems = [found for _, found in read if isinstance(found, Problem)] + _list_problems(tables, older) + problems
    sources = contents.list_sources()
    files = [_describe_file(path, found, older, sources) for path, found in read]
    return _make_tables(contents, files, problems)


def _check_place(table: Table, root: Path | None) -> Table:
    if table.role != LISTING or root is None or table.path.parent == root:
        return table
    why = f"a table that lists images counts in {root} itself alone"
    return replace(table, why=why, problems=[Problem(str(table.path), why)])


def _read_contents(tables: list[Table], releases: dict[Path, date]) -> tuple[Contents, list[Problem]]:
    """Read tables by their standing: newer before older, the curated data cut after all others."""
    standings = {t.path: (t.role == "curated", -releases[t.path].toordinal()) for t in tables}
    ranked: list[tuple[object, Table]] = [
        (standings[table.path], table) for table in sorted(tables, key=lambda table: standings[table.path])
    ]
    listed, unclear = read_listing([row for row in ranked if row[1].role == LISTING])
    images, problems = read_images([row for row in ranked if row[1].role in IMAGES])
    stages = read_stages(ranked)
    figures, bad = read_figures(ranked)
    people, differing = read_people(ranked, images.values())
    return Contents(listed, images, stages, figures, people), unclear + problems + stages.problems + bad + differing


def _list_problems(tables: list[Table], older: dict[Path, Path]) -> list[Problem]:
    """What reading passed over, and columns that a table lacks at a loss."""
    problems = []
    for table in (table for table in tables if table.path not in older):
        problems += table.problems
        lacking = [column for column in EXPECTED.get(table.role, ()) if column not in table.columns]
        if lacking and not table.why:
            problems.append(Problem(str(table.path), f"column {', '.join(lacking)} is missing; used without"))
    return problems


def _describe_file(path: Path, found: Table | Problem, older: dict[Path, Path], sources: set[Path]) -> TableFile:
    if isinstance(found, Problem):
        return TableFile(path, UNREADABLE, 0, is_used=False, why=found.reason)
    is_used = path in sources
    if path in older:
        why = f"older release than {older[path].name}"
    elif is_used:
        why = f"serves as {', '.join([found.role, *list_labs(found.columns)])}"
    else:
        why = found.why or "has nothing that a newer table lacks"
    return TableFile(path, found.role, len(found.lines), is_used, why)


def _make_tables(contents: Contents, files: list[TableFile], problems: list[Problem]) -> Tables:
    figures, people = contents.figures, contents.people
    return Tables(
        listed={key: entry.value for key, entry in contents.listed.items()},
        images={key: entry.value for key, entry in contents.images.items()},
        stages=contents.stages.rows,
        groups={key: entry.value for key, entry in people.groups.items()},
        group_sources={key: entry.path for key, entry in people.groups.items()},
        ratios={lab: {k: e.value for k, e in figures.ratios[lab].items()} for lab in LABS if lab in figures.ratios},
        reads=[ReadRow(*key, entry.value) for key, entry in figures.reads.items()],
        acceptable={key: entry.value for key, entry in figures.acceptable.items()},
        tracers={key: entry.value for key, entry in figures.tracers.items()},
        nsd={key: entry.value for key, entry in figures.nsd.items()},
        sites={key: entry.value for key, entry in people.sites.items()},
        sides={key: entry.value for key, entry in people.sides.items()},
        sexes={key: entry.value for key, entry in people.sexes.items()},
        ages={key: entry.value for key, entry in figures.ages.items()},
        files=files,
        problems=problems,
        n_missing_stages=contents.stages.n_missing,
    )
