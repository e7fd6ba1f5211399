"""How far the answers of every runtime are from those of eager in float64."""

from collections.abc import Iterator

from dlmi_bench.records import Figure, Record
from dlmi_bench.units import format_count, format_number, format_percent
from dlmi_reports.results.load import ModelResults, TaskResults
from dlmi_reports.results.marks import add_marks
from dlmi_reports.structure import Table
from dlmi_reports.tables.cells import show


def make_agreement_tables(task: TaskResults) -> list[Table]:
    """One table; none where no runtime was compared."""
    rows = [row for model in task.by_size for row in _list_rows(model)]
    caption = (
        "Scores for the whole test split in the one look at it, first seed: largest error; RMSE in units of float32 "
        "eager's own; decisions that differ, with the Wilson 95 % interval. INVALID: the error is more than float32 "
        "explains; such a runtime's latency and energy rank nothing and decide nothing. Vacuous: the network answers "
        "all inputs alike, so that agreeing says nothing."
    )
    header = ["model", "runtime", "largest error", "RMSE", "other decisions", "examples"]
    return [Table("Agreement with float64", caption, header, rows)] if rows else []


def _list_rows(model: ModelResults) -> Iterator[list[str]]:
    for record in model.trainings[:1]:
        for worst in record.figures:
            if worst.name == "max_score_error":
                yield [model.name, str(worst.conditions.get("backend", "")), *_describe(record, worst)]


def _describe(record: Record, worst: Figure) -> list[str]:
    backend = worst.conditions.get("backend")
    rmse, other = (record.figure(name, backend=backend) for name in ("score_rmse_ratio", "decision_disagreement"))
    return [
        add_marks(show(worst, lambda f: f"{f.value:.1e}"), worst),
        show(rmse, lambda f: f"{format_number(f.value or 0)} x"),
        show(other, _format_share),
        format_count(worst.n),
    ]


def _format_share(figure: Figure) -> str:
    share, lo, hi = (format_percent(x or 0, 2) for x in (figure.value, figure.lo, figure.hi))
    return f"{share} [{lo}, {hi}] %"
