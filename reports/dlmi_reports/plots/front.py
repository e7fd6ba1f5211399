"""Plots of accuracy against each cost, with error bars and the front as a band."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dlmi_bench.stats.intervals import compute_front
from dlmi_reports.plots.canvas import INK, PAPER, QUIET, canvas, get_size, shorten
from dlmi_reports.results.costs import Cost
from dlmi_reports.results.load import TaskResults, make_slug
from dlmi_reports.structure import Plot
from dlmi_reports.tables.cells import name_title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

    from dlmi_reports.plots.canvas import Canvas
    from dlmi_reports.tables.fronts import Draws

N_LABELLED = 15  # with more points only those on the front are labelled; all have tooltips


@dataclass(frozen=True)
class Point:
    """A model on the plane of cost and accuracy [%], with the bounds of both."""

    name: str
    cost: float
    cost_lo: float
    cost_hi: float
    accuracy: float
    accuracy_lo: float
    accuracy_hi: float


def make_title(task: TaskResults, what: str) -> str:
    """Make the title of a plot, with its task, data and kind of machine, so that it can be used outside the report."""
    return name_title(f"{'SYNTHETIC DATA. ' if task.is_synthetic else ''}{shorten(task.name)}: {what}", task)


def name_plot(what: str, task: TaskResults, kind: str | None) -> str:
    """Name the file of a plot, with the kind of machine where its costs are of one of several."""
    return "-".join([what.format(make_slug(task.name)), *([make_slug(kind)] if kind else [])])


def plot_front(task: TaskResults, cost: Cost) -> Plot | None:
    """Draw test accuracy against one cost; None if no model has both."""
    from dlmi_reports.tables.fronts import draw_task

    points, draws = collect_points(task, cost), draw_task(task, cost)
    if not points or draws is None:
        return None
    title = make_title(task, f"accuracy against {cost.title}")
    with canvas(name_plot(f"front-{{}}-{cost.name}", task, cost.kind), title) as drawing:
        axis = drawing.axis
        is_on = compute_front([p.cost for p in points], [p.accuracy for p in points])
        _draw_band(axis, points, draws, cost.scale)
        for point, is_in in zip(points, is_on, strict=True):
            marker = _draw_point(axis, point, is_in=is_in)
            drawing.hover(marker, _describe(point, cost))
        scale_axis(axis)
        axis.set_xlabel(cost.axis)
        axis.set_ylabel("test accuracy [%]")
        _label_points(drawing, points, is_on)
    front = [p.name for p, is_in in zip(points, is_on, strict=True) if is_in]
    return drawing.to_plot(
        f"Test accuracy of {len(points)} models on {task.name} against {cost.axis}. On the front: {', '.join(front)}. "
        "Filled marks are on the front. The band contains 95 % of the resampled fronts. Bars are the Wilson 95 % "
        "interval of the accuracy, and the range of the samples of the cost. The figures are in the tables.",
        label=cost.title,
    )


def collect_points(task: TaskResults, cost: Cost) -> list[Point]:
    """Collect the models that have accuracy and this cost, in the units of the axis."""
    points = []
    for model in task.by_size:
        accuracy, sample = model.compute_accuracy(), cost.find(model)
        if accuracy and sample:
            value, lo, hi = (cost.scale * x for x in (sample.value, sample.lo, sample.hi))
            points.append(Point(model.name, value, lo, hi, 100 * accuracy.mean, 100 * accuracy.lo, 100 * accuracy.hi))
    return points


def _describe(point: Point, cost: Cost) -> str:
    accuracy = f"{point.accuracy:.1f} [{point.accuracy_lo:.1f}, {point.accuracy_hi:.1f}] %"
    bounds = f" [{point.cost_lo:.4g}, {point.cost_hi:.4g}]" if point.cost_lo < point.cost_hi else ""
    return f"{point.name}: {accuracy}; {cost.axis} {point.cost:.6g}{bounds}"


def _draw_band(axis: "Axes", points: list[Point], draws: "Draws", scale: float) -> None:
    import numpy as np

    first, last = min(p.cost_lo for p in points), max(p.cost_hi for p in points)
    grid = np.geomspace(first / 1.2, last * 1.2, 160)
    lo, hi = draws.compute_band(grid / scale)
    axis.fill_between(grid, 100 * lo, 100 * hi, color=QUIET, alpha=0.25, lw=0, step="mid", zorder=0)


def _draw_point(axis: "Axes", point: Point, *, is_in: bool) -> "Line2D":
    color = INK if is_in else QUIET
    bars = axis.errorbar(
        point.cost,
        point.accuracy,
        xerr=[[point.cost - point.cost_lo], [point.cost_hi - point.cost]],
        yerr=[[point.accuracy - point.accuracy_lo], [point.accuracy_hi - point.accuracy]],
        fmt="o" if is_in else "s",
        color=color,
        mfc=color if is_in else PAPER,
        ms=0.6 * get_size(),
        lw=1,
        capsize=2,
    )
    return bars.lines[0]


def scale_axis(axis: "Axes") -> None:
    """Make the axis logarithmic, with plain round numbers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    axis.set_xscale("log")
    lo, hi = axis.get_xlim()
    # About five round numbers, for any number of decades.
    locator = LogLocator(subs=(1, 2, 5) if hi / lo < 100 else (1,), numticks=7)
    axis.xaxis.set_major_locator(locator if hi / lo > 10 else MaxNLocator(5, steps=[1, 2, 5, 10]))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.10g}".replace(",", " ")))


def _label_points(drawing: "Canvas", points: list[Point], is_on: list[bool]) -> None:
    import numpy as np
    from adjustText import adjust_text

    if len(points) > N_LABELLED:
        points = [p for p, is_in in zip(points, is_on, strict=True) if is_in][:N_LABELLED]
    axis = drawing.axis
    texts = [axis.text(p.cost, p.accuracy, shorten(p.name), fontsize=0.9 * get_size()) for p in points]
    for text in texts:
        drawing.halo(text)
    # Points along the bars, so that labels avoid the bars too.
    avoid = [(p.cost, y) for p in points for y in np.linspace(p.accuracy_lo, p.accuracy_hi, 7)]
    avoid += [(x, p.accuracy) for p in points for x in np.linspace(p.cost_lo, p.cost_hi, 3)]
    x, y = zip(*avoid, strict=True)
    adjust_text(texts, x=x, y=y, ax=axis, iter_lim=80, arrowprops={"arrowstyle": "-", "lw": 0.4, "color": QUIET})
