"""The outcome of tuning as rows and as text."""

from dlmi_bench.stats.tuning import describe_tried, summarise_trials
from dlmi_bench.tuning.row import TunedRow
from dlmi_bench.tuning.session import TunedModel, TuningOutcome
from dlmi_bench.units import format_percent

HEADER = ("model", "trials", "seconds", "in use %", "best %", "best trial")


def list_rows(outcome: TuningOutcome) -> list[TunedRow]:
    """List the models in the order in which they were asked for."""
    return [_make_row(tuned) for tuned in outcome.models]


def _make_row(tuned: TunedModel) -> TunedRow:
    trials = tuned.trials
    return TunedRow(
        task=tuned.task,
        model=tuned.model,
        obstacle=tuned.obstacle,
        tuning=summarise_trials(trials) if trials else None,
    )


def format_tuning(outcome: TuningOutcome) -> str:
    """Write a table for each task; no recipe was changed."""
    rows, lines = list_rows(outcome), []
    for task in dict.fromkeys(row.task for row in rows):
        cells = [HEADER, *(_make_cells(row) for row in rows if row.task == task)]
        widths = [max(len(line[i]) for line in cells) for i in range(len(HEADER) - 1)]
        lines += [f"{task}, by validation", *(_join(line, widths) for line in cells), ""]
    counts = f"{outcome.n_done} trials done, {outcome.n_kept} kept, {len(outcome.failures)} not started"
    return "\n".join([*lines, f"{counts}. The recipes in use stay as they are."])


def _make_cells(row: TunedRow) -> tuple[str, ...]:
    found = row.tuning
    if found is None:
        return row.model, "0", "", "", "", row.obstacle or "not started"
    used, best = (_show(value) for value in (found.used_validation_accuracy, found.best_validation_accuracy))
    what = describe_tried(found.best_tried) if best else "none"
    failed = f" ({found.n_failed} failed)" if found.n_failed else ""
    return row.model, f"{found.n_trials}{failed}", f"{found.tuning_s:.1f}", used or "failed", best or "none", what


def _show(value: float | None) -> str:
    return "" if value is None else format_percent(value, 2)


def _join(line: tuple[str, ...], widths: list[int]) -> str:
    *first, last = line
    name, *numbers = (cell.rjust(width) for cell, width in zip(first, widths, strict=True))
    return "  ".join([name.strip().ljust(widths[0]), *numbers, last]).rstrip()
