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
from dlmi_bench.stats.estimates import Table
from dlmi_bench.store.artifacts import artifact_path, read_artifact
from dlmi_reports.results.load import ModelResults

SPLITS = {
    "test_accuracy": "test",
    "test_balanced_accuracy": "test",
    "validation_accuracy": "validation",
    "generalisation_gap": "test",
}
KEPT = [f"{split}_{what}" for split in ("test", "validation") for what in ("scores", "labels")]
N_KEPT = 512  # arrays; a file's name is the hash of its content, so none is ever outdated


class UnmeasuredError(BenchError):
    """The store lacks the results for a claim; without a remedy, the claim's own command measures them."""

    def __init__(self, cause: str, remedy: str = "") -> None:
        super().__init__(cause, remedy)


class Answers:
    """A metric by seed and example, with the labels and seeds by which two of them are paired."""

    def __init__(self, table: Table, labels: NDArray[Any], seeds: tuple[int, ...]) -> None:
        self.table = table
        self.labels = labels
        self.seeds = seeds

    def check_same_examples(self, other: "Answers") -> None:
        """Raise UnmeasuredError if the examples differ."""
        if not np.array_equal(self.labels, other.labels):
            raise UnmeasuredError(
                "the two were evaluated on different examples", "run both on the same data, with --fresh"
            )


def read_answers(results: ModelResults, metric: str) -> Answers:
    """Read the metric by seed and example; the mean of the table is the figure that the report shows.

    Raises:
        UnmeasuredError: fewer than two seeds, or a store that keeps no labels.
        StoreError: a file is damaged.
    """
    if len(results.trainings) < 2:
        n = len(results.trainings)
        where = f"{results.name} on {results.task}"
        raise UnmeasuredError(f"{n} seed of {where}: the spread needs at least two")
    rows, labels = [], None
    for record in results.trainings:
        scores, own = (_find(record, f"{SPLITS[metric]}_{what}", results) for what in ("scores", "labels"))
        if scores.ndim != 2 or own.shape != scores.shape[:1] or not (labels is None or np.array_equal(labels, own)):
            raise StoreError(f"{record.cell.key}: scores and labels do not match", "run again with --fresh")
        labels = own
        right = (scores.argmax(1) == own) & np.isfinite(scores).all(1)  # a score that is not finite is no answer
        rows.append(_weigh(right.astype(float), own, metric, record))
    assert labels is not None
    return Answers(np.stack(rows), labels, tuple(record.cell.seed for record in results.trainings))


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


def _weigh(right: NDArray[np.float64], labels: NDArray[Any], metric: str, record: Record) -> NDArray[np.float64]:
    """Compute one row of the table of a metric."""
    if metric == "test_balanced_accuracy":
        classes, index, counts = np.unique(labels, return_inverse=True, return_counts=True)
        return right * (len(labels) / (len(classes) * counts[index]))
    if metric == "generalisation_gap":
        seen = record.figure("train_accuracy")
        if seen is None or seen.value is None:
            raise UnmeasuredError("no accuracy on the training examples")
        return seen.value - right
    return right
