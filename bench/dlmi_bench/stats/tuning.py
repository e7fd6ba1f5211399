"""Trials of a model's recipe, and what they add up to: how many, how long, and where the recipe in use ranks."""

import json
from collections.abc import Sequence
from statistics import fmean

from pydantic import ValidationError

from dlmi_bench.errors import StoreError
from dlmi_bench.records import Finite, Plain, Record

Tried = dict[str, int | float | str]  # fields of the recipe that differ from the recipe in use


class Trial(Plain):
    """One training by one recipe, judged by validation alone; `reason` says why it has no accuracy."""

    tried: Tried = {}
    validation_accuracy: Finite | None = None
    validation_loss: Finite | None = None
    tuning_s: Finite = 0.0
    reason: str = ""


class Tuning(Plain):
    """Budget of a model's recipe, and the best of its trials.

    Attributes:
        n_trials: All of them, failed ones too.
        tuning_s: Time that they took [s].
        rank: Place of the recipe in use, 1 for the best; None where it was not tried or failed.
        best_tried: What the best trial changed; empty where it is the recipe in use.
    """

    n_trials: int
    n_failed: int
    tuning_s: Finite
    rank: int | None
    used_validation_accuracy: Finite | None
    best_validation_accuracy: Finite | None
    best_tried: Tried = {}
    note: str = ""


def read_trial(record: Record) -> Trial:
    """Read the trial of a tuning cell.

    Raises:
        StoreError: its provenance is damaged.
    """
    accuracy, loss, spent = (record.figure(name) for name in ("validation_accuracy", "validation_loss", "tuning_s"))
    content = {
        "tried": record.provenance.get("tried", {}),
        "validation_accuracy": accuracy and accuracy.value,
        "validation_loss": loss and loss.value,
        "tuning_s": (spent and spent.value) or 0.0,
        "reason": accuracy.reason if accuracy else "no accuracy",
    }
    try:
        return Trial.model_validate(content)
    except ValidationError as error:
        raise StoreError(f"{record.cell.key}: provenance: {error}", "run `dlmi-bench tune` again") from None


def summarise_trials(trials: Sequence[Trial]) -> Tuning:
    """Add up trials and rank the recipe in use, which changes nothing; of equal accuracies the first one is best.

    Trials of one recipe count by their mean.
    """
    found: dict[str, list[float]] = {}
    for trial in trials:
        if trial.validation_accuracy is not None:
            found.setdefault(json.dumps(trial.tried, sort_keys=True), []).append(trial.validation_accuracy)
    means = {tried: fmean(accuracies) for tried, accuracies in found.items()}
    used, best = means.get("{}"), max(means, key=means.__getitem__, default="{}")
    return Tuning(
        n_trials=len(trials),
        n_failed=len(trials) - sum(map(len, found.values())),
        tuning_s=sum(trial.tuning_s for trial in trials),
        rank=None if used is None else 1 + sum(mean > used for mean in means.values()),
        used_validation_accuracy=used,
        best_validation_accuracy=means.get(best),
        best_tried=json.loads(best),
    )


def describe_tried(tried: Tried) -> str:
    """Write what a trial changed in the recipe."""
    said = (f"{name} {value if isinstance(value, str) else f'{value:g}'}" for name, value in tried.items())
    return ", ".join(said) or "the recipe in use"
