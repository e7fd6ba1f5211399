"""Answers of one algorithm as scores, (case, class): logarithms of probabilities, or 1 for the class that was named."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlmi_bench.errors import DataError, suggest
from dlmi_reports.answers.cells import Numbers, find_numbers, read_labels, read_numbers, show
from dlmi_reports.answers.columns import Algorithm
from dlmi_reports.answers.table import AnswerTable

TOLERANCE = 0.02  # of a sum of probabilities, which tables round
LEAST = 1e-30  # probability 0 has no logarithm
SOFTMAX = "give probabilities: softmax of the logits, or the class that has the largest"
Scores = NDArray[np.float64]


def list_answered(table: AnswerTable, columns: Mapping[str, str], truth: Sequence[str]) -> list[str]:
    """List the classes that an algorithm names, in its columns or its cells; none for a column of one probability.

    Raises:
        DataError: no cell is a class, or one is nearly that of the truth.
    """
    by_lower = {label.lower(): label for label in truth}
    if "" not in columns:
        for label, column in columns.items():
            if label not in truth and (other := by_lower.get(label.lower())) is not None:
                cause = f"{table.source}: column {column!r}: {show(label)} is not a class, {show(other)} is"
                raise DataError(cause, "write each class in one way")
        return list(columns)
    column = columns[""]
    cells: Any = table.columns[column]
    if isinstance(cells, np.ndarray) and cells.ndim == 2:
        return []
    labels = read_labels(table, column)
    known, found = set(truth), dict.fromkeys(filter(None, labels))
    unknown = [label for label in found if label not in known]
    if not unknown or _is_probability(table, column, unknown):
        return [label for label in found if label in known]
    for label in unknown:
        where = table.locate(labels.index(label), column)
        if (other := by_lower.get(label.lower())) is not None:
            raise DataError(f"{where}: {show(label)} is not a class, {show(other)} is", "write each class in one way")
        if len(unknown) == len(found) and len(truth) > 1:
            remedy = (
                f"{suggest(label, truth)} Write classes as in the truth, or leave the column out: --ignore {column}"
            )
            raise DataError(f"{where}: {show(label)} is none of the classes {_join(truth)}", remedy.strip())
    return list(found)


def _is_probability(table: AnswerTable, column: str, unknown: Sequence[str]) -> bool:
    """Tell whether a column holds numbers that are no classes."""
    _, wrong = find_numbers(table, column)
    return wrong is None and any(not float(label.replace(",", ".")).is_integer() for label in unknown)


def read_scores(
    table: AnswerTable, algorithm: Algorithm, columns: Mapping[str, str], classes: Sequence[str], positive: str | None
) -> Scores:
    """Read the scores of all rows, (row, class); NaN where there is no answer.

    Raises:
        DataError: names the first cell that is no class and no probability.
    """
    if "" not in columns:
        return _read_probabilities(table, algorithm, columns, classes)
    column, cells = columns[""], table.columns[columns[""]]
    if isinstance(cells, np.ndarray) and cells.ndim == 2:
        return _check_probabilities(table, [column] * cells.shape[1], _match(table, column, cells, classes))
    labels = read_labels(table, column)
    places: dict[str, int] = {label: i for i, label in enumerate(classes)}
    if all(not label or label in places for label in labels):
        index = np.array([places.get(label, -1) for label in labels])
        scores: Scores = (index[:, None] == np.arange(len(classes))).astype(float)
        scores[index < 0] = np.nan
        return scores
    return _read_single(table, column, classes, positive)


def _match(table: AnswerTable, column: str, cells: NDArray[Any], classes: Sequence[str]) -> Numbers:
    if cells.shape[1] != len(classes):
        cause = f"{table.source}: {column!r} has {cells.shape[1]} columns for {len(classes)} classes, {_join(classes)}"
        raise DataError(cause, "give one column for each class, and their names as class_names")
    return cells.astype(float)


def _read_probabilities(
    table: AnswerTable, algorithm: Algorithm, columns: Mapping[str, str], classes: Sequence[str]
) -> Scores:
    """Read a column for each class; of two classes one is enough."""
    lacking = [label for label in classes if label not in columns]
    shares = {label: read_numbers(table, column) for label, column in columns.items()}
    if len(classes) == 2 and len(lacking) == 1 and len(columns) == 1:
        (given,) = shares.values()
        shares[lacking[0]] = 1 - given
    elif lacking:
        cause = f"{table.source}: {algorithm} has no column for the class {show(lacking[0])}"
        raise DataError(cause, f"add the column {algorithm!s}:{lacking[0]}")
    names = [columns.get(label, next(iter(columns.values()))) for label in classes]
    return _check_probabilities(table, names, np.stack([shares[label] for label in classes], 1))


def _read_single(table: AnswerTable, column: str, classes: Sequence[str], positive: str | None) -> Scores:
    """Read one column of probabilities, of two classes."""
    numbers = read_numbers(table, column)
    if len(classes) != 2:
        cause = (
            f"{table.source}: column {column!r} holds numbers, and there are {len(classes)} classes, {_join(classes)}"
        )
        raise DataError(
            cause, f"give a column for each class, such as {column}:{classes[0]}, or the classes themselves"
        )
    chosen = positive or ("1" if set(classes) == {"0", "1"} else None)
    if chosen not in classes:
        cause = f"{table.source}: column {column!r} holds probabilities, of {_join(classes, ' or ')}"
        raise DataError(cause, f"say of which class: call it {column}:{classes[1]}, or add --positive {classes[1]}")
    of_class = numbers if classes[1] == chosen else 1 - numbers
    return _check_probabilities(table, [column, column], np.stack([1 - of_class, of_class], 1))


def _check_probabilities(table: AnswerTable, names: Sequence[str], shares: Numbers) -> Scores:
    """Check that rows are probabilities, and take their logarithms; a row with an empty cell is no answer."""
    is_outside = (shares < 0) | (shares > 1)
    sums = shares.sum(1)
    if is_outside.any():
        row, column = (int(i) for i in np.argwhere(is_outside)[0])
        where, value = table.locate(row, names[column]), shares[row, column]
        whole = shares[np.isfinite(sums)]
        is_percent = bool((whole >= 0).all() and np.any(np.abs(whole.sum(1) - 100) < 100 * TOLERANCE))
        what, remedy = ("a percentage", "divide by 100") if is_percent else ("a logit", SOFTMAX)
        raise DataError(f"{where}: {value:g} is not a probability, perhaps {what}", remedy)
    wrong = np.flatnonzero(np.abs(sums - 1) > TOLERANCE)
    if len(wrong):
        where = table.locate(int(wrong[0]), names[0])
        remedy = f"{SOFTMAX}; where several classes may be true at once, judge each as a task of its own"
        raise DataError(f"{where}: the probabilities of the row sum to {sums[wrong[0]]:.4g}, not 1", remedy)
    kept = shares / sums[:, None]
    return np.where(np.isnan(sums)[:, None], np.nan, np.log(np.maximum(kept, LEAST)))


def are_probabilities(scores: Scores) -> bool:
    """Tell whether scores are logarithms of probabilities, and not classes that were named."""
    return bool(np.nanmax(scores, initial=-np.inf) <= 0)


def _join(names: Sequence[str], sign: str = ", ") -> str:
    return sign.join(map(show, names[:10])) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
