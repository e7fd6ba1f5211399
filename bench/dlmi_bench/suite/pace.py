"""How long cells take: as the store knows or this run has measured; else typical times, scaled by the run's pace."""

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from statistics import fmean

from dlmi_bench.backends import BACKENDS
from dlmi_bench.instruments.host.kinds import is_here
from dlmi_bench.records import ARM, Cell, CellKind, Record
from dlmi_bench.suite.measures import MEASURES
from dlmi_bench.suite.plan import Step
from dlmi_bench.suite.suites import Suite
from dlmi_models import MODELS
from dlmi_tasks import get_task

# Of one training with its export, on one core of a server; measured once and rounded [s].
TRAINING_S = {
    "softmax": 2,
    "mlp-16-12": 20,
    "sepconv-6-9-10": 16,
    "conv-12-18-20": 22,
    "mlp-64-32": 6,
    "mlp-512-256": 5,
    "lecun-1989": 8,
    "cnn-4": 6,
    "cnn-32": 20,
    "cnn-16": 13,
    "vgg16-c": 13,
    "resnet-c": 10,
    "vit-c": 13,
    "efficientnet-lite0": 60,
}
OTHER_TRAINING_S = 20.0
LARGE_TRAINING_S = 3600.0
COUNT_S, LARGE_COUNT_S = 0.5, 3.0
REFERENCES_S = 2.0
TRUSTED_S = 20.0  # of typical time that count as measured: one slow step does not make a run ten times as long
START_S = 5.0  # of the worker that trains, with its imports
PROCESS_S = 1.5  # to start one that loads a runtime
COMPILED_S = 20.0  # to compile a model, on top
IMAGE_S = 4.0  # to make an image and run the test split on it
PEAKS_S = 6.0  # of the machine
ROUND_S = 0.012  # of one model, all batch sizes


def compute_typical_s(cell: Cell, suite: Suite, n_models: int) -> float:
    """Compute the typical time of a cell [s]; of one of `n_models` that are timed side by side, its share."""
    n_compiled = sum(BACKENDS[name].is_compiled for name in suite.backends)
    if cell.kind == "train":
        return compute_training_s(cell.task, cell.model)
    if cell.kind == "counts":
        return LARGE_COUNT_S if _is_large(cell.model) else COUNT_S
    if cell.kind == "memory":
        return len(suite.backends) * PROCESS_S + n_compiled * COMPILED_S
    if cell.kind == "firmware":
        return len(suite.targets) * IMAGE_S
    if cell.kind == "energy":
        return 1 + suite.energy_window_s
    if cell.kind == "latency":
        n_processes = suite.n_processes * len(suite.threads)
        start_s = len(suite.threads) * PEAKS_S + len(suite.backends) * n_processes * PROCESS_S
        rounds_s = len(suite.backends) * n_processes * suite.n_rounds * ROUND_S
        return start_s / n_models + rounds_s + n_compiled * n_processes * COMPILED_S
    return REFERENCES_S


def compute_training_s(task: str, model: str) -> float:
    """Compute the typical time of a training [s]; of an arm with larger images than its task, in proportion."""
    if _is_large(model):
        return LARGE_TRAINING_S
    n_pixels, n_usual = (math.prod(get_task(name).input_shape) for name in (task, task.partition(ARM)[0]))
    return TRAINING_S.get(model.partition(ARM)[0], OTHER_TRAINING_S) * n_pixels / n_usual


def _is_large(model: str) -> bool:
    return model in MODELS and MODELS[model].is_large


class Pace:
    """Times of cells, which gets better while a run goes on.

    Args:
        stored: Their times count where kind of machine and settings are those of now.
    """

    def __init__(self, suite: Suite, stored: Iterable[Record]) -> None:
        self._suite = suite
        self._times: defaultdict[tuple[CellKind, str, str, bool], list[float]] = defaultdict(list)
        self._measured_s: Counter[str] = Counter()
        self._typical_s: Counter[str] = Counter()
        for record in stored:
            took_s, cell = record.provenance.get("took_s"), record.cell
            if isinstance(took_s, int | float) and _is_alike(record, suite):
                self._times[cell.kind, cell.task, cell.model, record.is_timed].append(took_s)

    def learn(self, cell: Cell, took_s: float, *, is_timed: bool = True, n_models: int = 1) -> None:
        """Take in the time of a cell of this run [s], less the start of the worker in that of the first one."""
        if not self._typical_s:
            took_s = max(took_s - START_S, took_s / 2)
        self._times[cell.kind, cell.task, cell.model, is_timed].append(took_s)
        self._measured_s[cell.kind] += took_s  # type: ignore[assignment]
        self._typical_s[cell.kind] += compute_typical_s(cell, self._suite, n_models)  # type: ignore[assignment]

    def knows(self, cell: Cell, *, is_timed: bool = True) -> bool:
        """Tell whether a cell of its kind, task and model was timed, here and with these settings."""
        return (cell.kind, cell.task, cell.model, is_timed) in self._times

    def estimate(self, step: Step, cells: Collection[Cell], n_places: int = 1) -> float:
        """Estimate how long those cells of a step take [s], so many at once."""
        total_s = sum(self._estimate(cell, step.is_timed, len(step.cells)) for cell in cells)
        return total_s / max(1, min(n_places, len(cells)))

    def _estimate(self, cell: Cell, is_timed: bool, n_models: int) -> float:
        for has_machine in (is_timed, not is_timed):
            if found := self._times.get((cell.kind, cell.task, cell.model, has_machine)):
                return fmean(found)
        kinds = [cell.kind] if self._typical_s[cell.kind] else [*self._typical_s]
        typical_s = sum(self._typical_s[kind] for kind in kinds)
        measured_s = sum(self._measured_s[kind] for kind in kinds)
        ratio = (measured_s + TRUSTED_S) / (typical_s + TRUSTED_S)
        return ratio * compute_typical_s(cell, self._suite, n_models)


def list_changes(then: object, now: Mapping[str, object]) -> list[str]:
    """List what differs between two sets of versions or settings."""
    before = then if isinstance(then, dict) else {}
    return [f"{name} {before.get(name)} -> {value}" for name, value in now.items() if before.get(name) != value]


def _is_alike(record: Record, suite: Suite) -> bool:
    """Tell whether a result comes from this kind of machine and these settings."""
    if record.cell.kind not in MEASURES or not is_here(record.provenance):
        return False
    settings = suite.model_dump(mode="json", include={*MEASURES[record.cell.kind].settings})
    return not record.is_timed or not list_changes(record.provenance.get("suite"), settings)
