"""Plots as SVG text: reproducible bytes, readable in greyscale, no colour that carries meaning alone."""

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.stats import compute_front
from reports.load import ModelResults, TaskResults

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FRONT, OTHER = "#1b1b1b", "#8a8a8a"
SALT = "dlmi-bench"  # for the identifiers in the SVG, which would be random without it


@dataclass(frozen=True)
class Point:
    """A model on the plane of cost and accuracy, with the bounds of both."""

    name: str
    cost: float
    cost_lo: float
    cost_hi: float
    accuracy: float
    accuracy_lo: float
    accuracy_hi: float


def plot_pareto(task: TaskResults) -> str | None:
    """Test accuracy against parameters and against latency; None where nothing has both."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    panels = [
        ("parameters", collect_points(task, "parameters", 1.0)),
        ("latency at batch 1, ONNX Runtime, one thread [us]", collect_points(task, "latency", 1e6)),
    ]
    panels = [(label, points) for label, points in panels if points]
    if not panels:
        return None
    with mpl.rc_context({"svg.hashsalt": SALT, "font.size": 10, "axes.spines.top": False, "axes.spines.right": False}):
        figure, axes = plt.subplots(1, len(panels), figsize=(5.4 * len(panels), 4.2), squeeze=False, sharey=True)
        for axis, (label, points) in zip(axes[0], panels, strict=True):
            _draw_panel(axis, points, label)
        axes[0][0].set_ylabel("test accuracy [%]")
        label = "SYNTHETIC DATA. " if task.is_synthetic else ""
        n_seeds = max(len(model.trainings) for model in task.models.values())
        figure.suptitle(f"{label}{task.name}: accuracy against cost, up to {n_seeds} seeds a model")
        figure.text(
            0.5,
            0.005,
            "Filled: on the front. Bars: Wilson 95 % of the test sample; smallest and largest process median.",
            ha="center",
            fontsize=8,
        )
        figure.tight_layout(rect=(0, 0.03, 1, 1))
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
        plt.close(figure)
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def collect_points(task: TaskResults, cost: str, factor: float) -> list[Point]:
    """Points of all models that have both figures; the cost is multiplied by `factor`."""
    points = []
    for model in task.models.values():
        accuracy, bounds = model.compute_accuracy(), _find_cost(model, cost)
        if accuracy and bounds:
            value, lo, hi = (factor * x for x in bounds)
            points.append(Point(model.name, value, lo, hi, 100 * accuracy.mean, 100 * accuracy.lo, 100 * accuracy.hi))
    return points


def _find_cost(model: ModelResults, cost: str) -> tuple[float, float, float] | None:
    if cost == "parameters":
        figure = model.find("counts", "n_parameters")
    else:
        figure = model.find("latency", "latency_s", backend="onnxruntime", batch=1, threads=1)
    if figure is None or figure.value is None:
        return None
    lo = figure.value if figure.lo is None else figure.lo
    hi = figure.value if figure.hi is None else figure.hi
    return figure.value, lo, hi


def _draw_panel(axis: "Axes", points: list[Point], label: str) -> None:
    import numpy as np
    from adjustText import adjust_text
    from matplotlib.patheffects import withStroke
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    on_front = compute_front([p.cost for p in points], [p.accuracy for p in points])
    front = sorted((p for p, is_in in zip(points, on_front, strict=True) if is_in), key=lambda p: p.cost)
    costs, gains = [p.cost for p in front], [p.accuracy for p in front]
    axis.step(costs, gains, where="post", color=FRONT, lw=0.8, ls="--", zorder=1)
    for point, is_in in zip(points, on_front, strict=True):
        color = FRONT if is_in else OTHER
        axis.errorbar(
            point.cost,
            point.accuracy,
            xerr=[[point.cost - point.cost_lo], [point.cost_hi - point.cost]],
            yerr=[[point.accuracy - point.accuracy_lo], [point.accuracy_hi - point.accuracy]],
            fmt="o",
            color=color,
            mfc=color if is_in else "white",
            ms=6,
            lw=1,
            capsize=2,
        )
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.10g}".replace(",", " ")))
    axis.set_xlabel(label)
    axis.grid(visible=True, which="major", lw=0.3)
    halo = [withStroke(linewidth=2.5, foreground="white")]
    texts = [axis.text(p.cost, p.accuracy, p.name, fontsize=9, path_effects=halo) for p in points]
    # Labels keep away from the bars too, which are given as points along them.
    avoid = [(p.cost, y) for p in points for y in np.linspace(p.accuracy_lo, p.accuracy_hi, 9)]
    avoid += [(x, p.accuracy) for p in points for x in np.linspace(p.cost_lo, p.cost_hi, 5)]
    x, y = zip(*avoid, strict=True)
    adjust_text(texts, x=x, y=y, ax=axis, iter_lim=300, arrowprops={"arrowstyle": "-", "lw": 0.4, "color": OTHER})
