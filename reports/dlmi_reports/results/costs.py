"""Costs by which models are compared, and where each is found in the store."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from statistics import median

from dlmi_bench.records import CellKind, Figure, Record
from dlmi_bench.store.rounds import find_session
from dlmi_reports.results.load import TaskResults
from dlmi_reports.results.machines import REPORTED, find_kind
from dlmi_reports.results.marks import find_invalid
from dlmi_reports.results.model import ModelResults


@dataclass(frozen=True)
class CostSample:
    """A cost of one model with its bounds, in SI units, and its samples.

    Without `samples` the cost is exact. Samples with a `session` are process medians, which are paired with those of
    the same session and never compared with others; those without are independent. Costs of several kinds of `machines`
    have no ratio. Those that others reported have bounds at most, which count as a 95 % interval.
    """

    value: float
    lo: float
    hi: float
    samples: tuple[float, ...] = ()
    session: str = ""
    machines: frozenset[str] = frozenset()
    is_reported: bool = False


@dataclass(frozen=True)
class Cost:
    """One kind of cost.

    Attributes:
        name: One word, also in the name of the plot's file.
        title: Header of a column.
        axis: Label of an axis, with the unit.
        scale: From SI units to those of the axis.
        unit: Unit of the cost itself, as in dlmi_bench.units.
        cell: Kind of cell; counts are exact, all others depend on the machine.
        find: Finds the model's cost; None if it was not measured, only modelled, or is INVALID.
        kind: Kind of machine that it was measured on; None for any.
    """

    name: str
    title: str
    axis: str
    scale: float
    unit: str
    cell: CellKind
    find: Callable[[ModelResults], CostSample | None]
    kind: str | None = None

    def on(self, kind: str) -> "Cost":
        """Return the cost as measured on one kind of machine, which title and axis name."""
        title, axis = (f"{text} on {kind}" for text in (self.title, self.axis))
        return replace(self, title=title, axis=axis, find=lambda model: self.find(model.on(kind)), kind=kind)


def _find_count(model: ModelResults, name: str, **conditions: str) -> CostSample | None:
    """Find an exact count; None of 0, which has no ratio and no place on a logarithmic axis."""
    figure = model.find("counts", name, **conditions)
    return CostSample(figure.value, figure.value, figure.value) if figure and figure.value else None


def _find_latency(model: ModelResults) -> CostSample | None:
    """Find the latency; an INVALID one is excluded from rankings, as for energy."""
    figure = model.find_latency()
    sample = None if find_invalid(figure) else _make_sampled(figure)
    if sample is None:
        return None
    record = model.measured["latency"]
    return replace(sample, session=find_session(record), machines=list_machines([record]))


def _find_energy(model: ModelResults, *, is_net: bool = False) -> CostSample | None:
    """Find measured joules: modelled ones are time multiplied by a constant, and excluded from rankings."""
    figure = find_energy(model, is_net=is_net)
    sample = _make_sampled(figure) if figure and figure.kind == "measured" and not find_invalid(figure) else None
    return replace(sample, machines=list_machines([model.measured["energy"]])) if sample else None


def find_energy(model: ModelResults, *, is_net: bool) -> Figure | None:
    """Find the energy of 1 000 inferences, processor only; net excludes what the idle machine draws."""
    return model.find("energy", "inference_energy_j", component="cpu", idle_subtracted=is_net)


def find_training_energies(model: ModelResults, *, is_net: bool) -> list[Figure]:
    """List the energy of each whole training that has such a figure, available or not, processor only."""
    wanted = {"component": "cpu", "idle_subtracted": is_net}
    found = [record.figure("training_energy_j", **wanted) for record in model.select("training_energy_j")]
    return [figure for figure in found if figure]


def list_meters(figures: Iterable[Figure]) -> list[str]:
    """List "kind, source" of the available joules; those of two meters are neither averaged nor compared."""
    return sorted({f"{figure.kind}, {figure.source}" for figure in figures if figure.value is not None})


def _find_training(model: ModelResults) -> CostSample | None:
    values = model.values("training_s")
    if not values:
        return None
    return CostSample(median(values), min(values), max(values), tuple(values), machines=list_machines(model.timed))


def list_machines(records: Iterable[Record]) -> frozenset[str]:
    """List the kinds of machine of the records; times of different machines do not compare models."""
    return frozenset(kind for record in records if (kind := find_kind(record)))


def _make_sampled(figure: Figure | None) -> CostSample | None:
    if figure is None or figure.value is None:
        return None
    lo = figure.value if figure.lo is None else figure.lo
    hi = figure.value if figure.hi is None else figure.hi
    is_reported = figure.conditions.get("backend") == REPORTED
    return CostSample(figure.value, lo, hi, figure.samples or (figure.value,), is_reported=is_reported)


ENERGY = "energy of 1 000 inferences, processor, measured"


def _find_flash(model: ModelResults) -> CostSample | None:
    """Find the bytes of the image for the smallest family; exact."""
    figure = model.find("firmware", "flash_bytes", target="cortex-m0plus")
    return CostSample(figure.value, figure.value, figure.value) if figure and figure.value else None


PARAMETERS = partial(_find_count, name="n_parameters")
MACS = partial(_find_count, name="macs")
FILE = partial(_find_count, name="size_bytes", artifact="onnx")
NONZERO = partial(_find_count, name="n_nonzero")
PACKED = partial(_find_count, name="size_bytes", artifact="packed")
COSTS: tuple[Cost, ...] = (
    Cost("parameters", "parameters", "parameters", 1.0, "parameters", "counts", PARAMETERS),
    Cost("macs", "MACs", "multiply-accumulates of one example", 1.0, "macs", "counts", MACS),
    Cost("file", "ONNX file", "ONNX file [KiB]", 1 / 1024, "bytes", "counts", FILE),
    Cost("nonzero", "nonzero weights", "nonzero weights", 1.0, "weights", "counts", NONZERO),
    Cost("packed", "packed", "numbers of the ONNX file, packed [KiB]", 1 / 1024, "bytes", "counts", PACKED),
    Cost("flash", "flash", "flash of the image for Cortex-M0+ [KiB]", 1 / 1024, "bytes", "firmware", _find_flash),
    Cost("latency", "latency", "latency at batch 1, ONNX Runtime, one thread [us]", 1e6, "s", "latency", _find_latency),
    Cost("energy", "energy, gross", f"{ENERGY} [J]", 1.0, "j", "energy", _find_energy),
    Cost(
        "energy-net", "energy, net", "the same, net of idle [J]", 1.0, "j", "energy", partial(_find_energy, is_net=True)
    ),
    Cost("training", "training", "training, one thread [s]", 1.0, "s", "train", _find_training),
)
# Costs that are the same on every machine.
EXACT: tuple[CellKind, ...] = ("counts", "firmware")


def list_costs(task: TaskResults) -> list[Cost]:
    """List the costs that the models of a task may have: where there are several kinds of machine, one for each."""
    if len(task.kinds) < 2:
        return [*COSTS]
    return [each for cost in COSTS for each in ([cost] if cost.cell in EXACT else map(cost.on, task.kinds))]


def is_elsewhere(cost: Cost, model: ModelResults) -> bool:
    """Tell whether a model has the cost on another kind of machine alone."""
    whole = next(each for each in COSTS if each.name == cost.name)
    return cost.kind is not None and not cost.find(model) and whole.find(model) is not None
