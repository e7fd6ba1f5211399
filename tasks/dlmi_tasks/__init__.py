"""Tasks: what is to be learnt, from which data, how well, and by which recipe."""

import sys
from dataclasses import replace
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
# All slices of the window, side by side as channels or behind each other as a volume, where the task averages them.
STACKS = ("channels", "volume")

# name -> the module whose TASKS holds it, `module:attribute`, or a user's task of this process. Modules are imported on
# use, so that listing names loads no data code.
TASKS: "dict[str, str | Task]" = {
    "usps": "dlmi_tasks.usps.task",
    "usps-libsvm": "dlmi_tasks.usps.task",
    "spect": "dlmi_tasks.spect.task",
    "spect-realistic": "dlmi_tasks.spect.task",
    "spect-small": "dlmi_tasks.spect.task",
    **dict.fromkeys((*SPECT_ARMS, *(f"spect+{stack}" for stack in STACKS)), "dlmi_tasks.spect.task"),
}


def get_task(name: str) -> "Task":
    """The registered task, or a registered one in disguise; KeyError where there is none.

    Raises:
        UsageError: a user's module cannot be imported, or has no such task; a nonce is none.
    """
    from dlmi_bench.records import DISGUISE

    sys.audit("dlmi_tasks.get_task", name)  # for the referee, who lists what a training asks for
    base, sign, nonce = name.rpartition(DISGUISE)
    if sign:
        from dlmi_tasks.disguise import disguise_task

        return disguise_task(get_task(base), nonce)
    place = TASKS[name]
    if not isinstance(place, str):
        return place
    module, _, attribute = place.partition(":")
    if module.startswith("dlmi_tasks."):
        own: Task = import_module(module).TASKS[name]
        return own
    return _import_task(name, module, attribute)


def _import_task(name: str, module: str, attribute: str) -> "Task":
    from dlmi_bench.errors import UsageError, describe_fault
    from dlmi_tasks.spec import Task

    try:
        found = import_module(module)
        task = getattr(found, attribute) if attribute else found.TASKS[name]
        task = task if isinstance(task, Task) else task()
    except UsageError:
        raise
    except (Exception, SystemExit) as error:
        raise UsageError(f"task {name!r}: {describe_fault(error, module)}", "correct the file") from error
    if not isinstance(task, Task):
        raise UsageError(f"task {name!r} is a {type(task).__name__}", "make it by Task.from_arrays, .from_npz or so")
    return replace(task, name=name)
