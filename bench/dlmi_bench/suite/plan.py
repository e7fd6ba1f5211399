"""Plan of a suite: the cells that it needs, in the order in which they are done."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count

from dlmi_bench.errors import UsageError, list_choices
from dlmi_bench.records import Cell, CellKind
from dlmi_bench.suite.measures import MEASURES
from dlmi_bench.suite.suites import Suite, select_counted, select_models
from dlmi_models import MODELS
from dlmi_tasks import get_task
from dlmi_tasks.spec import Task

NO_MODEL = "-"  # stands for the model in cells about the data alone


@dataclass(frozen=True)
class Step:
    """Cells that are done together: one training, or one measurement of all models side by side.

    Attributes:
        is_timed: False for trainings beside others, which give accuracies alone.
    """

    kind: CellKind
    task: str
    cells: tuple[Cell, ...]
    title: str
    is_timed: bool = True


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
        yield from make_reference_steps(task)
    elif scope == "training":
        yield from _make_trainings(task, {m: count_trainings(suite, task, m) for m in models}, suite)
    else:
        cells = [Cell(kind=kind, task=task, model=model) for model in models]
        if kind == "counts":
            cells += [Cell(kind=kind, task=task, model=model) for model in select_counted(suite, task)]
        if scope == "joint":
            yield Step(kind, task, tuple(cells), f"{kind} of {len(cells)} models side by side")
        else:
            yield from (Step(kind, task, (cell,), f"{kind} of {cell.model}") for cell in cells)


def _make_trainings(task: str, counts: dict[str, int], suite: Suite) -> Iterator[Step]:
    """Interleave the models seed by seed, so that drift of the machine cancels between them; the untimed ones last."""
    n_timed = suite.n_timed * get_task(task).n_folds
    indices = range(max(counts.values(), default=0))
    cells = [Cell(kind="train", task=task, model=m, seed_index=i) for i in indices for m in counts if i < counts[m]]
    for cell in cells:
        if cell.seed_index < n_timed:
            name = _name_training(get_task(task), cell.seed_index, counts[cell.model])
            yield Step("train", task, (cell,), f"train {cell.model}, {name}")
    if later := [cell for cell in cells if cell.seed_index >= n_timed]:
        yield make_batch(later)


def make_reference_steps(task: str) -> Iterator[Step]:
    """Make the step that computes figures of the data alone; none where the task has none."""
    if get_task(task).references:
        yield Step("references", task, (Cell(kind="references", task=task, model=NO_MODEL),), f"references of {task}")


def make_batch(cells: Iterable[Cell]) -> Step:
    """Make the step of trainings that run side by side, of any tasks."""
    cells = tuple(cells)
    tasks = ", ".join(dict.fromkeys(cell.task for cell in cells))
    return Step("train", tasks, cells, f"{len(cells)} more trainings, side by side", is_timed=False)


def make_waves(steps: Iterable[Step]) -> list[list[Step]]:
    """Group the steps that several nodes may do at once: those that have a node each, trainings beside others, and what
    measures trained artifacts."""
    waves: dict[tuple[bool, bool], list[Step]] = {}
    for step in steps:
        waves.setdefault((MEASURES[step.kind].needs_training, not step.is_timed), []).append(step)
    return [waves[key] for key in sorted(waves)]


def join_steps(steps: Sequence[Step]) -> Step:
    """Make of steps that are done at once the one that a display shows."""
    if len(steps) == 1:
        return steps[0]
    cells = tuple(cell for step in steps for cell in step.cells)
    tasks = ", ".join(dict.fromkeys(step.task for step in steps))
    kinds = ", ".join(dict.fromkeys(step.kind for step in steps))
    return Step(steps[0].kind, tasks, cells, f"{len(cells)} cells on nodes: {kinds}", steps[0].is_timed)


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


def needs_training(cell: Cell, suite: Suite) -> bool:
    """Tell whether the cell measures a trained artifact."""
    is_counted = cell.kind == "counts" and cell.model in select_counted(suite, cell.task)
    return MEASURES[cell.kind].needs_training and not is_counted


def select_shard(steps: list[Step], index: int, n_shards: int) -> list[Step]:
    """Take every n-th training or reference, from the `index`-th on, counted from 1.

    What is measured on trained artifacts is left for the merged store: models are timed side by side.
    """
    turns, found = count(), []
    for step in steps:
        if MEASURES[step.kind].needs_training:
            continue
        cells = tuple(cell for cell in step.cells if next(turns) % n_shards == index - 1)
        if cells:
            found.append(replace(step, cells=cells) if step.is_timed else make_batch(cells))
    return found
