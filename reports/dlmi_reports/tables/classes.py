"""Results by class: recall, confusions, and figures that weigh all classes equally."""

from dataclasses import dataclass
from statistics import fmean

from dlmi_bench.stats.intervals import compute_sd
from dlmi_bench.units import format_count, format_number, format_percent, format_share
from dlmi_reports.results.compact import find_detail
from dlmi_reports.results.folds import sum_confusions
from dlmi_reports.results.load import TaskResults
from dlmi_reports.results.model import ModelResults
from dlmi_reports.structure import Table
from dlmi_reports.tables.cells import MISSING

BALANCED = {
    "test_balanced_accuracy": "balanced accuracy %",
    "test_macro_f1": "macro F1 %",
    "test_quadratic_kappa": "quadratic kappa %",
}
N_CONFUSIONS = 3
MAX_CLASSES = 20  # with more, tables by class are cut
N_WORST = 10


@dataclass(frozen=True)
class Confusion:
    """Counts of answers by true class (rows), summed over seeds."""

    counts: list[list[int]]

    @property
    def recalls(self) -> list[float | None]:
        return [row[i] / sum(row) if sum(row) else None for i, row in enumerate(self.counts)]

    def list_mistakes(self) -> list[tuple[int, int, int]]:
        """List (count, truth, answer), the most frequent first."""
        cells = [(n, t, a) for t, row in enumerate(self.counts) for a, n in enumerate(row) if t != a and n]
        return sorted(cells, key=lambda cell: (-cell[0], cell[1], cell[2]))


def compute_confusion(model: ModelResults) -> Confusion | None:
    """Sum the confusion matrices of the model's trainings in complete repeats; None if none was kept."""
    counts = sum_confusions([record for repeat in model.repeats for record in repeat])
    return None if counts is None else Confusion(counts.tolist())


def make_class_tables(task: TaskResults) -> list[Table]:
    """Tables of balanced figures, recall by class, confusions of the reference, and frequent mistakes."""
    tables = [make_balanced_table(task)] if any(m.values(name) for m in task.by_size for name in BALANCED) else []
    confusions = {model.name: c for model in task.by_size if (c := compute_confusion(model))}
    if not confusions:
        return tables
    names = list_classes(task, max(len(c.counts) for c in confusions.values()))
    reference = task.reference.name if task.reference else ""
    tables.append(make_recall_table(confusions, names, reference))
    if reference in confusions and len(names) <= MAX_CLASSES:
        tables.append(make_confusion_table(reference, confusions[reference], names))
    return [*tables, make_mistake_table(confusions, names)]


def list_classes(task: TaskResults, n: int) -> list[str]:
    """List the names of the first `n` classes; their numbers if the trainings kept no names."""
    return names[:n] if len(names := read_classes(task)) >= n else list(map(str, range(n)))


def read_classes(task: TaskResults) -> list[str]:
    """Read the class names that the trainings kept; empty if they kept none."""
    return next((find_detail(record, "class_names") or [] for record in task.trainings), [])


def make_balanced_table(task: TaskResults) -> Table:
    names = [name for name in BALANCED if any(model.values(name) for model in task.by_size)]
    rows = [[model.name, *(_render_mean(model.values(name)) for name in names)] for model in task.by_size]
    caption = "Mean over seeds; parentheses hold the standard deviation over seeds. All classes have the same weight."
    return Table("Accuracy, all classes weighed equally", caption, ["model", *(BALANCED[name] for name in names)], rows)


def _render_mean(values: list[float]) -> str:
    if not values:
        return MISSING
    sd = compute_sd(values)
    return f"{format_percent(fmean(values))}" + (f" ({format_number(100 * sd)})" if sd is not None else "")


def make_recall_table(confusions: dict[str, Confusion], names: list[str], reference: str) -> Table:
    """Recall of every class; of more than MAX_CLASSES, those that the reference recognises worst."""
    caption = "Percentage of the test examples of each true class that were classified correctly, all seeds together."
    shown = list(range(len(names)))
    if len(names) > MAX_CLASSES:
        by = reference if reference in confusions else next(iter(confusions))
        recalls = [(recall, i) for i, recall in enumerate(confusions[by].recalls) if recall is not None]
        shown = [i for _, i in sorted(recalls)[:N_WORST]]
        caption += f" Of {len(names)} classes only the {len(shown)} with the lowest recall of {by} are shown."
    rows = [[model, *(_render_recall(c.recalls, i) for i in shown)] for model, c in confusions.items()]
    return Table("Recall by class", caption, ["model", *(names[i] for i in shown)], rows)


def _render_recall(recalls: list[float | None], index: int) -> str:
    if index >= len(recalls):
        return ""
    recall = recalls[index]
    return format_percent(recall) if recall is not None else "no example"


def make_confusion_table(model: str, confusion: Confusion, names: list[str]) -> Table:
    rows = [[name, *map(format_count, row)] for name, row in zip(names, confusion.counts, strict=True)]
    caption = "Rows are true classes, columns are answers. Test examples of all seeds together."
    return Table(f"Confusion of {model}", caption, ["truth", *names], rows)


def make_mistake_table(confusions: dict[str, Confusion], names: list[str]) -> Table:
    rows = []
    for model, confusion in confusions.items():
        for n, truth, answer in confusion.list_mistakes()[:N_CONFUSIONS]:
            share = n / sum(confusion.counts[truth])
            rows.append([model, names[truth], names[answer], format_count(n), format_share(share, 1)])
    header = ["model", "truth", "answer", "times", "of that class"]
    return Table("Most frequent mistakes", f"Up to {N_CONFUSIONS} per model, all seeds together.", header, rows)
