"""Plots of single calls: the distribution of their times, and the calibration of percentiles."""

from statistics import fmean
from typing import TYPE_CHECKING

from dlmi_bench.records import Benchmark, Figure
from dlmi_bench.stats.percentiles import PERCENTILES, compute_exceedance
from dlmi_bench.units import format_quantity
from dlmi_reports.plots.canvas import INK, QUIET, canvas, get_style, shorten
from dlmi_reports.plots.front import make_title, name_plot, scale_axis
from dlmi_reports.results.load import TaskResults, make_slug
from dlmi_reports.results.model import ModelResults
from dlmi_reports.structure import Plot, Table
from dlmi_reports.tables.cells import name_title

if TYPE_CHECKING:
    from dlmi_reports.plots.canvas import Canvas

N_MODELS = 20  # models per plot, fewest parameters first
N_BINS = 160  # per distribution, over the whole axis
SHOWN = 0.99  # share of the single calls; outliers would compress the rest
MAX_RIDGE = 0.75  # height of the highest bin, in rows
AXIS = "latency at batch 1, ONNX Runtime, one thread [us]"
BACKEND = "onnxruntime"  # at batch 1, one thread

Exceedances = dict[str, list[float]]  # by percentile, one per process


def plot_singles(task: TaskResults) -> list[Plot]:
    """Draw the plots for which there are figures: latencies for each kind of machine, shares of calls for all."""
    return [plot for plot in (*map(plot_latencies, task.by_kind), plot_calibration(task)) if plot]


def read_singles(model: ModelResults) -> list[list[float]]:
    """Read the single calls of each process [s]; empty if the store did not keep them."""
    record = model.measured.get("latency")
    kept = record.details.get("singles_s", {}) if record else {}
    return [calls for calls in kept.get(Benchmark(model.name, BACKEND, batch=1).key, []) if calls]


def plot_latencies(task: TaskResults) -> Plot | None:
    """Draw a row per model: single calls of all processes as a ridge, the median of each process as a ring."""
    found = [(model, figure) for model in task.by_size if (figure := model.find_latency())]
    shown = [(model, figure) for model, figure in found if figure.value is not None and figure.samples][:N_MODELS]
    if not shown:
        return None
    title = make_title(task, "distribution of latency")
    with canvas(name_plot("latency-{}", task, task.kind), title, height=1.4 + 0.45 * len(shown)) as drawing:
        axis = drawing.axis
        axis.set_xlim(*_find_limits(shown))
        for row, (model, figure) in enumerate(shown):
            _draw_row(drawing, row, model, figure)
        axis.set_yticks(range(len(shown)), [shorten(model.name) for model, _ in shown])
        axis.set_ylim(len(shown) - 0.5, -0.95)
        scale_axis(axis)
        axis.set_xlabel(AXIS)
    said = "; ".join(
        f"{m.name} {format_quantity(f.value, 's')} (n={len(f.samples)})" for m, f in shown if f.value is not None
    )
    ridges = " The ridge above it shows calls timed one by one, up to the 99th percentile of each model."
    ridges = ridges if any(read_singles(model) for model, _ in shown) else ""
    return drawing.to_plot(
        f"Latency on {name_title(task.name, task)}: a ring is the median of one process, a bar is the median of these."
        f"{ridges} {said}."
    )


def _find_limits(shown: list[tuple[ModelResults, Figure]]) -> tuple[float, float]:
    """Find the limits of the axis [us]: all process medians, and the fastest 99 % of the single calls of each model."""
    marks = [s for _, figure in shown for s in figure.samples]
    for model, _ in shown:
        calls = sorted(call for process in read_singles(model) for call in process)
        marks += calls[: 1 + int(SHOWN * (len(calls) - 1))]
    return 1e6 * min(marks) / 1.05, 1e6 * max(marks) * 1.05


def _draw_row(drawing: "Canvas", row: int, model: ModelResults, figure: Figure) -> None:
    import numpy as np

    axis, marks = drawing.axis, [1e6 * s for s in figure.samples]
    if calls := [1e6 * c for process in read_singles(model) for c in process]:
        counts, edges = np.histogram(calls, np.geomspace(*axis.get_xlim(), N_BINS + 1))
        axis.stairs(row - MAX_RIDGE * counts / counts.max(), edges, baseline=row, fill=True, color=QUIET, alpha=0.5)
    axis.plot([min(marks), max(marks)], [row, row], color=INK, lw=0.6)
    (line,) = axis.plot(marks, [row] * len(marks), ls="", marker="o", ms=5, mfc="none", color=INK)
    axis.plot([1e6 * (figure.value or 0.0)], [row], marker="|", ms=14, mew=2, color=INK)
    drawing.hover(line, f"{model.name}: process medians {', '.join(f'{m:.3g}' for m in sorted(marks))} us")


def compute_calibration(model: ModelResults) -> Exceedances:
    """Compute the share of the other processes' calls above each percentile of a process, if it has enough calls."""
    processes = read_singles(model)
    found = {name: compute_exceedance(processes, p) for name, p in PERCENTILES.items()}
    return {name: shares for name, shares in found.items() if shares}


def make_calibration_tables(task: TaskResults) -> list[Table]:
    """One table; none if no single calls were kept."""
    found = {model.name: shares for model in task.by_size if (shares := compute_calibration(model))}
    names = [name for name in PERCENTILES if any(name in shares for shares in found.values())]
    if not names:
        return []
    rows = [[model, *(_render(shares.get(name)) for name in names)] for model, shares in found.items()]
    caption = (
        "Share of the single calls of the other processes that took longer than a percentile of one process: mean over "
        "processes; brackets hold the smallest and largest. ONNX Runtime, batch 1, one thread. A share above the "
        "expected one in the header means that processes differ by more than chance."
    )
    header = ["model", *(f"above {name}: {_expect(name):g} %" for name in names)]
    return [Table("Calibration of percentiles", caption, header, rows)]


def _render(shares: list[float] | None) -> str:
    if shares is None:
        return "n/a (too few calls)"
    lo, middle, hi = (f"{100 * s:.{0 if s >= 0.1 else 1}f}" for s in (min(shares), fmean(shares), max(shares)))
    return f"{middle} [{lo}, {hi}] %"


def plot_calibration(task: TaskResults) -> Plot | None:
    """Draw the observed against the expected share of calls above a percentile, with the range over processes."""
    found = {model.name: shares for model in task.by_size if (shares := compute_calibration(model))}
    shown = dict(list(found.items())[:N_MODELS])
    if not shown:
        return None
    expected = {name: _expect(name) for name in PERCENTILES if any(name in s for s in shown.values())}
    floor = min(expected.values()) / 20  # where a share of 0 is drawn
    title = make_title(task, "calibration of percentiles")
    with canvas(f"calibration-{make_slug(task.name)}", title, height=4.8) as drawing:
        axis = drawing.axis
        edges = [min(expected.values()) / 2, 100]
        axis.plot(edges, edges, color=INK, lw=0.8, ls=(0, (4, 2)))
        for index, (model, shares) in enumerate(shown.items()):
            dodge = 1.06 ** (index - (len(shown) - 1) / 2)  # models side by side
            _draw_shares(drawing, index, model, {expected[name] * dodge: s for name, s in shares.items()}, floor)
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.set_xticks(list(expected.values()), [f"{name}\n{share:g}" for name, share in expected.items()])
        axis.set_yticks(list(expected.values()), [f"{share:g}" for share in expected.values()])
        axis.minorticks_off()
        axis.set_xlabel("expected share of calls above the percentile\nof one process [%]")
        axis.set_ylabel("observed share in the others [%]")
        axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.4), ncols=3)
    said = "; ".join(
        f"{m}: " + ", ".join(f"{n} {_render(s)}" for n, s in shares.items()) for m, shares in shown.items()
    )
    return drawing.to_plot(
        f"Single calls on {task.name}: the share of calls of the other processes above a percentile of one process, "
        f"mean and range over processes. The dashed line is the expected share; a share of 0 is drawn at the lower "
        f"edge. {said}."
    )


def _draw_shares(drawing: "Canvas", index: int, model: str, shares: dict[float, list[float]], floor: float) -> None:
    """Draw marks at the expected shares [%] with their range."""
    lo, y, hi = ([max(floor, 100 * f(s)) for s in shares.values()] for f in (min, fmean, max))
    errors = [[b - a for a, b in zip(lo, y, strict=True)], [b - a for a, b in zip(y, hi, strict=True)]]
    color, marker, _ = get_style(index)
    bars = drawing.axis.errorbar(
        [*shares], y, errors, ms=5, lw=0.8, capsize=2, label=shorten(model), color=color, marker=marker, linestyle=""
    )
    drawing.hover(bars.lines[0], f"{model}: " + ", ".join(_render(s) for s in shares.values()))


def _expect(name: str) -> float:
    """Compute the expected share of calls above the percentile [%]."""
    return round(100 * (1 - PERCENTILES[name]), 6)
