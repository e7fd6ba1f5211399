"""What a store says about a claim's population: tables of right and wrong answers, costs by seed or by process."""

from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import BenchError, StoreError
from bench.estimates import Table
from bench.records import CellKind, Figure, Record
from bench.store import artifact_path
from reports.load import ModelResults, Results
from reports.predicates import Conditions, OnTask

SPLITS = {
    "test_accuracy": "test",
    "test_balanced_accuracy": "test",
    "validation_accuracy": "validation",
    "generalisation_gap": "test",
}
CELLS: dict[str, CellKind] = {"latency_s": "latency", "inference_energy_j": "energy"}


class UnmeasuredError(BenchError):
    """The store does not hold what the claim is about. Without a remedy, the claim's own command measures it."""

    def __init__(self, cause: str, remedy: str = "") -> None:
        super().__init__(cause, remedy)


class Evidence:
    """Reads from the records and files of one store; every file once."""

    def __init__(self, results: Results) -> None:
        self._results = results
        self._read = cache(self._load)

    def find_model(self, claim: OnTask, model: str = "", task: str = "") -> ModelResults:
        """Results of a model of the claim, or of another one on the claim's task.

        Raises:
            UnmeasuredError: there are none, or on the wrong sort of data.
        """
        model, task = model or claim.model, task or claim.task
        found = self._results.tasks.get(task)
        if found is None or model not in found.models:
            raise UnmeasuredError(f"no run of {model} on {task}")
        if claim.data != "any" and found.is_synthetic != (claim.data == "synthetic"):
            has = "synthetic" if found.is_synthetic else "real"
            raise UnmeasuredError(f"needs {claim.data} data, the store has {has} data of {task}")
        return found.models[model]

    def is_synthetic(self, task: str) -> bool:
        return task in self._results.tasks and self._results.tasks[task].is_synthetic

    def find_observer(self, task: str, observer: str) -> float:
        """Test accuracy of an observer of the task, for instance chance."""
        for record in self._results.records:
            figure = record.figure("test_accuracy", observer=observer)
            if record.cell.task == task and figure is not None and figure.value is not None:
                return figure.value
        raise UnmeasuredError(f"no figure of {observer} on {task}")

    def read_table(self, claim: OnTask, metric: str, model: str = "", task: str = "") -> "Answers":
        """The metric by seed and example: its mean over the table is the figure that the report shows.

        Raises:
            UnmeasuredError: fewer than two seeds, or a store that keeps no labels.
            StoreError: a file is damaged.
        """
        results = self.find_model(claim, model, task)
        if len(results.trainings) < 2:
            n = len(results.trainings)
            where = f"{model or claim.model} on {task or claim.task}"
            raise UnmeasuredError(f"{n} seed of {where}: two at least show how much they differ")
        rows, labels = [], None
        for record in results.trainings:
            scores, own = (self._find(record, f"{SPLITS[metric]}_{what}", results) for what in ("scores", "labels"))
            if scores.ndim != 2 or own.shape != scores.shape[:1] or not (labels is None or np.array_equal(labels, own)):
                raise StoreError(f"{record.cell.key}: scores and labels do not fit", "run again with --fresh")
            labels = own
            right = (scores.argmax(1) == own) & np.isfinite(scores).all(1)  # a score that is no number is no answer
            rows.append(_weigh(right.astype(float), own, metric, record))
        assert labels is not None
        return Answers(np.stack(rows), labels, tuple(record.cell.seed for record in results.trainings))

    def _find(self, record: Record, role: str, results: ModelResults) -> NDArray[Any]:
        try:
            artifact = record.artifact(role)
        except KeyError:
            what = f"the run of {results.name} kept no {role.replace('_', ' ')}"
            raise UnmeasuredError(what) from None
        return self._read(artifact_path(self._results.folder, artifact))

    def _load(self, path: Path) -> NDArray[Any]:
        try:
            array: NDArray[Any] = np.load(path, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise StoreError(f"{path}: {error}", "the same `dlmi-bench run` makes it again") from error
        return array

    def find_figure(self, claim: Conditions, metric: str, model: str = "") -> tuple[Figure, Record]:
        """A figure of a measured cell under the claim's conditions, with its record."""
        results = self.find_model(claim, model)
        record = results.measured.get(CELLS[metric])
        figure = next((f for f in record.figures if f.name == metric and _fits(f, claim)), None) if record else None
        if record is None or figure is None or figure.value is None:
            why = f": {figure.reason}" if figure is not None else ""
            where = ", ".join(f"{name} {value}" for name, value in claim.list_conditions().items())
            raise UnmeasuredError(f"no {metric} of {results.name} ({where}){why}")
        if invalid := next((note for note in figure.notes if note.startswith("INVALID")), None):
            raise UnmeasuredError(
                f"{metric} of {results.name}: {invalid}", "the same run with --fresh, on a quiet machine"
            )
        return figure, record

    def find_artifact(self, claim: OnTask, role: str) -> Path:
        results = self.find_model(claim)
        if not results.trainings:
            raise UnmeasuredError(f"no training of {results.name}")
        return artifact_path(self._results.folder, results.trainings[0].artifact(role))

    def find_count(self, claim: OnTask, metric: str, model: str) -> float:
        """An exact count of the model."""
        results = self.find_model(claim, model)
        conditions = {"artifact": "onnx"} if metric == "size_bytes" else {}
        figure = results.find("counts", metric, **conditions)
        if figure is None or figure.value is None:
            raise UnmeasuredError(f"no {metric} of {results.name}")
        return figure.value

    def find_of_task(self, task: str, name: str) -> Figure:
        """A figure that belongs to a task rather than to a model, with samples."""
        for record in self._results.records:
            figure = record.figure(name)
            if record.cell.task == task and figure is not None and figure.samples:
                return figure
        raise UnmeasuredError(f"no {name} of {task}")


class Answers:
    """A metric by seed and example, with what tells whether two of them can be paired."""

    def __init__(self, table: Table, labels: NDArray[Any], seeds: tuple[int, ...]) -> None:
        self.table = table
        self.labels = labels
        self.seeds = seeds

    def check_same_examples(self, other: "Answers") -> None:
        """Raises UnmeasuredError where the examples differ."""
        if not np.array_equal(self.labels, other.labels):
            raise UnmeasuredError(
                "the two were judged on different examples", "run both on the same data, with --fresh"
            )


def check_same_session(records: list[Record]) -> None:
    """Latencies are compared within one session only; raises UnmeasuredError where they are of several."""
    for first, second in pairwise(records):
        if any(first.provenance.get(key) != second.provenance.get(key) for key in ("date", "machine_id")):
            raise UnmeasuredError(
                f"{first.cell.model} and {second.cell.model} were timed in different sessions",
                "run both at once, with --fresh",
            )


def _weigh(right: NDArray[np.float64], labels: NDArray[Any], metric: str, record: Record) -> NDArray[np.float64]:
    """One row of the table of a metric."""
    if metric == "test_balanced_accuracy":
        classes, index, counts = np.unique(labels, return_inverse=True, return_counts=True)
        return right * (len(labels) / (len(classes) * counts[index]))
    if metric == "generalisation_gap":
        seen = record.figure("train_accuracy")
        if seen is None or seen.value is None:
            raise UnmeasuredError("no accuracy on the training examples")
        return seen.value - right
    return right


def _fits(figure: Figure, claim: Conditions) -> bool:
    """Whether the figure has the claim's conditions; a figure that names no device is the processor's."""
    have = {"device": "cpu", "component": "cpu"} | figure.conditions
    want = claim.list_conditions() | {"component": "cpu"}
    return all(have.get(name) == value for name, value in want.items())
