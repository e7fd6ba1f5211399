"""Space of a search: groups of models with the recipes that are tried for each, as a TOML file.

task = "usps"

[[group]]
name = "two hidden layers"
models = ["mlp-16-12", "mlp-24-16"]
recipes = [{ n_epochs = 100, peak_lr = 0.01 }, { n_epochs = 200, peak_lr = 0.02, optimiser = "muon" }]
"""

from dataclasses import fields
from pathlib import Path

from pydantic import Field

import dlmi_tasks
from dlmi_bench.errors import UsageError, list_choices
from dlmi_bench.jobs.plugins import list_models
from dlmi_bench.records import Plain
from dlmi_bench.stats.tuning import Tried
from dlmi_bench.toml import load_toml
from dlmi_models import MODELS
from dlmi_tasks import TASKS
from dlmi_tasks.recipe import Recipe

SIMPLE = tuple(field.name for field in fields(Recipe) if "None" not in str(field.type))  # no settings of arms


SPACES = {
    name: Path(dlmi_tasks.__file__).parent / task / "frontier.toml"
    for name, task in (("frontier", "usps"), ("frontier-slices", "spect"))
}


class Group(Plain):
    """Models that compete with each other, and the recipes that each of them is tried with.

    Attributes:
        n_folds: Trials of each recipe at each share, each with a seed and, where the task cuts its validation set,
            validation examples of its own. Their mean counts.
    """

    name: str
    models: tuple[str, ...] = Field(min_length=1)
    recipes: tuple[Tried, ...] = Field(min_length=1, max_length=100)
    n_folds: int = Field(1, ge=1, le=5)


class Space(Plain):
    """What is searched.

    Attributes:
        shares: Shares of a recipe's epochs after which the worse half of a model's recipes is given up; the last is 1.
    """

    task: str
    shares: tuple[float, ...] = (0.25, 0.5, 1.0)
    group: tuple[Group, ...] = Field(min_length=1)


def load_space(name: str) -> Space:
    """Load a space that comes with a task, by its name, or a TOML file.

    Raises:
        UsageError: an unreadable file, or a task, model or field of a recipe that does not exist; names the first.
    """
    path = SPACES.get(name, Path(name))
    space = load_toml(path, Space)
    if space.task not in TASKS:
        raise UsageError(f"{path}: no task {space.task!r}", list_choices(space.task, TASKS))
    if list(space.shares) != sorted(set(space.shares)) or not space.shares[0] > 0 or space.shares[-1] != 1:
        raise UsageError(f"{path}: shares {space.shares}", "let them rise from above 0 to 1, as in [0.25, 0.5, 1]")
    for group in space.group:
        for name in group.models:
            if name not in MODELS:
                raise UsageError(f"{path}: {group.name}: no model {name!r}", list_models(name))
        for name in (name for recipe in group.recipes for name in recipe):
            if name not in SIMPLE:
                raise UsageError(f"{path}: {group.name}: no field {name!r}", list_choices(name, SIMPLE))
    return space
