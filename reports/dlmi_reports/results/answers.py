"""Correct and wrong answers by seed and example, from the scores and labels that a run kept."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlmi_bench.errors import StoreError
from dlmi_bench.metrics.discrimination import rank_all
from dlmi_bench.metrics.predictions import Predictions
from dlmi_bench.records import Record
from dlmi_bench.stats.clusters import sum_by_group
from dlmi_bench.stats.estimates import (
    Mean,
    Table,
    estimate_accuracy,
    estimate_difference,
)
from dlmi_bench.stats.reported import estimate_apart
from dlmi_bench.stats.right import Right, estimate_right_difference
from dlmi_reports.results.arrays import UnmeasuredError, find_array
from dlmi_reports.results.folds import Repeat, read_folds
from dlmi_reports.results.memo import remember
from dlmi_reports.results.model import ModelResults

SPLITS = {
    "test_accuracy": "test",
    "test_balanced_accuracy": "test",
    "test_auc": "test",
    "test_sensitivity": "test",
    "test_ece": "test",
    "validation_accuracy": "validation",
    "generalisation_gap": "test",
}

RIGHT = ("test_accuracy", "validation_accuracy")  # metrics of which an answer has 1 or 0


class Answers:
    """A metric by seed and example, with the labels and seeds by which two of them are paired.

    Args:
        table: (seed, example), or (seed, group) where `what` says so.
    """

    def __init__(self, table: Table, labels: NDArray[Any], seeds: tuple[int, ...], what: str = "examples") -> None:
        self._table = table
        self.labels = labels
        self.seeds = seeds
        self.what = what

    @property
    def table(self) -> Table:
        return self._table

    def estimate(self) -> Mean:
        """Estimate the mean over seeds and examples."""
        return estimate_accuracy(self.table, self.what)

    def subtract(self, other: "Answers") -> Mean:
        """Estimate the mean minus that of the other, on the same examples.

        Raises:
            UnmeasuredError: the examples differ.
        """
        self.check_same_examples(other)
        is_paired = self.seeds == other.seeds
        return estimate_difference(self.table, other.table, is_paired=is_paired, what=self.what)

    def check_same_examples(self, other: "Answers") -> None:
        """Raise UnmeasuredError if the examples differ, or groups of them are known for one only."""
        is_same = self.table.shape[1] == other.table.shape[1]
        if not is_same or not np.array_equal(self.labels, other.labels):
            raise UnmeasuredError(
                "the two were evaluated on different examples", "run both on the same data, with --fresh"
            )


class RightAnswers(Answers):
    """Right and wrong answers to single examples, a bit each: one side of many comparisons."""

    def __init__(self, right: Right, labels: NDArray[Any], seeds: tuple[int, ...]) -> None:
        super().__init__(np.empty((0, len(labels))), labels, seeds)
        self.right = right

    @property
    def table(self) -> Table:
        return self.right.unpack()

    def take(self, n_seeds: int) -> "RightAnswers":
        """Return the answers of the first seeds."""
        return RightAnswers(self.right.take(n_seeds), self.labels, self.seeds[:n_seeds])

    def subtract(self, other: Answers) -> Mean:
        if not isinstance(other, RightAnswers):
            return super().subtract(other)
        if not np.array_equal(self.labels, other.labels):
            self.check_same_examples(other)
        return estimate_right_difference(self.right, other.right, is_paired=self.seeds == other.seeds)


class ReportedAnswers(Answers):
    """An accuracy that others reported, without the answers behind it: two of them are independent samples."""

    def __init__(self, accuracy: float, n: int) -> None:
        super().__init__(np.full((1, 1), accuracy), np.array([]), (0,))
        self.n = n

    def estimate(self) -> Mean:
        n_right = round(self.table.item() * self.n)
        return estimate_accuracy((np.arange(self.n) < n_right)[None, :].astype(float))

    def subtract(self, other: Answers) -> Mean:
        if not isinstance(other, ReportedAnswers):
            raise UnmeasuredError("only the accuracy of one of the two is known", "give the answers of both")
        return estimate_apart((self.table.item(), self.n), (other.table.item(), other.n))


@dataclass(frozen=True)
class Examples:
    """A metric by seed and example, before the examples of a group are added up.

    Attributes:
        groups: Whose each example is, (n,); None where that is not kept.
    """

    table: Table
    labels: NDArray[Any]
    groups: NDArray[Any] | None
    seeds: tuple[int, ...]

    def pool(self, is_kept: NDArray[np.bool_] | None = None) -> Answers:
        """Add up the examples of each group, so that groups are what is sampled; the means of the rows stay.

        Args:
            is_kept: Examples to take, (n,); all by default.
        """
        kept = np.full(len(self.labels), True) if is_kept is None else is_kept
        table, labels = self.table[:, kept], self.labels[kept]
        if self.groups is None:
            return Answers(table, labels, self.seeds)
        _, first, index = np.unique(self.groups[kept], return_index=True, return_inverse=True)
        places = np.argsort(np.argsort(first))[index]  # by first example: numbers of groups differ between trainings
        return Answers(sum_by_group(table, places), labels, self.seeds, "groups")


Compute = Callable[[Record, NDArray[Any], NDArray[Any]], NDArray[np.float64]]  # of scores and labels: a row


def read_answers(results: ModelResults, metric: str) -> Answers:
    """Read the metric by seed and example, or group; the mean of the table is the figure that the report shows.

    The folds of a complete repeat are one row, ordered by their places in the whole data set, with the seed of fold 0.
    Examples of one group are one unit where the groups were kept. Answers of others may be of one seed: what is said
    of them is said of that network.

    Raises:
        UnmeasuredError: fewer than two seeds of a training, or a store that keeps no labels.
        StoreError: a file is damaged.
    """
    if results.is_reported and not results.trainings[0].artifacts:
        return _read_reported(results.trainings[0], metric)
    return _read_right(results, metric) if metric in RIGHT else read_metric(results, metric).pool()


@remember
def _read_right(results: ModelResults, metric: str) -> Answers:
    """Read right and wrong answers; those of the first seeds from those of all."""
    n_seeds = len(results.repeats)
    if results.whole and n_seeds > 1 and isinstance(answers := _read_right(results.whole, metric), RightAnswers):
        return answers.take(n_seeds)
    examples = read_metric(results, metric)
    if examples.groups is None:
        return RightAnswers(Right(examples.table.astype(bool)), examples.labels, examples.seeds)
    return examples.pool()


def read_metric(results: ModelResults, metric: str) -> Examples:
    """Read the metric by seed and example; raises as above."""
    return read_examples(results, partial(_compute_row, metric), SPLITS[metric], metric)


def read_examples(results: ModelResults, compute: Compute, split: str = "test", metric: str = "") -> Examples:
    """Read what `compute` makes of the scores of each training, by seed and example; raises as above."""
    repeats = results.repeats
    if len(repeats) < 2 and not results.is_reported:
        n, where = len(repeats), f"{results.name} on {results.task}"
        what = "complete repeat of the folds" if any(map(read_folds, results.trainings)) else "seed"
        remedy = "give the weights of two trainings or more" if results.is_from_elsewhere else ""
        raise UnmeasuredError(f"{n} {what} of {where}: the spread needs at least two", remedy)
    rows, labels, groups = [], None, None
    for repeat in repeats:
        row, own, found = _read_repeat(repeat, compute, split, results)
        if not (labels is None or np.array_equal(labels, own)):
            raise _make_mismatch(repeat[0])
        labels, groups = own, groups if found is None else found
        rows.append(_weigh(row, own) if metric == "test_balanced_accuracy" else row)
    assert labels is not None
    return Examples(np.stack(rows), labels, groups, tuple(repeat[0].cell.seed for repeat in repeats))


def _read_reported(record: Record, metric: str) -> Answers:
    figure = record.figure(metric)
    if figure is None or figure.value is None:
        what = metric.replace("_", " ")
        raise UnmeasuredError(f"no {what} of {record.cell.model} was reported", "give the answers case by case")
    return ReportedAnswers(figure.value, figure.n)


def _read_repeat(
    repeat: Repeat, compute: Compute, split: str, results: ModelResults
) -> tuple[NDArray[np.float64], NDArray[Any], NDArray[Any] | None]:
    """Read the metric, label and group of every example; those of folds in the order of the whole data set."""
    is_folded = read_folds(repeat[0]) is not None
    if is_folded and split != "test":
        raise UnmeasuredError("the validation examples differ between folds", "claim the test accuracy instead")
    rows, labels = zip(*(_read_training(record, compute, split, results) for record in repeat), strict=True)
    groups = _read_groups(repeat, results) if split == "test" else None
    row, label = np.concatenate(rows), np.concatenate(labels)
    if not is_folded:
        return row, label, groups
    index = np.concatenate([find_array(record, "test_index", results) for record in repeat])
    if index.shape != label.shape or len(np.unique(index)) < len(index):
        raise _make_mismatch(repeat[0])
    order = np.argsort(index)
    return row[order], label[order], None if groups is None else groups[order]


def _read_groups(repeat: Repeat, results: ModelResults) -> NDArray[Any] | None:
    """Read the group of each test example, numbered apart in each fold; None where they are not kept."""
    try:
        found = [find_array(record, "test_groups", results) for record in repeat]
    except UnmeasuredError:
        return None
    return np.concatenate([groups + i * sum(map(len, found)) for i, groups in enumerate(found)])


def _read_training(
    record: Record, compute: Compute, split: str, results: ModelResults
) -> tuple[NDArray[np.float64], NDArray[Any]]:
    scores, labels = (find_array(record, f"{split}_{what}", results) for what in ("scores", "labels"))
    if scores.ndim != 2 or labels.shape != scores.shape[:1]:
        raise _make_mismatch(record)
    return compute(record, scores, labels), labels


def _compute_row(metric: str, record: Record, scores: NDArray[Any], labels: NDArray[Any]) -> NDArray[np.float64]:
    """Compute the metric of each example."""
    if metric == "test_auc":
        return compute_area_row(scores, labels)
    right = (scores.argmax(1) == labels) & np.isfinite(scores).all(1)  # a score that is not finite is no answer
    if metric != "generalisation_gap":
        return right.astype(float)
    seen = record.figure("train_accuracy")
    if seen is None or seen.value is None:
        raise UnmeasuredError("no accuracy on the training examples")
    return seen.value - right


def compute_area_row(scores: NDArray[Any], labels: NDArray[Any]) -> NDArray[np.float64]:
    """What each example adds to the area under the ROC curve; the mean is the area, its variance DeLong's."""
    found = Predictions(scores.astype(float), labels.astype(np.int64), ("",) * scores.shape[1], None, "", {})
    if not np.isfinite(scores).all():
        raise UnmeasuredError("scores that are not finite have no area under the curve")
    if len(found.classes) < 2:
        raise UnmeasuredError("test examples of one class have no area under the curve")
    return rank_all(found).spread()


def read_scores(results: ModelResults) -> list[tuple[NDArray[Any], NDArray[Any], NDArray[Any] | None]]:
    """Read scores (n, class), labels (n,) and groups (n,) of the test examples of each training.

    Raises:
        UnmeasuredError: a training kept none.
        StoreError: a file is damaged.
    """
    found = []
    for record in results.trainings:
        scores, labels = (find_array(record, f"test_{what}", results) for what in ("scores", "labels"))
        if scores.ndim != 2 or labels.shape != scores.shape[:1]:
            raise _make_mismatch(record)
        found.append((scores, labels, _read_groups((record,), results)))
    return found


def _make_mismatch(record: Record) -> StoreError:
    return StoreError(f"{record.cell.key}: scores and labels do not match", "run again with --fresh")


def _weigh(right: NDArray[np.float64], labels: NDArray[Any]) -> NDArray[np.float64]:
    """Weigh the answers so that every class counts the same."""
    classes, index, counts = np.unique(labels, return_inverse=True, return_counts=True)
    return right * (len(labels) / (len(classes) * counts[index]))
