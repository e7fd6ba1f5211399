"""Plots as files of their own."""

from pathlib import Path

from dlmi_bench.files import write_text
from dlmi_reports.plots.canvas import PAPER
from dlmi_reports.structure import Plot


def write_plot(plot: Plot, folder: Path) -> Path:
    """Write NAME.svg, on paper: alone it lies on no page."""
    svg = plot.svg.replace("<svg ", f'<svg style="background: {PAPER}" ', 1)
    return write_text(folder / f"{plot.name}.svg", svg)
