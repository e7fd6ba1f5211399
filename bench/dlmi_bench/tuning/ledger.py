"""Writing of ledgers: the trials of a session as a file that is shipped with its task."""

from pathlib import Path

from dlmi_bench.errors import UsageError
from dlmi_bench.files import write_text
from dlmi_bench.records import Record
from dlmi_bench.tuning.session import TunedModel, TuningOutcome
from dlmi_tasks.ledger import Ledger, LedgerRow


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
    ledger = Ledger.model_validate(
        {
            "task": tasks[0],
            "sha256": first.provenance["data"]["sha256"],  # type: ignore[index, call-overload]
            "n_validation": first.provenance["splits"]["validation"],  # type: ignore[index, call-overload]
            "versions": first.provenance["versions"],
            "models": [_make_row(model, model.records[0]) for model in tuned],
        }
    )
    return write_text(path, ledger.model_dump_json(indent=1, exclude_defaults=False) + "\n")


def _make_row(tuned: TunedModel, first: Record) -> LedgerRow:
    content = {"model": tuned.model, "seed": first.provenance["seed"], "recipe": first.provenance["base"]}
    return LedgerRow.model_validate(content | {"trials": tuned.trials})
