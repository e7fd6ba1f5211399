"""Plots of training: learning curves, and time to target."""

from bisect import bisect_right
from typing import TYPE_CHECKING

from dlmi_bench.records import Record
from dlmi_bench.units import format_quantity, format_share
from dlmi_reports.plots.canvas import INK, canvas, get_size, get_style, shorten
from dlmi_reports.plots.front import make_title, name_plot
from dlmi_reports.results.compact import find_detail
from dlmi_reports.results.load import TaskResults
from dlmi_reports.results.model import ModelResults
from dlmi_reports.structure import Plot
from dlmi_reports.tables.cells import name_title

if TYPE_CHECKING:
    from matplotlib.axes import Axes

N_CURVES = 20  # seeds per model; the tables have all
N_MODELS = 20  # models per plot, fewest parameters first


def plot_curves(task: TaskResults) -> list[Plot]:
    """Draw the plots for which there are figures, for each kind of machine."""
    return [plot for view in task.by_kind for draw in (plot_learning, plot_survival) if (plot := draw(view))]


def read_curve(record: Record) -> tuple[list[float], list[float]]:
    """Read training time [s] and validation accuracy at each evaluation; empty if none was kept."""
    pairs = [(p.get("training_s"), p.get("validation_accuracy")) for p in find_detail(record, "curve") or ()]
    points = [(t, v) for t, v in pairs if t is not None and v is not None]
    return [t for t, _ in points], [v for _, v in points]


def plot_learning(task: TaskResults) -> Plot | None:
    """Draw a panel per model, a line per seed, and the target."""
    shown = [m for m in task.by_size if any(read_curve(r)[0] for r in m.select("training_s"))][:N_MODELS]
    if not shown:
        return None
    n_rows = (len(shown) + 1) // 2
    target = task.provenance.goal
    title = make_title(task, "learning curves, one line per seed")
    with canvas(
        name_plot("learning-{}", task, task.kind), title, n_rows=n_rows, n_columns=2, height=0.8 + 1.7 * n_rows
    ) as drawing:
        axes = drawing.figure.axes
        curves = {m.name: [values for r in m.select("training_s") if (values := read_curve(r)[1])] for m in shown}
        lows = [100 * min(values[1:]) for found in curves.values() for values in found if values[1:]]
        for axis, model in zip(axes, shown, strict=False):
            for index, record in enumerate(model.select("training_s")[:N_CURVES]):
                times, values = read_curve(record)
                if not times:
                    continue
                style, run = get_style(index), record.cell.seed_index + 1 if model.kind else index + 1
                (line,) = axis.plot(times, [100 * v for v in values], color=style.color, linestyle=style.line, lw=1)
                drawing.hover(
                    line, f"{model.name}, run {run}: ends at {100 * values[-1]:.1f} % after {times[-1]:.1f} s"
                )
            if target:
                axis.axhline(100 * target, color=INK, lw=0.6, ls=(0, (1, 2)))
            axis.set_title(shorten(model.name), fontsize=0.9 * get_size())
            axis.set_ylim(max(0.0, min(lows, default=0.0) - 2), 101)
            axis.tick_params(labelsize=0.8 * get_size())
        for axis in axes[len(shown) :]:
            axis.remove()
        drawing.figure.supxlabel("training time [s]", fontsize=get_size())
        drawing.figure.supylabel("validation accuracy [%]", fontsize=get_size())
    goal = f" The dotted line is the target of {format_share(target)}." if target else ""
    where, ends = name_title(task.name, task), "; ".join(f"{n} {_describe_ends(found)}" for n, found in curves.items())
    return drawing.to_plot(
        f"Validation accuracy on {where} over the training time, one line per seed.{goal} Final accuracies: {ends}."
    )


def _describe_ends(curves: list[list[float]]) -> str:
    ends = [values[-1] for values in curves]
    lo, hi = format_share(min(ends), 1), format_share(max(ends), 1)
    return lo if lo == hi else f"{lo} to {hi}"


def plot_survival(task: TaskResults) -> Plot | None:
    """Draw the share of trainings that have reached the target over time; crosses are runs that ended without it."""
    shown = [model for model in task.by_size if model.list_times_to_target()][:N_MODELS]
    if not shown:
        return None
    with canvas(
        name_plot("survival-{}", task, task.kind),
        make_title(task, "share that reached the target, over time"),
        height=4.4,
    ) as drawing:
        axis = drawing.axis
        for index, model in enumerate(shown):
            _draw_survival(axis, model, index)
        axis.set_ylim(-0.03, 1.05)
        axis.set_xlim(left=0)
        axis.set_xlabel("training time [s]")
        axis.set_ylabel("share that reached the target")
        axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.26), ncols=2)
    said = "; ".join(f"{m.name} {_describe_reach(m)}" for m in shown)
    return drawing.to_plot(
        f"Share of trainings on {name_title(task.name, task)} that have reached the validation target, over the "
        f"training time (Kaplan-Meier). A cross is a run that ended without reaching it. {said}."
    )


def _draw_survival(axis: "Axes", model: ModelResults, index: int) -> None:
    reach, style = model.compute_reach(), get_style(index)
    censored = [t for t, is_hit in model.list_times_to_target() if not is_hit]
    times, shares = [0.0, *reach.survival.times], [0.0, *(1 - s for s in reach.survival.surviving)]
    end = max([*times, *censored])
    axis.step(
        [*times, end], [*shares, shares[-1]], where="post", markevery=slice(1, -1), ms=5, lw=1.2,
        label=shorten(model.name), color=style.color, marker=style.marker, linestyle=style.line,
    )  # fmt: skip
    at = [shares[bisect_right(times, c) - 1] for c in censored]  # shares grow with the times
    axis.plot(censored, at, ls="", marker="x", color=style.color, ms=7)


def _describe_reach(model: ModelResults) -> str:
    pairs, median_s = model.list_times_to_target(), model.compute_reach().survival.median
    median = f", half of them by {format_quantity(median_s, 's')}" if median_s else ""
    return f"{sum(is_hit for _, is_hit in pairs)} of {len(pairs)}{median}"
