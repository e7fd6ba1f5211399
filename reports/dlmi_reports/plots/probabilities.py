"""Plots of probabilities: errors among the most certain; of two classes calibration by bins, and net benefit."""

from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dlmi_bench.metrics.curves import compute_net_benefit, compute_reliability, compute_risk_coverage
from dlmi_bench.stats.intervals import compute_wilson
from dlmi_reports.plots.canvas import INK, QUIET, canvas, get_style, shorten
from dlmi_reports.plots.front import make_title
from dlmi_reports.results.arrays import read_probabilities
from dlmi_reports.results.load import TaskResults, make_slug
from dlmi_reports.structure import Plot
from dlmi_reports.tables.classes import read_classes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from dlmi_reports.plots.canvas import Canvas

N_MODELS = 6  # per plot, fewest parameters first
THRESHOLDS = np.linspace(0.01, 0.99, 99)

Known = dict[
    str, tuple[NDArray[np.float64], NDArray[Any], int]
]  # probabilities and truth of all seeds, number of seeds
FEWEST = 0.1  # share of the examples from which the curve of errors is drawn; of fewer it says nothing


def plot_probabilities(task: TaskResults) -> list[Plot]:
    """Draw the errors among the most certain, and of two classes both other plots; none where no scores were kept."""
    known = ((model.name, found) for model in task.by_size if (found := read_probabilities(model)))
    shown = dict(islice(known, N_MODELS))
    plots = [_plot_errors(task, shown)] if shown else []
    binary = {name: (p[:, 1], labels == 1, n) for name, (p, labels, n) in shown.items() if len(np.unique(labels)) == 2}
    if len(read_classes(task)) != 2 or not binary:
        return plots
    return [_plot_reliability(task, binary), _plot_net_benefit(task, binary), *plots]


def _plot_errors(task: TaskResults, known: Known) -> Plot:
    """Draw the share of wrong answers among those that a model is most certain of, against how many these are."""
    with canvas(
        f"errors-{make_slug(task.name)}", make_title(task, "errors among the most certain"), height=4.6
    ) as drawing:
        axis = drawing.axis
        for index, (model, (probabilities, labels, _)) in enumerate(known.items()):
            style, is_right = get_style(index), probabilities.argmax(1) == labels
            coverage, risk = compute_risk_coverage(probabilities.max(1), is_right)
            shown = np.unique(np.linspace(int(FEWEST * len(risk)), len(risk) - 1, 200).astype(int))
            (line,) = axis.plot(
                100 * coverage[shown], 100 * risk[shown], color=style.color, ls=style.line, lw=1.2, label=shorten(model)
            )
            drawing.hover(line, f"{model}: {100 * risk[-1]:.1f} % of all")
        axis.set_xlim(0, 100)
        axis.set_ylim(bottom=0)
        axis.set_xlabel("answered, the most certain first [%]")
        axis.set_ylabel("wrong among them [%]")
        axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2)
    return drawing.to_plot(
        f"Errors on {task.name} among the answers that a model is most certain of, by the largest probability, against "
        f"the share that is answered; all seeds together. Models: {', '.join(known)}."
    )


def _plot_reliability(task: TaskResults, known: Known) -> Plot:
    """Draw the share of positive examples against the mean probability, by bin."""
    title, name = make_title(task, "calibration"), read_classes(task)[1]
    with canvas(f"reliability-{make_slug(task.name)}", title, height=4.6) as drawing:
        axis = drawing.axis
        axis.plot([0, 1], [0, 1], color=QUIET, lw=0.8, ls=(0, (1, 2)))
        for index, (model, found) in enumerate(known.items()):
            _draw_reliability(drawing, model, found, index)
        axis.set_xlim(-0.02, 1.02)
        axis.set_ylim(-0.02, 1.02)
        axis.set_xlabel(f"probability of {shorten(name)}")
        axis.set_ylabel(f"share that are {shorten(name)}")
        axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2)
    return drawing.to_plot(
        f"Calibration on {task.name}: share of test examples that are {name} against their mean probability, in ten "
        "bins of equal size, all seeds together. Bars are Wilson 95 % intervals for the examples of one seed. On the "
        f"dotted line probabilities are right. Models: {', '.join(known)}."
    )


def _draw_reliability(drawing: "Canvas", model: str, found: Any, index: int) -> None:
    probabilities, is_positive, n_seeds = found
    bins, style = compute_reliability(probabilities, is_positive), get_style(index)
    sizes = np.maximum(1, bins.n // n_seeds).tolist()
    bounds = np.array([compute_wilson(share * n, n) for share, n in zip(bins.observed.tolist(), sizes, strict=True)])
    drawing.axis.vlines(bins.expected, bounds[:, 0], bounds[:, 1], color=style.color, lw=0.6, alpha=0.6)
    (line,) = drawing.axis.plot(
        bins.expected, bins.observed, color=style.color, marker=style.marker, linestyle=style.line, lw=1, ms=4,
        label=shorten(model),
    )  # fmt: skip
    drawing.hover(line, f"{model}: {len(bins.n)} bins of {int(bins.n.sum())} answers")


def _plot_net_benefit(task: TaskResults, known: Known) -> Plot:
    """Draw the net benefit of each model's decisions against the threshold, beside those of treating all or none."""
    title = make_title(task, "net benefit of decisions")
    with canvas(f"benefit-{make_slug(task.name)}", title, height=4.6) as drawing:
        axis = drawing.axis
        highest = _draw_default(axis, next(iter(known.values()))[1])
        for index, (model, (probabilities, is_positive, _)) in enumerate(known.items()):
            style, benefit = get_style(index), compute_net_benefit(probabilities, is_positive, THRESHOLDS)
            (line,) = axis.plot(
                THRESHOLDS, benefit, color=style.color, linestyle=style.line, lw=1.2, label=shorten(model)
            )
            drawing.hover(line, f"{model}: {benefit.max():.3f} at most")
        axis.set_xlim(0, 1)
        axis.set_ylim(-0.1 * highest, 1.1 * highest)
        axis.set_xlabel("probability from which one acts")
        axis.set_ylabel("net benefit")
        axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2)
    return drawing.to_plot(
        f"Net benefit on {task.name}: share of test examples that are rightly acted on, less those wrongly acted on "
        "weighed by the odds of the threshold, against that threshold; all seeds together. The quiet lines are acting "
        f"on all and on none. Models: {', '.join(known)}."
    )


def _draw_default(axis: "Axes", is_positive: NDArray[Any]) -> float:
    """Draw the benefit of acting on all and on none; return the largest there can be."""
    share = float(is_positive.mean())
    axis.axhline(0, color=INK, lw=0.6)
    axis.plot(THRESHOLDS, share - (1 - share) * THRESHOLDS / (1 - THRESHOLDS), color=QUIET, lw=1, label="act on all")
    return share
