"""Cells of tables, as text."""

from collections.abc import Callable
from statistics import median

from dlmi_bench.records import UNTIMED, Figure, Mark
from dlmi_bench.units import format_count, format_percent, format_quantity, format_range, unit_of
from dlmi_reports.results.compact import list_noted
from dlmi_reports.results.costs import Cost, find_energy, is_elsewhere
from dlmi_reports.results.load import TaskResults
from dlmi_reports.results.machines import NOT_COMPARABLE
from dlmi_reports.results.marks import add_marks, find_invalid
from dlmi_reports.results.model import ModelResults

MISSING = "not measured"
NO_TARGET = "not measured: the task states no target"
ELSEWHERE = "trained elsewhere"
MACHINE = "machine"


def name_columns(task: TaskResults) -> list[str]:
    """Name the first columns of a table of costs: the model, and the kind of machine where there are several."""
    return ["model", MACHINE] if len(task.kinds) > 1 else ["model"]


def name_side(task: TaskResults, model: ModelResults) -> list[str]:
    """Write the first cells of one of the sides of a task."""
    return [model.name, model.kind or MISSING] if len(task.kinds) > 1 else [model.name]


def name_title(title: str, task: TaskResults) -> str:
    """Write the title of a table or plot, with the kind of machine where its costs are of one of several."""
    return f"{title}, {task.kind}" if task.kind else title


def show(figure: Figure | None, render: Callable[[Figure], str]) -> str:
    """Write the figure with `render`, or the reason why there is none."""
    if figure is None:
        return MISSING
    return f"n/a ({figure.reason})" if figure.value is None else render(figure)


def render(figure: Figure | None) -> str:
    """Write a figure with its bounds."""
    return show(figure, lambda f: format_range(f.value or 0.0, f.lo, f.hi, unit_of(f.name)))


def render_count(figure: Figure | None) -> str:
    return format_count(figure.value) if figure and figure.value is not None else MISSING


def render_fraction(figure: Figure | None) -> str:
    return format_percent(figure.value, 2) if figure and figure.value is not None else MISSING


def render_latency(figure: Figure | None) -> str:
    """Write a latency with its bounds and its marks."""
    return add_marks(render(figure), figure)


def render_gap(model: ModelResults, cost: Cost) -> str:
    """Write why a model has no cost to rank it by."""
    own = model.on(cost.kind) if cost.kind else model
    figure = own.find_latency() if cost.cell == "latency" else None
    if cost.cell == "energy":
        figure = find_energy(own, is_net=False)
    if find_invalid(figure):
        return f"n/a ({Mark.INVALID})"
    return NOT_COMPARABLE if is_elsewhere(cost, model) else MISSING


def render_seed_sd(model: ModelResults) -> str:
    """Write the standard deviation of the test accuracy over seeds."""
    accuracy = model.compute_accuracy()
    if accuracy is None:
        return MISSING
    return f"{format_percent(accuracy.sd, 2)} (n={accuracy.n_seeds})" if accuracy.sd is not None else "n/a (needs 2)"


def render_reach(model: ModelResults) -> str:
    """Write how many trainings reached the target, with the Wilson interval of their share."""
    reach = model.compute_reach()
    if not reach.n_runs:
        return render_untimed(model)
    return f"{reach.n_reached} of {reach.n_runs} [{format_percent(reach.lo, 0)}, {format_percent(reach.hi, 0)} %]"


def render_untimed(model: ModelResults) -> str:
    """Write why no training of a model has a time to target."""
    if not model.select("training_s"):
        return MISSING
    if model.is_from_elsewhere:
        return ELSEWHERE
    return NO_TARGET if model.timed else f"n/a ({UNTIMED})"


def render_spread(model: ModelResults, name: str) -> str:
    """Write the median over seeds, with smallest and largest, and the marks of all of them."""
    return add_marks(_render_range(model, name), *list_noted(model.select(name), name))


def _render_range(model: ModelResults, name: str) -> str:
    values = model.values(name)
    if not values and unit_of(name) == "s" and model.select(name) and not model.timed:
        return f"n/a ({UNTIMED})"
    if not values:
        return ELSEWHERE if model.is_from_elsewhere else "censored" if model.select(name) else MISSING
    middle, low, high = median(values), min(values), max(values)
    if unit_of(name) == "s":
        return format_range(middle, low, high, "s") if low < high else format_quantity(middle, "s")
    return f"{format_count(middle)} [{format_count(low)}, {format_count(high)}]" if low < high else format_count(middle)


def render_energy(figure: Figure | None) -> str:
    """Write an energy with its kind, source and marks."""
    return show(figure, lambda f: add_marks(f"{format_quantity(f.value or 0.0, 'j')} ({f.kind}, {f.source})", f))
