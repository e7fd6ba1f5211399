"""Accuracy and costs of every model in one row: plain numbers in SI units, and the same as text."""

from collections.abc import Collection, Mapping, Sequence
from statistics import fmean
from typing import Any

from dlmi_bench.units import format_count, format_percent, format_quantity, format_range
from dlmi_reports.results.costs import COSTS, CostSample
from dlmi_reports.results.load import Results, TaskResults
from dlmi_reports.results.marks import find_invalid
from dlmi_reports.results.model import ModelResults

COLUMNS = {
    "parameters": "n_parameters",
    "macs": "macs",
    "file": "size_bytes",
    "nonzero": "n_nonzero",
    "packed": "packed_bytes",
    "latency": "latency_s",
}


def list_joined(results: Results) -> list[dict[str, object]]:
    """List a row for each task and model, fewest parameters first; what was not measured is None.

    A model whose costs were measured on several kinds of machine has a row for each, with the `machine`; its accuracy
    is that of all trainings.
    """
    return [_make_row(task, model) for task in results.tasks.values() for model in task.list_sides()]


def _make_row(task: TaskResults, model: ModelResults) -> dict[str, object]:
    accuracy = model.compute_accuracy()
    found: dict[str, object] = {"task": task.name, "model": model.name, "n_trainings": len(model.trainings)}
    if len(task.kinds) > 1:
        found["machine"] = model.kind
    if accuracy:
        found |= {
            "test_accuracy": accuracy.mean,
            "test_accuracy_lo": accuracy.lo,
            "test_accuracy_hi": accuracy.hi,
            "test_accuracy_sd": accuracy.sd,
        }
    validation = model.values("validation_accuracy")
    found["validation_accuracy"] = fmean(validation) if validation else None
    for cost in COSTS:
        if cost.name in COLUMNS or cost.name == "training":
            found |= dict(_list_bounds(COLUMNS.get(cost.name, "training_s"), cost.find(model)))
    return found


def _list_bounds(name: str, sample: CostSample | None) -> Mapping[str, object]:
    """The value, and its bounds where it is no exact count."""
    if sample is None:
        return {name: None}
    is_exact = sample.lo == sample.hi and not sample.samples
    return {name: sample.value} | ({} if is_exact else {f"{name}_lo": sample.lo, f"{name}_hi": sample.hi})


def list_reasons(results: Results, tasks: Collection[str]) -> list[str]:
    """Say why an accuracy or a latency of the table is not available, a line each."""
    lines = []
    for task, model in ((t, m) for t in results.tasks.values() if t.name in tasks for m in t.by_size):
        answers = [figure for record in model.trainings if (figure := record.figure("test_accuracy"))]
        if reason := next((figure.reason for figure in answers if figure.reason), ""):
            lines.append(f"{task.name}: accuracy of {model.name}: {reason}")
        latency = model.find_latency()
        if latency and (reason := latency.reason or str(find_invalid(latency) or "")):
            lines.append(f"{task.name}: latency of {model.name}: {reason}")
    return lines


HEADER = ("model", "test % [95 %]", "parameters", "MACs", "latency", "training")


def name_row(row: Mapping[str, Any]) -> str:
    """Name a row: its model, and the kind of machine where there are several."""
    return f"{row['model']} on {row['machine']}" if row.get("machine") else str(row["model"])


def list_cells(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """Cells of the table for people, in the order of HEADER; "n/a" where a figure is not available."""
    return [_make_cells(row) for row in rows]


def _make_cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    accuracy, spread = row.get("test_accuracy"), (row.get("test_accuracy_lo"), row.get("test_accuracy_hi"))
    shown = "n/a" if accuracy is None else format_percent(accuracy)
    if None not in spread:
        shown += f" [{', '.join(format_percent(bound) for bound in spread if bound is not None)}]"
    n_parameters, macs, latency_s, training_s = (
        row.get(name) for name in ("n_parameters", "macs", "latency_s", "training_s")
    )
    return (
        name_row(row),
        shown,
        "n/a" if n_parameters is None else format_count(n_parameters),
        "n/a" if macs is None else format_quantity(macs, "macs"),
        "n/a" if latency_s is None else format_range(latency_s, row["latency_s_lo"], row["latency_s_hi"], "s"),
        "n/a" if training_s is None else format_quantity(training_s, "s"),
    )


def format_joined(rows: Sequence[Mapping[str, Any]]) -> str:
    """Format the table as text, a part for each task."""
    parts = []
    for task in dict.fromkeys(row["task"] for row in rows):
        cells = [HEADER, *list_cells([row for row in rows if row["task"] == task])]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in cells]
        parts.append("\n".join([f"{task}:", *(line.rstrip() for line in lines)]))
    notes = "latency: ONNX Runtime, batch 1, one thread, range over processes\ntraining: median over seeds"
    return "\n\n".join([*parts, notes])
