"""Records of one model on one task, and what its trainings say together."""

from collections.abc import Hashable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any

from dlmi_bench.records import CellKind, Figure, Record
from dlmi_bench.stats.intervals import Z95, Survival, compute_kaplan_meier, compute_sd, compute_wilson
from dlmi_bench.stats.linear import compute_score_interval
from dlmi_reports.results.folds import Repeat, count_examples, group_repeats, is_pooled, pool_figure
from dlmi_reports.results.machines import COSTLY, MEASURED, REPORTED, is_cost, is_on, list_kinds
from dlmi_reports.results.memo import remember
from dlmi_reports.results.provenance import read_provenance


@dataclass
class ModelResults:
    """All results of one model on one task; `folder` is that of the store, `whole` has the seeds that were left out.

    Attributes:
        kind: The only kind of machine whose times, energies and memory count, see `on`; None for any.
    """

    name: str
    trainings: list[Record] = field(default_factory=list)
    measured: dict[CellKind, Record] = field(default_factory=dict)
    trials: list[Record] = field(default_factory=list)
    task: str = ""
    folder: Path = Path()
    kind: str | None = None
    whole: "ModelResults | None" = field(default=None, repr=False)
    memo: dict[Hashable, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def list_kinds(self, cells: tuple[CellKind, ...] = COSTLY) -> list[str]:
        """List the kinds of machine on which those cells, by default all that depend on it, have costs."""
        return list_kinds((*self.select("training_s"), *self.measured.values()), cells)

    @remember
    def on(self, kind: str | None) -> "ModelResults":
        """Return the results with the costs of one kind of machine only; accuracies and counts are those of all."""
        measured = {cell: r for cell, r in self.measured.items() if cell not in MEASURED or is_on(r, kind)}
        trials = [trial for trial in self.trials if is_on(trial, kind)]
        return replace(self, kind=kind, measured=measured, trials=trials)

    def is_of(self, other: "ModelResults") -> bool:
        """Tell whether both are the same model, with the costs of any machine."""
        return self.trainings is other.trainings

    def select(self, name: str) -> list[Record]:
        """List the trainings that a figure is taken from: of a time or an energy, those on its kind of machine."""
        return [r for r in self.trainings if is_on(r, self.kind)] if self.kind and is_cost(name) else self.trainings

    @property
    def n_parameters(self) -> float:
        """Number of parameters, by which models are ordered; infinite if it was not counted."""
        figure = self.find("counts", "n_parameters")
        return figure.value if figure and figure.value is not None else float("inf")

    def find(self, kind: CellKind, name: str, **conditions: str | float) -> Figure | None:
        """Find a figure of a measured cell; None if that cell is not done."""
        record = self.measured.get(kind)
        return record.figure(name, **conditions) if record else None

    def find_latency(self) -> Figure | None:
        """Find the latency by which models are compared: ONNX Runtime, one example, one thread; or the reported one."""
        own = self.find("latency", "latency_s", backend="onnxruntime", batch=1, threads=1)
        return own or self.find("latency", "latency_s", backend=REPORTED)

    @cached_property
    def repeats(self) -> list[Repeat]:
        """Trainings that together were tested on every example once: single ones, or the folds of complete repeats."""
        return group_repeats(self.trainings)

    @remember
    def take(self, n_seeds: int | None) -> "ModelResults":
        """Return the results with the first seeds only, or repeats of folds; all of them for None."""
        if n_seeds is None or len(self.repeats) <= n_seeds:
            return self
        first = [record for repeat in self.repeats[:n_seeds] for record in repeat]
        return replace(self, trainings=first, whole=self)

    @property
    def is_from_elsewhere(self) -> bool:
        return bool(self.trainings) and read_provenance(self.trainings[0]).start.get("source") == "elsewhere"

    @property
    def is_reported(self) -> bool:
        """Tell whether its answers are those that others reported."""
        start = self.trainings[0].provenance.get("start") if self.trainings else None
        return isinstance(start, dict) and start.get("source") == REPORTED

    @remember
    def values(self, name: str) -> list[float]:
        """List the figure's value in each training that has one, in the order of the seeds; accuracies by repeat."""
        groups = self.repeats if is_pooled(name) else [(record,) for record in self.select(name)]
        return [v for group in groups if (v := pool_figure(group, name)) is not None]

    @remember
    def compute_accuracy(self, name: str = "test_accuracy") -> "Accuracy | None":
        """Compute the mean over seeds, or repeats of folds, with both kinds of uncertainty; None without a value."""
        values = self.values(name)
        if not values:
            return None
        n = next(count_examples(repeat, name) for repeat in self.repeats if pool_figure(repeat, name) is not None)
        n_effective = n / self._compute_design(name)
        lo, hi = compute_score_interval(fmean(values), n_effective, Z95)
        return Accuracy(fmean(values), compute_sd(values), lo, hi, n, len(values), n_effective)

    def _compute_design(self, name: str) -> float:
        """Compute how much less an example is worth because others are of the same group: mean over trainings."""
        figures = [f for record in self.trainings if (f := record.figure(name)) and is_grouped(f)]
        designs = []
        for figure in figures:
            if figure.value is not None and figure.lo is not None and figure.hi is not None:
                lo, hi = compute_wilson(figure.value * figure.n, figure.n)
                designs.append(max(1.0, ((figure.hi - figure.lo) / (hi - lo)) ** 2))
        return fmean(designs) if designs else 1.0

    @remember
    def compute_bounds(self, name: str) -> tuple[float, float] | None:
        """Mean bounds of a figure over trainings, as wide as those of one network; None of folds or without bounds."""
        figures = [f for record in self.trainings if (f := record.figure(name)) and f.value is not None]
        pairs = [(f.lo, f.hi) for f in figures if f.lo is not None and f.hi is not None]
        if not pairs or len(pairs) < len(figures) or any(len(repeat) > 1 for repeat in self.repeats):
            return None
        return fmean(lo for lo, _ in pairs), fmean(hi for _, hi in pairs)

    @remember
    def compute_reach(self) -> "Reach":
        """Compute how many trainings reached the target, and when the timed ones did; the others of them are censored.

        Whether it was reached is told by the epochs, which every training has.
        """
        reached = [has_reached(r) for r in self.trainings if r.figure("epochs_to_target")]
        lo, hi = compute_wilson(sum(reached), len(reached)) if reached else (0.0, 1.0)
        pairs = self.list_times_to_target()
        survival = compute_kaplan_meier([t for t, _ in pairs], [is_hit for _, is_hit in pairs])
        return Reach(sum(reached), len(reached), lo, hi, survival)

    @cached_property
    def timed(self) -> list[Record]:
        """Trainings that had the machine to themselves."""
        return [record for record in self.select("training_s") if record.is_timed]

    @remember
    def list_times_to_target(self) -> list[tuple[float, bool]]:
        """List for each timed training the time at which it reached the target, or ended without it (False) [s].

        Empty if the task states no target.
        """
        found = []
        for record in self.timed:
            hit, end = record.figure("time_to_target_s"), record.figure("training_s")
            if hit is not None and hit.value is not None:
                found.append((hit.value, True))
            elif hit is not None and end is not None and end.value is not None:
                found.append((end.value, False))
        return found


def is_grouped(figure: Figure) -> bool:
    """Tell whether the interval of a figure counts groups of examples as one."""
    return "groups" in figure.interval


def has_reached(record: Record) -> bool:
    """Tell whether a training reached the target."""
    hit = record.figure("epochs_to_target")
    return hit is not None and hit.value is not None


@dataclass(frozen=True)
class Accuracy:
    """Mean accuracy over seeds, or repeats of folds; sd over them; Wilson interval of sampling `n` examples.

    Attributes:
        n_effective: Independent examples that say as much: fewer than `n` where they come in groups.
    """

    mean: float
    sd: float | None
    lo: float
    hi: float
    n: int
    n_seeds: int
    n_effective: float


@dataclass(frozen=True)
class Reach:
    """Trainings that reached the target, with the Wilson interval of their share, and the time it took timed ones."""

    n_reached: int
    n_runs: int
    lo: float
    hi: float
    survival: Survival
