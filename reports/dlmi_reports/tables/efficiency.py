"""Efficiency: correct answers per cost, and the average training time until the target is reached."""

from statistics import fmean

from dlmi_bench.records import Figure, Mark
from dlmi_bench.stats.intervals import compute_cost_per_success
from dlmi_bench.units import format_quantity, format_range, format_share
from dlmi_reports.results.load import TaskResults
from dlmi_reports.results.marks import add_marks, find_invalid
from dlmi_reports.results.model import Accuracy, ModelResults
from dlmi_reports.structure import Table
from dlmi_reports.tables.cells import MISSING, name_columns, name_side, render_untimed
from dlmi_reports.tables.classes import read_classes
from dlmi_reports.tables.differences import compute_accuracy_difference

GIGA = 1e9
N_INFERENCES = 1000  # of the window of energy


def make_efficiency_tables(task: TaskResults) -> list[Table]:
    """One table; none if the number of classes is unknown or nothing was trained."""
    n_classes = len(read_classes(task))
    if not n_classes or task.reference is None:
        return []
    rows = [
        [*name_side(task, model), *_describe(model, task, 1 / n_classes), render_success(model)]
        for model in task.list_sides("train", "energy")
    ]
    caption = (
        f"Correct answers above chance (1 of {n_classes}) per 10^9 multiply-accumulates and per measured joule of the "
        f"processor. Models that are significantly less accurate than {task.reference.name} have no such figure, and "
        "modelled joules give none, because they are only time. Time per success is the average training time until "
        "the target is reached, if trainings that fail are repeated: the time to the target, plus (1 - p) / p times "
        "the length of a training that fails, where p is the share that reaches it. Brackets hold 95 % intervals, "
        "from Wilson's for the accuracy and for p."
    )
    header = [*name_columns(task), "correct answers per GMAC", "correct answers per joule", "training time per success"]
    notes = ["The share p is that of all trainings, on whatever machine."] if len(task.kinds) > 1 else []
    return [Table("Efficiency", caption, header, rows, notes)]


def _describe(model: ModelResults, task: TaskResults, chance: float) -> list[str]:
    accuracy, reference = model.compute_accuracy(), task.reference
    if accuracy is None or reference is None:
        return [MISSING, MISSING]
    difference = compute_accuracy_difference(model, reference)
    if not model.is_of(reference) and difference and difference.hi is not None and difference.hi < 0:
        return [f"n/a (less accurate than {reference.name})"] * 2
    if accuracy.lo <= chance:
        return ["n/a (not above chance)"] * 2
    energy = model.find("energy", "inference_energy_j", component="cpu")
    return [
        _render_rate(accuracy, chance, model.find("counts", "macs"), GIGA),
        "n/a (modelled only)"
        if energy and energy.kind == "modelled"
        else _render_rate(accuracy, chance, energy, N_INFERENCES),
    ]


def _render_rate(accuracy: Accuracy, chance: float, cost: Figure | None, scale: float) -> str:
    if cost is None or not cost.value:
        return f"n/a ({cost.reason})" if cost and cost.reason else MISSING
    if find_invalid(cost):
        return f"n/a ({Mark.INVALID})"
    value, lo, hi = (scale * (x - chance) / cost.value for x in (accuracy.mean, accuracy.lo, accuracy.hi))
    return add_marks(format_range(value, lo, hi, ""), cost)


def render_success(model: ModelResults) -> str:
    """Write the expected training time until one training reaches the target."""
    pairs, whole = model.list_times_to_target(), model.values("training_s")
    if not pairs:
        return render_untimed(model)
    reached, ended = [t for t, is_hit in pairs if is_hit], [t for t, is_hit in pairs if not is_hit]
    reach = model.compute_reach()
    if not reached:
        least = compute_cost_per_success(0.0, fmean(ended), reach.hi)
        n = f"{reach.n_reached} of {reach.n_runs}"
        return f"over {format_quantity(least, 's')} ({n}, p at most {format_share(reach.hi)})"
    in_vain = fmean(ended or whole or reached)  # if none failed, a failure counts as a whole training
    shares = (reach.n_reached / reach.n_runs, reach.hi, reach.lo)
    # The bounds are far apart and asymmetric, so each is rounded on its own.
    value, lo, hi = (format_quantity(compute_cost_per_success(fmean(reached), in_vain, p), "s") for p in shares)
    return f"{value} [{lo}, {hi}]"
