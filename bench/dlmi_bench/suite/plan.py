"""Plan of a suite: the cells that it needs, in the order in which they are done."""

from collections.abc import Iterator
from dataclasses import dataclass

from dlmi_bench.errors import UsageError, list_choices
from dlmi_bench.records import Cell, CellKind
from dlmi_bench.suite.measures import MEASURES
from dlmi_bench.suite.suites import Suite, select_models
from dlmi_models import MODELS
from dlmi_tasks import get_task
from dlmi_tasks.spec import Task

NO_MODEL = "-"  # stands for the model in cells about the data alone


@dataclass(frozen=True)
class Step:
    """Cells that are done together: one training, or one measurement of all models side by side."""

    kind: CellKind
    task: str
    cells: tuple[Cell, ...]
    title: str


def make_steps(suite: Suite) -> list[Step]:
    """List all steps in order: training first, then what measures the trained artifacts.

    Raises:
        UsageError: the suite asks for a measure that there is not.
    """
    for kind in suite.measures:
        if kind not in MEASURES:
            raise UsageError(f"suite {suite.name}: measures: no {kind!r}", list_choices(kind, MEASURES))
    return [
        step
        for task in suite.tasks
        for kind in MEASURES
        if kind == "train" or kind in suite.measures
        for step in _make_steps(kind, task, suite)
    ]


def _make_steps(kind: CellKind, task: str, suite: Suite) -> Iterator[Step]:
    scope, models = MEASURES[kind].scope, select_models(suite, task)
    if scope == "data":
        if get_task(task).references:
            cell = Cell(kind=kind, task=task, model=NO_MODEL)
            yield Step(kind, task, (cell,), f"{kind} of {task}")
    elif scope == "training":
        for model in models:
            n = count_trainings(suite, task, model)
            for index in range(n):
                cell = Cell(kind=kind, task=task, model=model, seed_index=index)
                yield Step(kind, task, (cell,), f"{kind} {model}, {_name_training(get_task(task), index, n)}")
    else:
        cells = [Cell(kind=kind, task=task, model=model) for model in models]
        if scope == "joint":
            yield Step(kind, task, tuple(cells), f"{kind} of {len(cells)} models side by side")
        else:
            yield from (Step(kind, task, (cell,), f"{kind} of {cell.model}") for cell in cells)


def count_trainings(suite: Suite, task: str, model: str) -> int:
    """Count the trainings of a model: one for each seed and fold, or one for each file of finished weights."""
    row = MODELS[model]
    n = suite.n_seeds * get_task(task).n_folds
    return min(n, len(row.own.checkpoints) or n) if row.is_own else n


def _name_training(task: Task, index: int, n: int) -> str:
    if task.n_folds == 1:
        return f"seed {index + 1} of {n}"
    seed, fold = divmod(index, task.n_folds)
    return f"seed {seed + 1} of {-(-n // task.n_folds)}, fold {fold + 1} of {task.n_folds}"


def select_shard(steps: list[Step], index: int, n_shards: int) -> list[Step]:
    """Take every n-th training or reference, from the `index`-th on, counted from 1.

    What is measured on trained artifacts is left for the merged store: models are timed side by side.
    """
    return [step for step in steps if not MEASURES[step.kind].needs_training][index - 1 :: n_shards]
