"""Plot of accuracy against one cost for a notebook: a matplotlib figure to look at and to change."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dlmi_bench.errors import UsageError, list_choices
from dlmi_bench.units import clean_line
from dlmi_reports.plots.canvas import get_style
from dlmi_reports.plots.front import scale_axis
from dlmi_reports.tables.joined import name_row

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LABELS = {
    "latency_s": "latency at batch 1, ONNX Runtime, one thread [s]",
    "n_parameters": "parameters",
    "macs": "multiply-accumulates of one example",
    "size_bytes": "ONNX file [bytes]",
    "n_nonzero": "nonzero weights",
    "packed_bytes": "numbers of the ONNX file, packed [bytes]",
    "training_s": "training, one thread [s]",
}


def draw_joined(rows: Sequence[Mapping[str, Any]], cost: str) -> "Figure":
    """Draw test accuracy against a cost, with the bounds of both.

    Args:
        rows: Of tables.joined, of one task.
        cost: A key of LABELS.

    Raises:
        UsageError: there is no such cost, or no model has it.
    """
    from dlmi_reports.plots.notebook import NotebookFigure

    if cost not in LABELS:
        raise UsageError(f"no cost {cost!r}", list_choices(cost, LABELS))
    drawn = [row for row in rows if _is_number(row.get("test_accuracy")) and _is_number(row.get(cost))]
    if not drawn:
        raise UsageError(
            f"no model has a test accuracy and {cost}", "measure it: Suite(measures=(...)), or another cost"
        )
    figure = NotebookFigure(figsize=(6.0, 4.0), layout="constrained")
    axis = figure.add_subplot()
    for index, row in enumerate(drawn):
        style = get_style(index)
        value, accuracy = row[cost], 100 * row["test_accuracy"]
        axis.errorbar(
            value,
            accuracy,
            xerr=[[value - _bound(row, cost, "lo")], [_bound(row, cost, "hi") - value]],
            yerr=[[accuracy - 100 * row["test_accuracy_lo"]], [100 * row["test_accuracy_hi"] - accuracy]],
            color=style.color,
            marker=style.marker,
            linestyle="none",
            capsize=2,
            label=clean_line(name_row(row)).replace("$", r"\$"),
        )
    scale_axis(axis)
    axis.set_xlabel(LABELS[cost])
    axis.set_ylabel("test accuracy [%]")
    axis.set_title(clean_line(str(drawn[0]["task"])).replace("$", r"\$"))
    axis.legend(frameon=False)
    return figure


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and value == value


def _bound(row: Mapping[str, Any], cost: str, which: str) -> float:
    bound: Any = row.get(f"{cost}_{which}")
    return float(bound) if _is_number(bound) else float(row[cost])
