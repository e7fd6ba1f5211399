"""Reference classifiers: chance, simple classifiers, and on synthetic data the best possible one."""

from dlmi_bench.records import Figure
from dlmi_bench.units import format_percent
from dlmi_reports.results.load import TaskResults
from dlmi_reports.structure import Table
from dlmi_reports.tables.cells import MISSING

CHANCE, CEILING = "uniform chance", "ceiling"
VALIDATION = "validation_accuracy"


def make_observer_tables(task: TaskResults) -> list[Table]:
    """List references and models by accuracy; with a ceiling, also their efficiency."""
    if task.observers is None:
        return []
    found = {(f.name, str(f.conditions["observer"])): f for f in task.observers.figures if "observer" in f.conditions}
    name = "test_balanced_accuracy" if any(n == "test_balanced_accuracy" for n, _ in found) else "test_accuracy"
    figures = {observer: f for (n, observer), f in found.items() if n == name}
    seen = {observer: f.value for (n, observer), f in found.items() if n == VALIDATION}
    chance = _get_value(figures.get(CHANCE))
    # Several bounds may be known, for different information in the images; the highest one bounds any classifier.
    ceilings = [f.value for observer, f in figures.items() if observer.startswith(CEILING) and f.value is not None]
    ceiling = max(ceilings, default=None)
    lines = [(observer, "reference", f.value, f.source, f.reason) for observer, f in figures.items()]
    for model in task.by_size:
        accuracy = model.compute_accuracy(name)
        lines.append((model.name, "model", accuracy.mean if accuracy else None, "", "not trained"))
        validation = model.compute_accuracy(VALIDATION)
        seen[model.name] = validation.mean if validation else None
    lines.sort(key=lambda line: -1.0 if line[2] is None else line[2])
    rows = []
    for who, what, value, how, reason in lines:
        shown = format_percent(value) if value is not None else f"not available: {reason}"
        rows.append([who, what, shown, _format_share(seen.get(who)), _format_efficiency(value, chance, ceiling), how])
    caption = "Test accuracy of the models and of reference classifiers."
    if ceiling is not None:
        caption += (
            " The data is synthetic, so the best possible accuracy (ceiling) is known. Efficiency is "
            "(accuracy - chance) / (ceiling - chance). The ideal observer shows how difficult the patients of each "
            "split are: a gap between validation and test that it shares is not caused by the models."
        )
    title = "Reference classifiers" + (", all classes weighed equally" if name == "test_balanced_accuracy" else "")
    return [Table(title, caption, ["who", "kind", "test %", "validation %", "efficiency %", "how"], rows)]


def _format_share(value: float | None) -> str:
    return MISSING if value is None else format_percent(value)


def _get_value(figure: Figure | None) -> float | None:
    return figure.value if figure else None


def _format_efficiency(value: float | None, chance: float | None, ceiling: float | None) -> str:
    if value is None or chance is None or ceiling is None or ceiling <= chance:
        return MISSING if value is None else "no ceiling known"
    return format_percent((value - chance) / (ceiling - chance), 0)
