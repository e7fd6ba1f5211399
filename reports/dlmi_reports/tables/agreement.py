"""Agreement of the scores of every runtime with those of eager in float64."""

from collections.abc import Iterator

from dlmi_bench.records import Figure, Record
from dlmi_bench.units import format_count, format_number, format_percent
from dlmi_reports.results.load import TaskResults
from dlmi_reports.results.marks import add_marks
from dlmi_reports.results.model import ModelResults
from dlmi_reports.structure import Table
from dlmi_reports.tables.cells import show


def make_agreement_tables(task: TaskResults) -> list[Table]:
    """One table; none if no runtime was compared."""
    rows = [row for model in task.by_size for row in _list_rows(model)]
    caption = (
        "Scores of the first seed on the whole test split, which is read once. RMSE is a multiple of that of eager in "
        "float32. Brackets hold Wilson 95 % intervals. INVALID: float32 does not explain the error; latency and energy "
        "of such a runtime are excluded from rankings and claims. Vacuous: the output of the network does not depend "
        "on its input, so agreement shows nothing."
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
