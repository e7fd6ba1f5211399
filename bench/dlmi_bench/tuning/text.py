"""The outcome of tuning as rows and as text."""

from collections.abc import Sequence
from math import inf

from dlmi_bench.stats.tuning import Trial, describe_tried, summarise_trials
from dlmi_bench.tuning.halving import Found
from dlmi_bench.tuning.row import FoundRow, TunedRow
from dlmi_bench.tuning.session import TunedModel, TuningOutcome
from dlmi_bench.units import format_percent

FOUND = ("model", "not zero", "best %", "loss", "epochs, peak_lr, batch, optimiser")
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


def list_found(outcome: TuningOutcome, found: Sequence[Found]) -> list[FoundRow]:
    """List the models of a search that trained, by group, smallest first."""
    trials = {tuned.model: tuned.trials for tuned in outcome.models}
    return [_make_found(f, trials[f.model]) for f in found if f.loss < inf]


def _make_found(found: Found, trials: list[Trial]) -> FoundRow:
    return FoundRow.model_validate(
        {
            "group": found.group,
            "model": found.model,
            "n_nonzero": found.n_nonzero,
            "recipe": found.records[0].provenance["recipe"],
            "n_folds": len(found.records),
            "n_trials": len(trials),
            "tuning_s": sum(trial.tuning_s for trial in trials),
            "validation_accuracy": found.accuracy,
            "validation_loss": found.loss,
            "is_winner": found.is_winner,
        }
    )


def format_search(outcome: TuningOutcome, found: Sequence[Found]) -> str:
    """Write a table for each group; what no smaller model of it does as well has a star."""
    rows, lines = list_found(outcome, found), []
    for group in dict.fromkeys(row.group for row in rows):
        cells = [FOUND, *(_make_found_cells(row) for row in rows if row.group == group)]
        widths = [max(len(line[i]) for line in cells) for i in range(len(FOUND) - 1)]
        lines += [group, *(_join(line, widths) for line in cells), ""]
    counts = f"{outcome.n_done} trials done, {outcome.n_kept} kept, {len(outcome.failures)} not started"
    ends = "*: no smaller model of the group is as accurate on validation. No recipe in use was changed."
    return "\n".join([*lines, f"{counts}.", ends])


def _make_found_cells(row: FoundRow) -> tuple[str, ...]:
    shown = ("n_epochs", "peak_lr", "batch_size", "optimiser")
    recipe = ", ".join(f"{row.recipe[name]}" for name in shown)
    star = " *" if row.is_winner else ""
    accuracy = format_percent(row.validation_accuracy, 2)
    return row.model + star, f"{row.n_nonzero}", accuracy, f"{row.validation_loss:.4f}", recipe


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
