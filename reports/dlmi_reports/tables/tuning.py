"""Table of tuning: the budget of each model's recipe, and the best of its trials."""

from dlmi_bench.stats.tuning import Tuning, describe_tried
from dlmi_bench.units import format_percent, format_quantity
from dlmi_reports.results.load import TaskResults
from dlmi_reports.results.machines import find_kind
from dlmi_reports.results.model import ModelResults
from dlmi_reports.results.tuning import describe_tuning
from dlmi_reports.structure import Table
from dlmi_reports.tables.cells import MISSING

CAPTION = (
    "Trials of each recipe, failed ones too, judged by validation accuracy alone, with one seed, and their time. The "
    "best of k is a maximum, so it is too high by chance. Every training uses the recipe in use, whatever is best."
)


def make_tuning_tables(task: TaskResults) -> list[Table]:
    """List trials, time, the recipe in use and the best of k; no table where nobody counted."""
    found = [(model, *describe_tuning(model)) for model in task.by_size if model.trainings or model.trials]
    counted = {tuning.n_trials if tuning else None for _, tuning, _ in found}
    if counted <= {None}:
        return []
    rows = [_make_row(*row) for row in found]
    notes = list(dict.fromkeys(tuning.note for _, tuning, _ in found if tuning and tuning.note))
    notes += ["Unequal budgets: claims that compare these models say so."] if len(counted) > 1 else []
    header = ["model", "trials", "time", "in use, validation %", "best of k %", "note"]
    return [Table("Tuning", CAPTION, header, rows, notes)]


def _make_row(model: ModelResults, tuning: Tuning | None, note: str) -> list[str]:
    if tuning is None:
        return [model.name, "0", MISSING, MISSING, MISSING, note]
    used, best = (_show(value) for value in (tuning.used_validation_accuracy, tuning.best_validation_accuracy))
    return [model.name, str(tuning.n_trials), _render_time(model, tuning), used, best, _describe(tuning, note)]


def _render_time(model: ModelResults, tuning: Tuning) -> str:
    """Write the time of all trials, those on each kind of machine apart."""
    kinds = sorted({kind for trial in model.trials if (kind := find_kind(trial))})
    if len(kinds) < 2:
        return format_quantity(tuning.tuning_s, "s")
    parts = {kind: describe_tuning(model.on(kind))[0] for kind in kinds}
    return "; ".join(f"{format_quantity(part.tuning_s, 's')} on {kind}" for kind, part in parts.items() if part)


def _describe(tuning: Tuning, note: str) -> str:
    """Say where the recipe in use ranks, which trial is best where it is another one, and how many failed."""
    if tuning.rank is None:
        said = "the recipe in use failed" if note == tuning.note else note
    else:
        said = "best" if tuning.rank == 1 else f"rank {tuning.rank}; best: {describe_tried(tuning.best_tried)}"
    return said + (f"; {tuning.n_failed} failed" if tuning.n_failed else "")


def _show(value: float | None) -> str:
    return MISSING if value is None else format_percent(value, 2)
