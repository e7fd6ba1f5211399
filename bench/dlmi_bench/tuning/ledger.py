"""Writing of ledgers: the trials of a session as a file that is shipped with its task."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dlmi_bench.errors import UsageError
from dlmi_bench.files import write_text
from dlmi_bench.records import Record
from dlmi_bench.stats.tuning import read_trial
from dlmi_bench.tuning.halving import Found
from dlmi_bench.tuning.session import TunedModel, TuningOutcome
from dlmi_tasks.ledger import EARLIER, Ledger, LedgerRow

SEARCHED = "Trials of a search by successive halving; those made by hand before it were not counted."


def write_ledger(outcome: TuningOutcome, path: Path) -> Path:
    """Write the trials of one task.

    Raises:
        UsageError: there are trials of several tasks, or none.
    """
    tuned = [model for model in outcome.models if model.records]
    tasks = sorted({model.task for model in tuned})
    if len(tasks) != 1:
        cause = f"--to {path}: a ledger is of one task, not of {', '.join(tasks) or 'none'}"
        raise UsageError(cause, "name it with --task")
    first = tuned[0].records[0]
    return _write(first, [_make_row(model, model.records[0]) for model in tuned], path, EARLIER)


def _write(first: Record, rows: list[LedgerRow], path: Path, note: str) -> Path:
    ledger = Ledger.model_validate(
        {
            "task": first.cell.task,
            "note": note,
            "sha256": first.provenance["data"]["sha256"],  # type: ignore[index, call-overload]
            "n_validation": first.provenance["splits"]["validation"],  # type: ignore[index, call-overload]
            "versions": first.provenance["versions"],
            "models": rows,
        }
    )
    return write_text(path, ledger.model_dump_json(indent=1, exclude_defaults=False) + "\n")


def write_search(outcome: TuningOutcome, found: Sequence[Found], path: Path) -> Path:
    """Write the trials of a search; each model's recipe is the last left, and its trials say what they change."""
    best, first = {f.model: f.records[0] for f in found}, found[0].records[0]
    rows = [_make_searched(tuned, best[tuned.model]) for tuned in outcome.models if tuned.model in best]
    return _write(first, rows, path, SEARCHED)


def _make_searched(tuned: TunedModel, best: Record) -> LedgerRow:
    recipe: Any = best.provenance["recipe"]
    trials = []
    for record in tuned.records:
        own: Any = record.provenance["recipe"]
        trials.append(read_trial(record).model_copy(update={"tried": {k: v for k, v in own.items() if recipe[k] != v}}))
    return LedgerRow(model=tuned.model, seed=best.cell.seed, recipe=recipe, trials=tuple(trials))


def _make_row(tuned: TunedModel, first: Record) -> LedgerRow:
    content = {"model": tuned.model, "seed": first.provenance["seed"], "recipe": first.provenance["base"]}
    return LedgerRow.model_validate(content | {"trials": tuned.trials})
