"""The store's records, grouped as reports need them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, median
from typing import Any

from bench.errors import StoreError
from bench.records import CellKind, Figure, Record
from bench.stats import Survival, compute_kaplan_meier, compute_sd, compute_wilson
from bench.store import Attempt, Store


@dataclass
class ModelResults:
    """All of one model on one task."""

    name: str
    trainings: list[Record] = field(default_factory=list)
    measured: dict[CellKind, Record] = field(default_factory=dict)

    def find(self, kind: CellKind, name: str, **conditions: Any) -> Figure | None:
        """A figure of a measured cell; None where that cell has not been done."""
        record = self.measured.get(kind)
        return record.figure(name, **conditions) if record else None

    def values(self, name: str) -> list[float]:
        """The figure's value in each training that has one, in the order of the seeds."""
        figures = [record.figure(name) for record in self.trainings]
        return [f.value for f in figures if f is not None and f.value is not None]

    def compute_accuracy(self, name: str = "test_accuracy") -> "Accuracy | None":
        """Mean over seeds with both kinds of uncertainty; None where no training has the figure."""
        values = self.values(name)
        if not values:
            return None
        figures = [f for r in self.trainings if (f := r.figure(name)) and f.value is not None]
        n = figures[0].n
        lo, hi = compute_wilson(fmean(values) * n, n)
        return Accuracy(fmean(values), compute_sd(values), lo, hi, n, len(values))

    def compute_reach(self) -> "Reach":
        """How many trainings met the target, and when; those that did not are censored at their end."""
        times, reached = [], []
        for record in self.trainings:
            hit, end = record.figure("time_to_target_s"), record.figure("training_s")
            is_hit = hit is not None and hit.value is not None
            value = hit.value if is_hit and hit else end.value if end else None
            if value is not None:
                times.append(value)
                reached.append(is_hit)
        lo, hi = compute_wilson(sum(reached), len(reached)) if reached else (0.0, 1.0)
        return Reach(sum(reached), len(reached), lo, hi, compute_kaplan_meier(times, reached))


@dataclass(frozen=True)
class Accuracy:
    """Mean accuracy over seeds; sd over seeds; Wilson interval of sampling `n` examples."""

    mean: float
    sd: float | None
    lo: float
    hi: float
    n: int
    n_seeds: int


@dataclass(frozen=True)
class Reach:
    """Trainings that reached the target, with the Wilson interval of their share, and the time it took."""

    n_reached: int
    n_runs: int
    lo: float
    hi: float
    survival: Survival


@dataclass
class TaskResults:
    """All models of one task, in the order in which they were first run."""

    name: str
    models: dict[str, ModelResults] = field(default_factory=dict)

    @property
    def trainings(self) -> Iterator[Record]:
        for model in self.models.values():
            yield from model.trainings

    @property
    def provenance(self) -> dict[str, Any]:
        """Data, splits and target, from the first training; empty where there is none."""
        return next((dict(record.provenance) for record in self.trainings), {})

    @property
    def is_synthetic(self) -> bool:
        return bool(self.provenance.get("data", {}).get("is_synthetic"))


@dataclass
class Results:
    """Everything a report shows."""

    tasks: dict[str, TaskResults]
    records: list[Record]
    failures: list[Attempt]
    folder: Path  # of the store, where the files lie


def load_results(store: Store) -> Results:
    """Current records of the store.

    Raises:
        StoreError: there is none.
    """
    attempts = store.current()
    records = [attempt.record for attempt in attempts.values() if attempt.record]
    if not records:
        raise StoreError(f"{store.folder}: no finished cell", "run `dlmi-bench run` first, or look at its errors")
    tasks: dict[str, TaskResults] = {}
    for record in sorted(records, key=lambda r: r.cell.seed_index):
        cell = record.cell
        task = tasks.setdefault(cell.task, TaskResults(cell.task))
        model = task.models.setdefault(cell.model, ModelResults(cell.model))
        if cell.kind == "train":
            model.trainings.append(record)
        else:
            model.measured[cell.kind] = record
    return Results(tasks, records, store.failures(), folder=store.folder)


def compute_median_range(values: list[float]) -> tuple[float, float, float]:
    """Median, smallest and largest."""
    return median(values), min(values), max(values)
