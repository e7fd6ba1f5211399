"""Predictions of several algorithms on the same cases, read from one table or joined from several by case."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dlmi_bench.errors import DataError, UsageError
from dlmi_bench.units import format_count
from dlmi_reports.answers.cells import read_labels, show
from dlmi_reports.answers.columns import SPLIT, Algorithm, Part, Reading, check_named, sort_columns
from dlmi_reports.answers.missing import settle_missing
from dlmi_reports.answers.scores import Scores, read_scores
from dlmi_reports.answers.table import AnswerTable
from dlmi_reports.answers.truth import name_classes, order_classes, read_truth
from dlmi_reports.results.folds import OVERLAP

MAX_SCORES = 100_000_000  # of all algorithms, cases and classes
PLAIN = Reading()
UNGROUPED = "No column says which cases belong together, such as those of one patient: each counts as independent."
ONE_CASE = "list each case once; several images of one patient are cases of their own, with the patient in a column"


@dataclass(frozen=True)
class Predictions:
    """Answers to the test cases, in the order of the first table.

    Attributes:
        labels: Index of the true class of each case.
        scores: By algorithm, (case, class); NaN where it did not answer.
        traits: What else is known of each case, by column.
        groups: Number of the group of each case, from 0 on; None where none was given.
        notes: What was assumed, left out or counted as wrong, in sentences.
        sha256: Hash of each file, by its name.
    """

    class_names: tuple[str, ...]
    case_ids: tuple[str, ...]
    labels: NDArray[np.int64]
    scores: dict[Algorithm, Scores]
    traits: dict[str, list[str]] = field(default_factory=dict)
    groups: NDArray[np.int64] | None = None
    notes: tuple[str, ...] = ()
    sha256: dict[str, str] = field(default_factory=dict)

    def take(self, kept: NDArray[np.bool_], *notes: str) -> "Predictions":
        """Return some of the cases, with notes on the others."""
        index = np.flatnonzero(kept)
        groups = None if self.groups is None else np.unique(self.groups[kept], return_inverse=True)[1]
        return Predictions(
            self.class_names,
            tuple(self.case_ids[i] for i in index),
            self.labels[kept],
            {name: scores[kept] for name, scores in self.scores.items()},
            {name: [cells[i] for i in index] for name, cells in self.traits.items()},
            groups,
            (*self.notes, *notes),
            self.sha256,
        )


def read_predictions(tables: Sequence[AnswerTable], reading: Reading = PLAIN) -> Predictions:
    """Read the predictions of all tables on the cases whose truth one of them tells.

    Raises:
        UsageError: a column is missing, or an algorithm is there twice.
        DataError: names the first cell that cannot be used.
    """
    check_named(tables, reading)
    parts = [Part(table, sort_columns(table, reading), _read_ids(table, reading.case_id)) for table in tables]
    truth = read_truth(parts, reading.truth)
    classes, notes = order_classes(parts, list(dict.fromkeys(truth.values())))
    places = {case: row for row, case in enumerate(truth)}
    rows = [_place(part, places, reading.case_id) for part in parts]
    scores = _read_all(parts, rows, len(places), classes, reading.positive)
    traits = _read_traits(parts, rows, len(places))
    groups, said = _number_groups(parts, traits, list(truth))
    index = {label: i for i, label in enumerate(classes)}
    labels = np.array([index[label] for label in truth.values()])
    sha256 = {table.source: table.sha256 for table in tables}
    said += [OVERLAP] if len(set(traits.get("fold", ()))) > 1 else []
    names, notes = name_classes(parts, classes), [*notes, *_list_ties(scores), *said]
    read = Predictions(names, tuple(truth), labels, scores, traits, groups, tuple(notes), sha256)
    return settle_missing(_take_test(read, tables), reading.missing, parts)


def _read_all(
    parts: Sequence[Part],
    rows: Sequence[NDArray[np.int64]],
    n_cases: int,
    classes: tuple[str, ...],
    positive: str | None,
) -> dict[Algorithm, Scores]:
    """Read the scores of every algorithm, the seeds of one together."""
    _check_size(n_cases, len(classes), sum(len(part.columns.algorithms) for part in parts))
    scores: dict[Algorithm, Scores] = {}
    for part, own in zip(parts, rows, strict=True):
        for algorithm, columns in part.columns.algorithms.items():
            if algorithm in scores:
                remedy = "call each algorithm once, as net, or as net@1 and net@2 for two seeds of it"
                raise UsageError(f"{part.table.source}: {algorithm} is there twice", remedy)
            scores[algorithm] = np.full((n_cases, len(classes)), np.nan)
            scores[algorithm][own] = read_scores(part.table, algorithm, columns, classes, positive)
    if not scores:
        remedy = "add a column for each algorithm, with the class that it gives each case"
        raise UsageError(f"{parts[0].table.source}: no column of an algorithm", remedy)
    names = list(dict.fromkeys(algorithm.name for algorithm in scores))
    return dict(sorted(scores.items(), key=lambda item: names.index(item[0].name)))


def _list_ties(scores: dict[Algorithm, Scores]) -> list[str]:
    """Say how often an algorithm has several classes that are equally probable."""
    counts = {name: int(((own == own.max(1, keepdims=True)).sum(1) > 1).sum()) for name, own in scores.items()}
    said = ", ".join(f"{name} {format_count(n)}" for name, n in counts.items() if n)
    return [f"Cases with several most probable classes, of which the first counts: {said}."] if said else []


def _read_traits(parts: Sequence[Part], rows: Sequence[NDArray[np.int64]], n_cases: int) -> dict[str, list[str]]:
    """Read what else is known of each case, its group and its split too; the first table that says it counts."""
    traits: dict[str, list[str]] = {}
    for (table, columns, _), own in zip(parts, rows, strict=True):
        more = [name for name in (columns.group, SPLIT) if name in table.columns]
        for name in filter(None, (*columns.traits, *more)):
            cells = traits.setdefault(name, [""] * n_cases)
            for row, cell in zip(own, read_labels(table, name, may_be_dates=True), strict=True):
                cells[row] = cells[row] or cell
    return traits


def _read_ids(table: AnswerTable, column: str) -> list[str]:
    """Read the cases of a table, each once."""
    ids = read_labels(table, column, may_be_dates=True)
    seen: dict[str, int] = {}
    for row, case in enumerate(ids):
        if not case:
            raise DataError(f"{table.locate(row, column)}: empty", "give every case a name of its own")
        if case in seen:
            first = table.locate(seen[case], column)
            raise DataError(f"{table.locate(row, column)}: case {show(case)} again, as in {first}", ONE_CASE)
        seen[case] = row
    return ids


def _check_size(n_cases: int, n_classes: int, n_algorithms: int) -> None:
    if n_cases * n_classes * n_algorithms > MAX_SCORES:
        counts = f"{n_cases} cases, {n_classes} classes and {n_algorithms} algorithms"
        raise DataError(f"{counts} are too many at once", "judge a part of the cases, drawn at random")


def _place(part: Part, places: dict[str, int], column: str) -> NDArray[np.int64]:
    """Find the place of each row's case."""
    table, _, own = part
    row = next((row for row, case in enumerate(own) if case not in places), None)
    if row is not None:
        remedy = "drop the row, or tell the truth of the case; spreadsheets shorten 007 to 7 and long numbers to 1E+11"
        raise DataError(f"{table.locate(row, column)}: no truth of case {show(own[row])}", remedy)
    return np.array([places[case] for case in own])


def _take_test(read: Predictions, tables: Sequence[AnswerTable]) -> Predictions:
    """Keep the test cases, where a column says which they are."""
    split = read.traits.pop(SPLIT, None)
    if split is None:
        return read
    is_test = np.array([cell.lower() == "test" for cell in split])
    if not is_test.any():
        having = [table for table in tables if SPLIT in table.columns]
        cause = f"{having[0].source}: column 'split': no case is in 'test'"
        raise DataError(cause, "call the split of the test cases test, or drop the column")
    others = f"{format_count((~is_test).sum())} cases of other splits are left out."
    return read.take(is_test, *([others] if not is_test.all() else []))


def _number_groups(
    parts: Sequence[Part], traits: dict[str, list[str]], ids: Sequence[str]
) -> tuple[NDArray[np.int64] | None, list[str]]:
    """Number the groups of the cases; a case without one is a group of its own."""
    column = next((part.columns.group for part in parts if part.columns.group), None)
    if column is None:
        return None, [
            "No column says which cases belong together, such as those of one patient: each counts as independent."
        ]
    cells = traits.pop(column)
    alone = sum(not cell for cell in cells)
    keys = [("group", cell) if cell else ("case", case) for cell, case in zip(cells, ids, strict=True)]
    numbers = {key: i for i, key in enumerate(dict.fromkeys(keys))}
    said = [f"{format_count(len(cells))} cases of {format_count(len(numbers))} groups ({column}): a group is one unit."]
    said += [f"{format_count(alone)} cases without a {column} are groups of their own."] if alone else []
    return np.array([numbers[key] for key in keys]), said
