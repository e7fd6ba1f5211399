"""What is to be learnt, from which data, how well, and by which recipe."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tasks.spec import Task

# name -> where its Task is defined; resolved on use, so that listing names loads no data code
TASKS: dict[str, str] = {
    "usps": "tasks.digits:USPS",
    "usps-libsvm": "tasks.digits:USPS_LIBSVM",
}


def get_task(name: str) -> "Task":
    """The registered task; KeyError where there is none."""
    module, _, attribute = TASKS[name].partition(":")
    task: Task = getattr(import_module(module), attribute)
    return task
