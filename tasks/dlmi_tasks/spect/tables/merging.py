"""Merging of tables: by key the newest table counts; equals that differ are listed."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from dlmi_tasks.spect.tables.reading import Line, Table
from dlmi_tasks.spect.tables.records import Problem

K = TypeVar("K", bound=Hashable)
V = TypeVar("V", bound=Hashable)
L = TypeVar("L", bound=Hashable)
W = TypeVar("W", bound=Hashable)


@dataclass(frozen=True)
class Entry(Generic[K, V]):
    """One value of a table, what it is of, and where it stands."""

    key: K
    value: V
    path: Path
    number: int

    @property
    def where(self) -> str:
        return f"{self.path}, line {self.number}"


Keyed = list[tuple[object, Table, list[K]]]  # standing, table, and what each of its lines is of; the best first


class FieldError(ValueError):
    """A field holds no value of its kind."""


def make_entry(table: Table, line: Line, key: L, value: W) -> Entry[L, W]:
    return Entry(key, value, table.path, line.number)


def merge_entries(ranked: Iterable[tuple[object, list[Entry[K, V]]]]) -> dict[K, list[Entry[K, V]]]:
    """Entries by key, from tables in order of their standing.

    A key belongs to the tables of the first standing that has it. The same value in another of them counts once.

    Args:
        ranked: Standing and entries of each table, the best first; equal standings side by side.
    """
    owners: dict[K, object] = {}
    first_paths: dict[tuple[K, V], Path] = {}
    merged: dict[K, list[Entry[K, V]]] = defaultdict(list)
    for standing, entries in ranked:
        for entry in entries:
            is_owner = owners.setdefault(entry.key, standing) == standing
            if is_owner and first_paths.setdefault((entry.key, entry.value), entry.path) == entry.path:
                merged[entry.key].append(entry)
    return dict(merged)


def settle_entries(merged: dict[K, list[Entry[K, V]]], field: str) -> tuple[dict[K, Entry[K, V]], list[Problem]]:
    """One entry for each key. Where values differ none is taken: which is right is unknown."""
    settled, problems = {}, []
    for key, entries in merged.items():
        first, *others = entries
        differing = [entry for entry in others if entry.value != first.value]
        if differing:
            problems += [Problem(e.where, f"{field} differs from {first.where}; neither is used") for e in differing]
        else:
            settled[key] = first
    return settled, problems


def collect_values(
    keyed: Keyed[K], parse: Callable[[Line], V | None], field: str
) -> tuple[dict[K, Entry[K, V]], list[Problem]]:
    """One value for each key. A line for which `parse` has None says nothing; one that it refuses is listed."""
    ranked, problems = [], []
    for standing, table, keys in keyed:
        entries = []
        for line, key in zip(table.lines, keys, strict=True):
            try:
                value = parse(line)
            except FieldError as error:
                problems.append(Problem(table.locate(line), str(error)))
                continue
            if value is not None:
                entries.append(make_entry(table, line, key, value))
        ranked.append((standing, entries))
    settled, differing = settle_entries(merge_entries(ranked), field)
    return settled, problems + differing
