"""Accuracies that others reported, with the number of cases and nothing else."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import JsonValue

from dlmi_bench.errors import DataError, UsageError, list_choices
from dlmi_bench.records import Cell, Figure, Record
from dlmi_bench.stats.congruence import FalseClaim, compute_false_claim
from dlmi_bench.stats.intervals import compute_wilson
from dlmi_reports.answers.cells import check_name, read_labels, read_numbers, show
from dlmi_reports.answers.keep import clean_task, describe_origin
from dlmi_reports.answers.table import AnswerTable
from dlmi_reports.results.machines import REPORTED

COLUMNS = ("algorithm", "accuracy", "n")
MAX_N = 10_000_000
NOTES = (
    "Accuracies alone are known: the two of a pair count as independent samples of cases, which hides differences of "
    "algorithms that err on the same cases. Seeds, classes, patients and calibration cannot be judged.",
    "That a superiority is false has the probability of arXiv 2505.04720: all algorithms on the same cases, which are "
    "independent; a uniform prior on the shares of cases that both, one or none answers rightly; errors that coincide "
    "as by chance, unless --congruence says how many cases both answer rightly. The range is over all that the two "
    "accuracies allow. The paper takes the congruence from predictions of other studies.",
)


@dataclass(frozen=True)
class ReportedAccuracy:
    """Accuracy of one algorithm on `n` cases."""

    name: str
    accuracy: float
    n: int


def read_reported(table: AnswerTable) -> tuple[list[ReportedAccuracy], list[str]]:
    """Read the accuracies of a table, with notes on those that no whole number of right answers gives.

    Raises:
        UsageError: a column is missing.
        DataError: names the first cell that cannot be used.
    """
    for name in COLUMNS:
        if name not in table.columns:
            remedy = f"the columns are {', '.join(COLUMNS)}; {list_choices(name, list(table.columns)[:30])}"
            raise UsageError(f"{table.source}: no column {name!r}", remedy)
    names = read_labels(table, "algorithm", may_be_dates=True)
    accuracies, sizes = read_numbers(table, "accuracy"), read_numbers(table, "n")
    rows, notes = [], []
    for row, (name, accuracy, n) in enumerate(zip(names, accuracies, sizes, strict=True)):
        _check_row(table, row, names, accuracy, n)
        rows.append(ReportedAccuracy(name, float(accuracy), int(n)))
        if not _is_possible(table, row, accuracy, int(n)):
            said = f"{table.locate(row, 'accuracy')}: no whole number of right answers of {int(n)} gives {accuracy:g}"
            notes.append(f"{said}; perhaps it is a mean, or of other cases.")
    return rows, [*notes, *NOTES]


def _check_row(table: AnswerTable, row: int, names: Sequence[str], accuracy: float, n: float) -> None:
    name = names[row]
    if not name or name in names[:row]:
        what = f"{show(name)} again" if name else "empty"
        raise DataError(f"{table.locate(row, 'algorithm')}: {what}", "give each algorithm one row and a name")
    check_name(table.locate(row, "algorithm"), name)
    if not 0 <= accuracy <= 1:
        remedy = "write a share between 0 and 1, such as 0.913; divide percentages by 100"
        raise DataError(f"{table.locate(row, 'accuracy')}: {accuracy:g} is no share", remedy)
    if not (1 <= n <= MAX_N and float(n).is_integer()):
        raise DataError(f"{table.locate(row, 'n')}: {n:g} is no number of cases", f"write one from 1 to {MAX_N}")


def _is_possible(table: AnswerTable, row: int, accuracy: float, n: int) -> bool:
    """Tell whether some number of right answers, rounded as the cell is, gives the accuracy."""
    cells = table.columns["accuracy"]
    if isinstance(cells, np.ndarray):
        return True
    decimals = cells[row].replace(",", ".").partition(".")[2]
    half = 0.5 * 10.0 ** -len(decimals) if decimals.isdecimal() else 0.5
    return math.ceil(n * (accuracy - half) - 1e-6) <= math.floor(n * (accuracy + half) + 1e-6)


def make_accuracy_records(
    rows: Sequence[ReportedAccuracy], table: AnswerTable, notes: Sequence[str], task: str
) -> list[Record]:
    """Make the records of accuracies, one for each algorithm."""
    provenance: dict[str, JsonValue] = describe_origin({table.source: table.sha256}, task)
    provenance |= {"start": {"source": REPORTED}, "notes": list(notes)}
    return [_make_record(row, provenance, task) for row in rows]


def _make_record(row: ReportedAccuracy, provenance: dict[str, JsonValue], task: str) -> Record:
    lo, hi = compute_wilson(row.accuracy * row.n, row.n)
    figure = Figure(
        name="test_accuracy",
        value=row.accuracy,
        kind="measured",
        source=REPORTED,
        n=row.n,
        lo=lo,
        hi=hi,
        interval="Wilson 95 %, sampling of examples",
    )
    cell = Cell(kind="train", task=clean_task(task), model=row.name)
    return Record(cell=cell, figures=(figure,), provenance=provenance | {"splits": {"test": row.n}})


def compute_pair(first: ReportedAccuracy, second: ReportedAccuracy, congruence: float | None) -> FalseClaim | None:
    """Compute the probability that the first is not the better one; None where they were tested on unlike numbers.

    Raises:
        UsageError: the two cannot have that congruence.
    """
    if first.n != second.n:
        return None
    try:
        return compute_false_claim(first.accuracy, second.accuracy, first.n, congruence)
    except ValueError as error:
        raise UsageError(
            f"--congruence: {first.name} and {second.name}: {error}", "leave it out, or correct it"
        ) from None
