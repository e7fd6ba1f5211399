"""Which cells a suite needs, and whether what is stored of them still holds.

A cell's fingerprint covers everything that decides its result: identity, data, recipe, settings, versions and the code
that runs it. When any of it changes, the stored cell is stale and runs again.
"""

from dataclasses import dataclass

from dlmi_bench.backends import BACKENDS, DEFAULT_BACKENDS
from dlmi_bench.records import Cell, CellKind
from dlmi_bench.suite.suites import Suite, select_models
from dlmi_tasks import get_task

NO_MODEL = "-"  # stands for the model in cells about the data alone
FROM_DATA = ("train", "references")  # kinds of cell that need no trained artifact
ONE_BY_ONE: tuple[CellKind, ...] = ("counts", "memory", "energy")


# The seed whose artifact is measured: costs do not depend on the values of weights, so one is enough.
MEASURED_SEED = 0


@dataclass(frozen=True)
class Step:
    """Cells that are done together: one training, or one measurement of all models side by side."""

    kind: CellKind
    task: str
    cells: tuple[Cell, ...]
    title: str


def make_steps(suite: Suite) -> list[Step]:
    """All steps in order: training first, then what measures the trained artifacts."""
    steps: list[Step] = []
    for task in suite.tasks:
        models = select_models(suite, task)
        if "references" in suite.measures and get_task(task).references:
            cell = Cell(kind="references", task=task, model=NO_MODEL)
            steps.append(Step("references", task, (cell,), f"what stands beside the models of {task}"))
        for model in models:
            for seed_index in range(suite.n_seeds):
                cell = Cell(kind="train", task=task, model=model, seed_index=seed_index)
                steps.append(Step("train", task, (cell,), f"train {model}, seed {seed_index + 1} of {suite.n_seeds}"))
        for kind in ONE_BY_ONE:
            if kind in suite.measures:
                cells = [Cell(kind=kind, task=task, model=model) for model in models]
                steps += [Step(kind, task, (cell,), f"{kind} of {cell.model}") for cell in cells]
        if "latency" in suite.measures:
            together = tuple(Cell(kind="latency", task=task, model=model) for model in models)
            steps.append(Step("latency", task, together, f"latency of {len(together)} models side by side"))
    return steps


def select_shard(steps: list[Step], index: int, n_shards: int) -> list[Step]:
    """Every n-th training or reference, from the `index`-th on, counted from 1.

    What is measured on trained artifacts is left for the merged store: models are timed side by side.
    """
    return [step for step in steps if step.kind in FROM_DATA][index - 1 :: n_shards]


def list_judged(cell: Cell, suite: Suite) -> dict[str, str]:
    """Backends that a training is judged on, with their state: the default ones, on the measured seed the suite's too.

    Not part of the fingerprint: a training that was judged on more holds.
    """
    names = (*DEFAULT_BACKENDS, *(suite.backends if cell.seed_index == MEASURED_SEED else ()))
    return {name: BACKENDS[name].describe_state() for name in names}
