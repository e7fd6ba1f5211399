"""Plan of a suite: the cells that it needs, in the order in which they are done."""

from collections.abc import Iterator
from dataclasses import dataclass

from dlmi_bench.errors import UsageError
from dlmi_bench.records import Cell, CellKind
from dlmi_bench.suite.measures import MEASURES
from dlmi_bench.suite.suites import Suite, select_models
from dlmi_tasks import get_task

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
            raise UsageError(f"suite {suite.name}: measures: no {kind!r}", f"use some of {', '.join(MEASURES)}")
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
            for index in range(suite.n_seeds):
                cell = Cell(kind=kind, task=task, model=model, seed_index=index)
                yield Step(kind, task, (cell,), f"{kind} {model}, seed {index + 1} of {suite.n_seeds}")
    else:
        cells = [Cell(kind=kind, task=task, model=model) for model in models]
        if scope == "joint":
            yield Step(kind, task, tuple(cells), f"{kind} of {len(cells)} models side by side")
        else:
            yield from (Step(kind, task, (cell,), f"{kind} of {cell.model}") for cell in cells)


def select_shard(steps: list[Step], index: int, n_shards: int) -> list[Step]:
    """Take every n-th training or reference, from the `index`-th on, counted from 1.

    What is measured on trained artifacts is left for the merged store: models are timed side by side.
    """
    return [step for step in steps if not MEASURES[step.kind].needs_training][index - 1 :: n_shards]
