"""Tasks: what is to be learnt, from which data, how well, and by which recipe."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dlmi_tasks.spec import Task

# The other ways of preprocessing, for the ablation: normalisation with what is kept of the slice, and choice of slices.
NORMALISATIONS = ("occipital", "max", "zscore", "minmax", "none")
EXTENTS = ("crop", "full")
SLICES = ("single", "hottest")
SPECT_ARMS = (
    *tuple(f"spect+{n}-{e}" for n in NORMALISATIONS for e in EXTENTS)[1:],  # the first is `spect` itself
    *(f"spect+{slices}" for slices in SLICES),
)

# name -> the module whose TASKS holds it; resolved on use, so that listing names loads no data code
TASKS: dict[str, str] = {
    "usps": "dlmi_tasks.usps.task",
    "usps-libsvm": "dlmi_tasks.usps.task",
    "spect": "dlmi_tasks.spect.task",
    "spect-realistic": "dlmi_tasks.spect.task",
    "spect-small": "dlmi_tasks.spect.task",
    **dict.fromkeys(SPECT_ARMS, "dlmi_tasks.spect.task"),
}


def get_task(name: str) -> "Task":
    """The registered task; KeyError where there is none."""
    task: Task = import_module(TASKS[name]).TASKS[name]
    return task
