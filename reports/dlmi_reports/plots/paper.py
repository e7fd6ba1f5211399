"""Plots redrawn for print: as wide as a column of a paper, with letters of its size, as PDF, PNG or SVG."""

from collections.abc import Collection
from pathlib import Path

from dlmi_bench.errors import UnavailableError, UsageError, list_choices
from dlmi_bench.extras import find_missing
from dlmi_reports.front.glance import plot_costs
from dlmi_reports.plots.canvas import Print, printing
from dlmi_reports.plots.curves import plot_curves
from dlmi_reports.plots.montage import plot_montages
from dlmi_reports.plots.probabilities import plot_probabilities
from dlmi_reports.plots.singles import plot_singles
from dlmi_reports.results.load import Results

KINDS = ("pdf", "png", "svg")


def check_kinds(kinds: Collection[str]) -> None:
    """Raise UsageError for a kind of file that there is not."""
    for kind in kinds:
        if kind not in KINDS:
            raise UsageError(f"--plots: no {kind!r}", list_choices(kind, KINDS))


def write_plots(results: Results, folder: Path, kinds: Collection[str]) -> list[Path]:
    """Write every plot of the report to `folder`/plots, a file for each kind.

    Raises:
        UsageError: there is no such kind.
        UnavailableError: matplotlib is not installed.
    """
    check_kinds(kinds)
    if lack := find_missing("plots"):
        raise UnavailableError(f"--plots: {lack}", "install it, or leave --plots out")
    to = folder / "plots"
    to.mkdir(parents=True, exist_ok=True)
    with printing(Print(tuple(kinds), to)) as asked:
        for task in results.tasks.values():
            for draw in (plot_costs, plot_curves, plot_singles, plot_probabilities, plot_montages):
                draw(task)
    return asked.written
