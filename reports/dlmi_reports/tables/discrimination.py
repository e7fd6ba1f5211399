"""Discrimination, calibration and decisions: what accuracy does not tell."""

from collections.abc import Callable
from statistics import fmean

from dlmi_bench.metrics.thresholds import AT_SPECIFICITY
from dlmi_bench.units import format_number, format_percent
from dlmi_reports.results.load import TaskResults
from dlmi_reports.results.model import ModelResults, is_grouped
from dlmi_reports.structure import Table
from dlmi_reports.tables.cells import MISSING
from dlmi_reports.tables.classes import read_classes

BOUNDED = {
    "test_auc": "AUC %",
    "test_sensitivity": "sensitivity %",
    "test_auprc": "AUPRC %",
    "test_ece": "calibration error %",
}
OTHERS: dict[str, tuple[str, Callable[[float], str]]] = {
    "test_mcc": ("MCC", lambda value: f"{value:.3f}"),
    "test_confident_accuracy": ("most certain 90 %", format_percent),
    "test_log_loss": ("log loss", format_number),
    "test_brier": ("Brier", format_number),
    "test_calibration_slope": ("slope", lambda value: f"{value:.2f}"),
    "test_absolute_error": ("classes off", lambda value: f"{value:.3f}"),
}
N_COLUMNS = 3  # with bounds, beside the model: what 80 letters hold


def make_discrimination_tables(task: TaskResults) -> list[Table]:
    """Two tables, with bounds and without; none of stores without these figures."""
    if not any(model.values("test_ece") for model in task.by_size):
        return []
    return [_make_bounded_table(task), _make_other_table(task)]


def _make_bounded_table(task: TaskResults) -> Table:
    is_binary = len(read_classes(task)) == 2  # of several classes a sensitivity is that of one class
    names = [name for name in BOUNDED if name != ("test_auprc" if is_binary else "test_sensitivity")]
    rows = [[model.name, *(_render(model, name) for name in names)] for model in task.by_size]
    figures = [f for record in task.trainings if (f := record.figure("test_auc"))]
    assumed = (
        "Groups of examples are sampled as one."
        if any(map(is_grouped, figures))
        else "Each example is taken for independent: nothing says that several belong to one patient."
    )
    at = f" Sensitivity is at the threshold that has a {AT_SPECIFICITY} on validation." if is_binary else ""
    caption = (
        "Mean over seeds; brackets hold the 95 % interval of sampling test examples, for one network. The calibration "
        f"error is without the part that chance adds, and its interval is wide on purpose.{at} {assumed}"
    )
    header = ["model", *(BOUNDED[name] for name in names)]
    return Table("Discrimination and calibration", caption, header, rows, is_for_paper=True)


def _render(model: ModelResults, name: str) -> str:
    """Mean with mean bounds [%], or the reason why there is none."""
    values, bounds = model.values(name), model.compute_bounds(name)
    if not values:
        figure = next((f for record in model.trainings if (f := record.figure(name))), None)
        return f"n/a ({figure.reason})" if figure else MISSING
    mean = format_percent(fmean(values))
    return f"{mean} [{', '.join(map(format_percent, bounds))}]" if bounds else mean


def _make_other_table(task: TaskResults) -> Table:
    names = [name for name in OTHERS if any(model.values(name) for model in task.by_size)]
    rows = [[model.name, *(_render_mean(model, name) for name in names)] for model in task.by_size]
    off = " Classes off: mean distance between true and decided class." if "test_absolute_error" in names else ""
    caption = (
        "Means over seeds; their intervals are in figures.csv. Most certain 90 %: accuracy among the examples with the "
        f"largest probabilities. A slope below 1 means that probabilities are too extreme.{off}"
    )
    header = ["model", *(OTHERS[name][0] for name in names)]
    return Table("Decisions and probabilities", caption, header, rows, is_for_paper=True)


def _render_mean(model: ModelResults, name: str) -> str:
    values = model.values(name)
    return OTHERS[name][1](fmean(values)) if values else MISSING
