"""dlmi-bench: accuracy against cost for compact medical-imaging models.

    >>> import dlmi_bench
    >>> print(dlmi_bench.count("mlp-64-32"))  # doctest: +ELLIPSIS
    mlp-64-32, one example of 1x16x16
    ...

The names below are imported when they are first used, so that importing the package is quick and loads neither torch
nor pandas nor numpy.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dlmi_bench.api import Answer as Answer
    from dlmi_bench.api import build_firmware as build_firmware
    from dlmi_bench.api import compare_files as compare_files
    from dlmi_bench.api import count as count
    from dlmi_bench.api import gate as gate
    from dlmi_bench.api import judge as judge
    from dlmi_bench.api import judge_accuracies as judge_accuracies
    from dlmi_bench.api import judge_claims as judge_claims
    from dlmi_bench.api import load_results as load_results
    from dlmi_bench.api import lock_claims as lock_claims
    from dlmi_bench.api import plan as plan
    from dlmi_bench.api import profile as profile
    from dlmi_bench.api import referee as referee
    from dlmi_bench.api import report as report
    from dlmi_bench.api import run as run
    from dlmi_bench.api import tune as tune
    from dlmi_bench.errors import BenchError as BenchError
    from dlmi_bench.study import Study as Study
    from dlmi_bench.study import compare as compare
    from dlmi_bench.suite.suites import Suite as Suite
    from dlmi_models.own import Model as Model
    from dlmi_tasks.recipe import Distillation as Distillation
    from dlmi_tasks.recipe import FineTuning as FineTuning
    from dlmi_tasks.recipe import Pruning as Pruning
    from dlmi_tasks.recipe import Recipe as Recipe
    from dlmi_tasks.spec import Distortion as Distortion
    from dlmi_tasks.spec import Target as Target
    from dlmi_tasks.spec import Task as Task

_PLACES = {
    **dict.fromkeys(("Answer", "build_firmware", "compare_files", "count", "gate", "judge"), "dlmi_bench.api"),
    **dict.fromkeys(("judge_accuracies", "judge_claims"), "dlmi_bench.api"),
    **dict.fromkeys(("load_results", "lock_claims", "plan", "profile", "referee", "report"), "dlmi_bench.api"),
    **dict.fromkeys(("run", "tune"), "dlmi_bench.api"),
    "BenchError": "dlmi_bench.errors",
    "Suite": "dlmi_bench.suite.suites",
    **dict.fromkeys(("Study", "compare"), "dlmi_bench.study"),
    **dict.fromkeys(("Distillation", "FineTuning", "Pruning", "Recipe"), "dlmi_tasks.recipe"),
    **dict.fromkeys(("Distortion", "Target", "Task"), "dlmi_tasks.spec"),
    "Model": "dlmi_models.own",
}
__all__ = [*_PLACES]


def __getattr__(name: str) -> object:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
