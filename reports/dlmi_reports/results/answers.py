"""Correct and wrong answers by seed and example, from the scores and labels that a run kept."""

from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlmi_bench.errors import BenchError, StoreError
from dlmi_bench.files import parsing
from dlmi_bench.records import Artifact, Record
from dlmi_bench.stats.clusters import sum_by_group
from dlmi_bench.stats.estimates import (
    Mean,
    Table,
    estimate_accuracy,
    estimate_difference,
)
from dlmi_bench.stats.reported import estimate_apart
from dlmi_bench.store.artifacts import artifact_path, read_artifact
from dlmi_reports.results.folds import Repeat, read_folds
from dlmi_reports.results.model import ModelResults

SPLITS = {
    "test_accuracy": "test",
    "test_balanced_accuracy": "test",
    "validation_accuracy": "validation",
    "generalisation_gap": "test",
}
KEPT = [
    "test_index",
    "test_groups",
    *(f"{split}_{what}" for split in ("test", "validation") for what in ("scores", "labels")),
]
N_KEPT = 512  # arrays; a file's name is the hash of its content, so none is ever outdated


class UnmeasuredError(BenchError):
    """The store lacks the results for a claim; without a remedy, the claim's own command measures them."""

    def __init__(self, cause: str, remedy: str = "") -> None:
        super().__init__(cause, remedy)


class Answers:
    """A metric by seed and example, with the labels and seeds by which two of them are paired.

    Args:
        table: (seed, example), or (seed, group) where `what` says so.
    """

    def __init__(self, table: Table, labels: NDArray[Any], seeds: tuple[int, ...], what: str = "examples") -> None:
        self.table = table
        self.labels = labels
        self.seeds = seeds
        self.what = what

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
        """Raise UnmeasuredError if the examples differ."""
        if not np.array_equal(self.labels, other.labels):
            raise UnmeasuredError(
                "the two were evaluated on different examples", "run both on the same data, with --fresh"
            )


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


def read_answers(results: ModelResults, metric: str) -> Answers:
    """Read the metric by seed and example; the mean of the table is the figure that the report shows.

    The folds of a complete repeat are one row, ordered by their places in the whole data set, with the seed of fold 0.
    Examples of one group are one unit where the groups were kept. Answers of others may be of one seed: what is said
    of them is said of that network.

    Raises:
        UnmeasuredError: fewer than two seeds of a training, or a store that keeps no labels.
        StoreError: a file is damaged.
    """
    repeats = results.repeats
    if len(repeats) < 2 and not results.is_reported:
        n, where = len(repeats), f"{results.name} on {results.task}"
        what = "complete repeat of the folds" if any(map(read_folds, results.trainings)) else "seed"
        remedy = "give the weights of two trainings or more" if results.is_from_elsewhere else ""
        raise UnmeasuredError(f"{n} {what} of {where}: the spread needs at least two", remedy)
    if results.is_reported and not repeats[0][0].artifacts:
        return _read_reported(repeats[0][0], metric)
    rows, labels = [], None
    for repeat in repeats:
        row, own = _read_repeat(repeat, metric, results)
        if not (labels is None or np.array_equal(labels, own)):
            raise _make_mismatch(repeat[0])
        labels = own
        rows.append(_weigh(row, own) if metric == "test_balanced_accuracy" else row)
    assert labels is not None
    table, seeds = np.stack(rows), tuple(repeat[0].cell.seed for repeat in repeats)
    groups = _find_groups(repeats[0], metric, results)
    if groups is None or groups.shape != labels.shape:
        return Answers(table, labels, seeds)
    return Answers(sum_by_group(table, groups), labels, seeds, "groups")


def _read_reported(record: Record, metric: str) -> Answers:
    figure = record.figure(metric)
    if figure is None or figure.value is None:
        what = metric.replace("_", " ")
        raise UnmeasuredError(f"no {what} of {record.cell.model} was reported", "give the answers case by case")
    return ReportedAnswers(figure.value, figure.n)


def _find_groups(repeat: Repeat, metric: str, results: ModelResults) -> NDArray[Any] | None:
    """Find the group of each test example; None where none was kept, or the examples are others."""
    is_kept = len(repeat) == 1 and any(artifact.role == "test_groups" for artifact in repeat[0].artifacts)
    return _find(repeat[0], "test_groups", results) if is_kept and SPLITS[metric] == "test" else None


def _read_repeat(repeat: Repeat, metric: str, results: ModelResults) -> tuple[NDArray[np.float64], NDArray[Any]]:
    """Read the metric and the label of every example; those of folds in the order of the whole data set."""
    is_folded = read_folds(repeat[0]) is not None
    if is_folded and SPLITS[metric] != "test":
        raise UnmeasuredError("the validation examples differ between folds", "claim the test accuracy instead")
    rows, labels = zip(*(_read_training(record, metric, results) for record in repeat), strict=True)
    row, label = np.concatenate(rows), np.concatenate(labels)
    if not is_folded:
        return row, label
    index = np.concatenate([_find(record, "test_index", results) for record in repeat])
    if index.shape != label.shape or len(np.unique(index)) < len(index):
        raise _make_mismatch(repeat[0])
    order = np.argsort(index)
    return row[order], label[order]


def _read_training(record: Record, metric: str, results: ModelResults) -> tuple[NDArray[np.float64], NDArray[Any]]:
    scores, labels = (_find(record, f"{SPLITS[metric]}_{what}", results) for what in ("scores", "labels"))
    if scores.ndim != 2 or labels.shape != scores.shape[:1]:
        raise _make_mismatch(record)
    right = (scores.argmax(1) == labels) & np.isfinite(scores).all(1)  # a score that is not finite is no answer
    if metric != "generalisation_gap":
        return right.astype(float), labels
    seen = record.figure("train_accuracy")
    if seen is None or seen.value is None:
        raise UnmeasuredError("no accuracy on the training examples")
    return seen.value - right, labels


def _make_mismatch(record: Record) -> StoreError:
    return StoreError(f"{record.cell.key}: scores and labels do not match", "run again with --fresh")


def list_damaged(results: ModelResults) -> list[str]:
    """List what is wrong with the files of answers that the trainings kept."""
    found = []
    for record in results.trainings:
        for role in KEPT:
            try:
                _find(record, role, results)
            except UnmeasuredError as error:
                found += [error.cause] if error.remedy else []  # without one, the run kept no such file
            except StoreError as error:
                found.append(error.cause)
    return found


def _find(record: Record, role: str, results: ModelResults) -> NDArray[Any]:
    try:
        artifact = record.artifact(role)
    except KeyError:
        what = f"the run of {results.name} kept no {role.replace('_', ' ')}"
        raise UnmeasuredError(what) from None
    return _load(results.folder, artifact)


@lru_cache(N_KEPT)
def _load(folder: Path, artifact: Artifact) -> NDArray[Any]:
    try:
        content = read_artifact(folder, artifact)
    except StoreError as error:
        raise UnmeasuredError(error.cause, error.remedy) from error  # what rests on it cannot be had; all else can
    with parsing(artifact_path(folder, artifact), "run again with --fresh", StoreError):
        array: NDArray[Any] = np.load(BytesIO(content), allow_pickle=False)
    return array


def _weigh(right: NDArray[np.float64], labels: NDArray[Any]) -> NDArray[np.float64]:
    """Weigh the answers so that every class counts the same."""
    classes, index, counts = np.unique(labels, return_inverse=True, return_counts=True)
    return right * (len(labels) / (len(classes) * counts[index]))
