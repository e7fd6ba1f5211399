"""Tuning of a model's recipe: by the trials of the store, else by the ledger that its trainings name."""

from dlmi_bench.stats.tuning import Tuning, read_trial, summarise_trials
from dlmi_reports.results.model import ModelResults
from dlmi_reports.results.provenance import Provenance, read_provenance

UNCOUNTED = "not counted"
NO_RECIPE = "not available: fit takes no recipe"
OTHER = "the recipe in use was not among the trials"


def describe_tuning(model: ModelResults) -> tuple[Tuning | None, str]:
    """Describe the budget of a model's recipe, with a note; without a budget, the note says why.

    Raises:
        StoreError: provenance is damaged.
    """
    used = read_provenance(model.trainings[0]) if model.trainings else Provenance()
    if not model.trials:
        why = NO_RECIPE if "fit" in used.recipe else UNCOUNTED
        return used.tuning, used.tuning.note if used.tuning else why
    found = summarise_trials([read_trial(record) for record in model.trials])
    if used.recipe and any(record.provenance.get("base") != used.recipe for record in model.trials):
        return found.model_copy(update={"rank": None, "used_validation_accuracy": None}), OTHER
    return found, found.note
