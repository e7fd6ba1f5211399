"""Ledger of tuning: all trials of the recipes of a task's models, shipped with the task as `tuning.json`.

It belongs to data and recipes, which it names: where either has changed, nothing in it is believed.
"""

from pathlib import Path
from typing import Literal

from pydantic import JsonValue, TypeAdapter

from dlmi_bench.files import read_bytes
from dlmi_bench.records import Plain, Record
from dlmi_bench.stats.tuning import Trial, Tuning, summarise_trials
from dlmi_tasks.recipe import Recipe

EARLIER = "Trials that were made by hand before this ledger were not counted."
FILES = {  # by task, below this package; of a model that is in several the first counts
    "usps": ("usps/tuning.json", "usps/frontier.json"),
    "spect": ("spect/tuning.json", "spect/frontier.json"),
}


class LedgerRow(Plain):
    """A model: the recipe in use, the seed of all trials, and the trials in their order."""

    model: str
    seed: int
    recipe: dict[str, JsonValue]
    trials: tuple[Trial, ...]


class Ledger(Plain):
    """Trials of one task, all on one validation split; `sha256` is that of the data, by part."""

    schema_version: Literal[1] = 1
    task: str
    note: str = EARLIER
    sha256: dict[str, str]
    n_validation: int
    versions: dict[str, str] = {}
    models: tuple[LedgerRow, ...]


_RECIPE = TypeAdapter(Recipe)


def load_recipes(file: str) -> dict[str, Recipe]:
    """The recipes in use of a shipped ledger, by model."""
    ledger = Ledger.model_validate_json(read_bytes(Path(__file__).parent / file))
    return {row.model: _RECIPE.validate_python(row.recipe) for row in ledger.models}


def describe_tuning(training: Record) -> dict[str, JsonValue]:
    """Describe the budget of a training's recipe as provenance; None where nobody counted."""
    data, recipe = training.provenance.get("data"), training.provenance.get("recipe")
    sha256 = data.get("sha256") if isinstance(data, dict) else None
    found = find_tuning(training.cell.task, training.cell.model, recipe, sha256)
    return {"tuning": found.model_dump(mode="json") if found else None}


def find_tuning(task: str, model: str, recipe: JsonValue, sha256: JsonValue) -> Tuning | None:
    """Find the budget of a shipped recipe; None where nobody counted, or for other data or another recipe."""
    for path in (Path(__file__).parent / name for name in FILES.get(task, ())):
        ledger = Ledger.model_validate_json(read_bytes(path))
        row = next((row for row in ledger.models if row.model == model), None)
        if row and ledger.sha256 == sha256 and row.recipe == recipe:
            return summarise_trials(row.trials).model_copy(update={"note": ledger.note})
    return None
