"""The trials: a fixed list around the recipe in use, the same for every model."""

from dlmi_bench.stats.tuning import Tried
from dlmi_tasks.recipe import Recipe

# Factors on fields of the recipe in use, which comes first. More trials are added at the end.
GRID: tuple[dict[str, float], ...] = (
    {},
    {"peak_lr": 1 / 4},
    {"peak_lr": 1 / 2},
    {"peak_lr": 2},
    {"peak_lr": 4},
    {"n_epochs": 2, "peak_lr": 1 / 2},
    {"n_epochs": 2},
    {"n_epochs": 1 / 2, "peak_lr": 2},
    {"weight_decay": 1 / 5},
    {"weight_decay": 5},
    {"batch_size": 1 / 2, "peak_lr": 1 / 2},
    {"batch_size": 2, "peak_lr": 2},
)
DEFAULT_TRIALS = 6


def list_trials(recipe: Recipe, n_trials: int) -> list[Tried]:
    """List what each trial changes in the recipe; the first one changes nothing."""
    return [{name: _scale(getattr(recipe, name), factor) for name, factor in row.items()} for row in GRID[:n_trials]]


def _scale(value: float, factor: float) -> int | float:
    """Scale a field; counts stay counts, of one at least."""
    return max(1, round(value * factor)) if isinstance(value, int) else value * factor
