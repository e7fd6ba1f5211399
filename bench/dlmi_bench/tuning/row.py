"""Row of the table of tuning; the command prints it as JSON too."""

from pydantic import JsonValue

from dlmi_bench.records import Finite, Plain
from dlmi_bench.stats.tuning import Tuning


class FoundRow(Plain):
    """A model of a search with the last recipe that was left, and its means on validation.

    Attributes:
        n_folds: Trials that the means are of.
        n_nonzero: Parameters that are not zero.
        is_winner: Whether no smaller model of its group is as accurate on validation.
    """

    group: str
    model: str
    n_nonzero: int
    recipe: dict[str, JsonValue]
    n_folds: int
    n_trials: int
    tuning_s: Finite
    validation_accuracy: Finite
    validation_loss: Finite
    is_winner: bool


class TunedRow(Plain):
    """A model with its budget; where there is no recipe to tune, `obstacle` says why."""

    task: str
    model: str
    obstacle: str
    tuning: Tuning | None
