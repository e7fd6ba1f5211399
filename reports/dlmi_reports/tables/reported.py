"""Tables of what others reported: accuracies, and costs that nothing here measured."""

from collections.abc import Callable, Iterable, Sequence
from itertools import combinations

from dlmi_bench.records import Figure, Record
from dlmi_bench.stats.congruence import compute_false_claim
from dlmi_bench.units import format_count, format_percent, format_range, unit_of
from dlmi_reports.results.load import TaskResults
from dlmi_reports.results.marks import add_marks
from dlmi_reports.results.model import ModelResults
from dlmi_reports.structure import Table
from dlmi_reports.tables.cells import render_seed_sd

NOT_REPORTED = "not reported"
COSTS: dict[str, Callable[[ModelResults], Figure | None]] = {
    "parameters": lambda m: m.find("counts", "n_parameters"),
    "MACs": lambda m: m.find("counts", "macs"),
    "latency": ModelResults.find_latency,
    "energy of 1 000 inferences": lambda m: m.find("energy", "inference_energy_j"),
}


def make_reported_tables(task: TaskResults) -> list[Table]:
    """Make a table of accuracies, and one of costs where any was reported."""
    has_costs = any(model.measured for model in task.models.values())
    makers = [_make_accuracy_table, *([_make_cost_table] if has_costs else [])]
    alone = [model for model in task.models.values() if not any(record.artifacts for record in model.trainings)]
    return [*(make(task) for make in makers), *([_make_false_table(alone)] if len(alone) > 1 else [])]


def _make_accuracy_table(task: TaskResults) -> Table:
    judged = [model for model in task.by_size if model.compute_accuracy()]
    has_groups = any(a.n_effective != a.n for m in judged if (a := m.compute_accuracy()))
    rows = [[model.name, *_describe(model, has_groups=has_groups)] for model in judged]
    caption = (
        "Accuracy of the answers that others reported: mean and standard deviation (sd) over seeds. Brackets hold "
        "Wilson 95 % intervals of sampling cases."
    )
    if has_groups:
        caption += " Cases of one group are one unit; as many independent cases say as much as the effective number."
    names = ["algorithm", "test %", "95 % interval", "seed sd", "cases", *(["effective"] if has_groups else [])]
    return Table("Accuracy, reported by others", caption, names, rows)


def _describe(model: ModelResults, *, has_groups: bool) -> list[str]:
    found = model.compute_accuracy()
    assert found is not None
    interval = f"[{format_percent(found.lo)}, {format_percent(found.hi)}]"
    counts = [format_count(found.n), *([format_count(found.n_effective)] if has_groups else [])]
    mean = add_marks(format_percent(found.mean), *(record.figure("test_accuracy") for record in model.trainings))
    return [mean, interval, render_seed_sd(model) if found.n_seeds > 1 else "one seed", *counts]


def _make_cost_table(task: TaskResults) -> Table:
    columns = {name: find for name, find in COSTS.items() if any(map(find, task.models.values()))}
    rows = [
        [model.name, *(_render(find(model)) for find in columns.values()), _find_source(model.measured.values())]
        for model in task.by_size
    ]
    caption = "Nothing here measured these costs. Brackets hold the bounds that were reported."
    return Table("Costs, reported by others", caption, ["algorithm", *columns, "source"], rows)


def _make_false_table(models: Sequence[ModelResults]) -> Table:
    """Tell of each pair how probably the more accurate one is not better."""
    found = [(model, accuracy) for model in models if (accuracy := model.compute_accuracy())]
    ordered = sorted(found, key=lambda pair: -pair[1].mean)
    rows = []
    for (first, x), (second, y) in combinations(ordered, 2):
        false = compute_false_claim(x.mean, y.mean, x.n) if x.n == y.n else None
        cells = [f"{share:.3f}" for share in (false.value, false.lo, false.hi)] if false else ["unlike n", "", ""]
        rows.append([first.name, second.name, *cells])
    caption = (
        "Posterior probability that the first is no more accurate than the second (arXiv 2505.04720): uniform prior on "
        "the shares of cases that both, one or none answers rightly, the same cases for all. Smallest and largest are "
        "over all shares that both may answer rightly."
    )
    header = ["first", "second", "errors independent", "smallest", "largest"]
    return Table("How probably a claimed superiority is false", caption, header, rows)


def _render(figure: Figure | None) -> str:
    if figure is None or figure.value is None:
        return NOT_REPORTED
    if figure.kind == "counted":
        return format_count(figure.value)
    return add_marks(format_range(figure.value, figure.lo, figure.hi, unit_of(figure.name)), figure)


def _find_source(records: Iterable[Record]) -> str:
    sources = dict.fromkeys(figure.source for record in records for figure in record.figures)
    return "; ".join(sources) or NOT_REPORTED
