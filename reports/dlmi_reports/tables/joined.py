"""Accuracy and costs of every model in one row, as plain numbers in SI units."""

from statistics import fmean

from dlmi_reports.results.costs import COSTS, CostSample
from dlmi_reports.results.load import ModelResults, Results

COLUMNS = {"parameters": "n_parameters", "macs": "macs", "file": "size_bytes", "latency": "latency_s"}


def list_joined(results: Results) -> list[dict[str, object]]:
    """List a row for each task and model, fewest parameters first; what was not measured is None."""
    return [_make_row(task.name, model) for task in results.tasks.values() for model in task.by_size]


def _make_row(task: str, model: ModelResults) -> dict[str, object]:
    accuracy = model.compute_accuracy()
    found: dict[str, object] = {"task": task, "model": model.name, "n_trainings": len(model.trainings)}
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
            found |= _list_bounds(COLUMNS.get(cost.name, "training_s"), cost.find(model))
    return found


def _list_bounds(name: str, sample: CostSample | None) -> dict[str, object]:
    """The value, and its bounds where it is no exact count."""
    if sample is None:
        return {name: None}
    is_exact = sample.lo == sample.hi and not sample.samples
    return {name: sample.value} | ({} if is_exact else {f"{name}_lo": sample.lo, f"{name}_hi": sample.hi})
