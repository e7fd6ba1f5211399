"""A task at a glance: one joined table of accuracy and relative costs, and accuracy plotted against each cost."""

from collections.abc import Collection, Sequence
from dataclasses import replace

from dlmi_bench.errors import UsageError, list_choices
from dlmi_bench.extras import find_missing
from dlmi_bench.units import format_number, format_percent
from dlmi_reports.front.legend import move_remarks
from dlmi_reports.front.methods import METHODS
from dlmi_reports.plots.front import plot_front
from dlmi_reports.results.costs import COSTS, Cost, list_costs
from dlmi_reports.results.load import TaskResults
from dlmi_reports.results.model import ModelResults
from dlmi_reports.structure import Glance, Plot, Table
from dlmi_reports.tables.cells import render_gap
from dlmi_reports.tables.differences import compute_cost_ratio

# Costs of the joined table, which has six columns at most, and those of the plots.
SHOWN = ("latency", "parameters", "macs", "training")
MAX_COSTS = 4
PLOTTED = ("latency", "parameters", "macs", "file", "nonzero", "packed", "flash", "energy", "training")
LATENCY = " Latency of one image, ONNX Runtime, one thread, all models side by side."
OF_OTHERS = " Costs are as others reported them, with bounds taken as 95 % intervals."
REPORTED_AXES = {
    "latency": "latency, reported by others [us]",
    "energy": "energy of 1 000 inferences, reported by others [J]",
}
TITLES = {"macs": "MACs", "file": "bytes", "packed": "packed bytes"}
BEHIND = {cost.name: cost.name if cost.name in METHODS else "counts" for cost in COSTS} | {"flash": "firmware"}


def check_columns(names: Collection[str]) -> None:
    """Raise UsageError for a cost that there is not, or more of them than fit."""
    known = [cost.name for cost in COSTS]
    for name in names:
        if name not in known:
            raise UsageError(f"--columns: no {name!r}", list_choices(name, known))
    if len(names) > MAX_COSTS:
        raise UsageError(f"--columns: {len(names)} costs", f"a table has room for {MAX_COSTS}")


def make_glance(task: TaskResults, columns: Sequence[str] = SHOWN) -> Glance | None:
    """Make the glance of a task; None where there are no two models to compare."""
    table = make_joined_table(task, columns)
    return Glance(plot_costs(task), table) if table else None


def make_joined_table(task: TaskResults, columns: Sequence[str] = SHOWN) -> Table | None:
    """Make one row for each model whose costs are known: accuracy, and its costs as multiples of the reference's.

    `columns` are names of COSTS.

    Models that were trained for their accuracies alone are in the tables below; None where there are no two others.
    """
    shown = [cost for name in columns for cost in list_costs(task) if cost.name == name]
    known = [model for model in task.by_size if model.compute_accuracy() and any(c.find(model) for c in shown)]
    if len(known) < 2:
        return None
    is_chosen = task.reference in known
    reference = task.reference if is_chosen and task.reference else max(known, key=_get_mean)
    costs = [cost for cost in shown if cost.find(reference)]
    rows = [
        [model.name, _show_accuracy(model), *(_show_ratio(cost, model, reference) for cost in costs)] for model in known
    ]
    chosen = "" if task.chosen_reference and is_chosen else ", the most accurate of these"
    side_by_side = any(cost.name == "latency" for cost in costs) and not task.is_reported
    caption = (
        f"Costs are multiples of those of {reference.name}{chosen}: below 1 is cheaper. Brackets hold 95 % intervals; "
        f"counts are exact.{LATENCY if side_by_side else ''}{OF_OTHERS if task.is_reported else ''}"
    )
    header = ["model", "test accuracy, %", *(f"{TITLES.get(cost.name, cost.title)}, x" for cost in costs)]
    label = ", synthetic data" if task.is_synthetic else ""
    behind = ("accuracy", *dict.fromkeys(BEHIND[cost.name] for cost in costs))
    if task.is_reported:
        behind = ("reported",)
    return move_remarks(Table(f"Accuracy and cost, {task.name}{label}", caption, header, rows, methods=behind))


def plot_costs(task: TaskResults) -> list[Plot]:
    """Plot accuracy against each cost that any model has."""
    if find_missing("plots"):
        return []
    costs = [cost for name in PLOTTED for cost in list_costs(task) if cost.name == name]
    if task.is_reported:
        costs = [replace(cost, axis=REPORTED_AXES.get(cost.name, cost.axis)) for cost in costs]
    return [plot for cost in costs if (plot := plot_front(task, cost))]


def _get_mean(model: ModelResults) -> float:
    accuracy = model.compute_accuracy()
    return accuracy.mean if accuracy else 0.0


def _show_accuracy(model: ModelResults) -> str:
    accuracy = model.compute_accuracy()
    assert accuracy is not None
    lo, hi = (format_percent(bound) for bound in (accuracy.lo, accuracy.hi))
    return f"{format_percent(accuracy.mean)} [{lo}, {hi}]"


def _show_ratio(cost: Cost, model: ModelResults, reference: ModelResults) -> str:
    if model is reference:
        return "1"
    own, its = cost.find(model), cost.find(reference)
    ratio = compute_cost_ratio(own, its) if own and its else None
    if ratio is None:
        return render_gap(model, cost)
    if ratio.lo is None or ratio.hi is None or ratio.lo == ratio.hi:
        return f"{format_number(ratio.value)} ({ratio.reason})" if ratio.reason else format_number(ratio.value)
    spread = (ratio.hi - ratio.lo) / 2
    value, lo, hi = (format_number(x, spread) for x in (ratio.value, ratio.lo, ratio.hi))
    return f"{value} [{lo}, {hi}]"
