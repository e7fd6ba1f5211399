"""What stands out on a task of which no claim speaks: the most accurate model, and the fastest that may equal it."""

from dlmi_bench.records import ARM
from dlmi_bench.units import format_percent, format_ratio
from dlmi_reports.results.costs import COSTS
from dlmi_reports.results.load import Results, TaskResults
from dlmi_reports.results.model import ModelResults
from dlmi_reports.tables.differences import compute_accuracy_difference, compute_cost_ratio

(LATENCY,) = (cost for cost in COSTS if cost.name == "latency")


def list_best(results: Results, told: set[str]) -> list[str]:
    """Describe each task but arms and those that are told already."""
    tasks = (task for name, task in results.tasks.items() if name not in told and ARM not in name)
    return [sentence for task in tasks if (sentence := describe_best(task))]


def describe_best(task: TaskResults) -> str:
    """Write one or two sentences; none where nothing was trained."""
    means = {name: accuracy.mean for name, model in task.models.items() if (accuracy := model.compute_accuracy())}
    if not means:
        return ""
    best = task.models[max(means, key=lambda name: means[name])]
    accuracy = best.compute_accuracy()
    assert accuracy is not None
    mean, lo, hi = (format_percent(share) for share in (accuracy.mean, accuracy.lo, accuracy.hi))
    where = f"{task.name}{' (synthetic data)' if task.is_synthetic else ''}"
    what = "is the most accurate" if len(means) > 1 else "was judged"
    return f"On {where}, {best.name} {what}: {mean} [{lo}, {hi}] %.{_describe_fastest(task, best)}"


def _describe_fastest(task: TaskResults, best: ModelResults) -> str:
    """Name the fastest of those that are not shown to be less accurate, if it is faster."""
    found = {}
    for model in task.models.values():
        difference = None if model is best else compute_accuracy_difference(model, best)
        own, its = LATENCY.find(model), LATENCY.find(best)
        ratio = compute_cost_ratio(own, its) if own and its else None
        if difference and difference.hi is not None and difference.hi >= 0 and ratio and ratio.is_resolved(1.0):
            found[model.name] = ratio
    if not found:
        return ""
    name = min(found, key=lambda model: found[model].value)
    ratio = found[name]
    if ratio.value > 1:
        return ""
    shown = format_ratio(ratio.value, ratio.lo, ratio.hi)
    return f" Of those not shown to be less accurate, {name} answers fastest, in {shown} its time."
