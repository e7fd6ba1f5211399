"""The tuning cell, as it runs in a worker: one training by one recipe, judged by its last validation alone."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from math import isfinite

import torch

from dlmi_bench.errors import describe_cause
from dlmi_bench.instruments.clock import Stopwatch
from dlmi_bench.jobs.protocol import OnProgress, TuneRequest
from dlmi_bench.jobs.training_figures import list_limits
from dlmi_bench.records import Figure, Record, unavailable
from dlmi_models import MODELS
from dlmi_tasks import get_task
from dlmi_tasks.spec import Task
from dlmi_tasks.training.compression.distillation import find_teaching
from dlmi_tasks.training.loop import TrainingRun, train, warm_up
from dlmi_tasks.training.own import OpenSplits
from dlmi_tasks.training.start import begin, load_start, tell

SPENT = "training with its validations, on one thread, while other trials ran; without loading and pretraining"
FIGURES = ("validation_accuracy", "validation_loss")


def run_tuning_job(request: TuneRequest, on_progress: OnProgress) -> Record:
    """Try one recipe. A training that fails or diverges is a trial without an accuracy; the test split stays closed."""
    cell, entry, task = request.cell, MODELS[request.cell.model], get_task(request.cell.task)
    torch.set_num_threads(1)
    data = task.load()
    splits = data.split(None, request.fold) if task.n_validation is None else data.cut(task.n_validation, request.fold)
    seed = cell.seed + request.fold
    build = partial(begin, entry, task, load_start(entry, task, on_progress))
    used = task.recipe(cell.model)
    recipe = replace(used, **request.tried)  # type: ignore[arg-type]  # by the names of its fields
    teaching = find_teaching(entry, splits, task, recipe, tell(on_progress, "asking teachers, once for all"))
    learn = partial(train, build, recipe=recipe, task=task, seed=seed, steps=entry.steps, teaching=teaching)
    warm_up()
    with Stopwatch() as spent:
        figures = _try(learn, OpenSplits(splits.train, splits.validation), task, on_progress)
    spent_s = Figure(name="tuning_s", value=spent.total_s, kind="measured", source="perf_counter_ns", method=SPENT)
    return Record(
        cell=cell,
        figures=(*figures, spent_s),
        provenance={
            "data": data.describe(),
            "splits": {"train": len(splits.train), "validation": len(splits.validation)},
            "tried": {**request.tried},
            "base": used.describe(),
            "recipe": recipe.describe(),
            "seed": seed,
        },
    )


def _try(learn: Callable[..., TrainingRun], splits: OpenSplits, task: Task, on_progress: OnProgress) -> list[Figure]:
    """Train, and make the figures of the last validation, or say why there are none."""
    try:
        run = learn(splits=splits, on_epoch=lambda done, total: on_progress("training", done / total))
    except Exception as error:  # noqa: BLE001 - whatever a recipe brings about is its result
        return _refuse(f"failed: {type(error).__name__}: {describe_cause(error)}".splitlines()[0])
    last = run.curve[-1]
    if not isfinite(last.validation_loss):
        return _refuse(f"diverged: the validation loss is {last.validation_loss} after {run.n_epochs} epochs")
    n_nonzero = sum(int(w.count_nonzero()) for w in run.network.parameters())
    return [
        Figure(
            name="n_nonzero", value=n_nonzero, kind="counted", source="torch", method="parameters that are not zero"
        ),
        *(
            Figure(
                name=name,
                value=getattr(last, name),
                kind="measured",
                source="training loop",
                n=len(splits.validation),
                notes=list_limits(run, task),
            )
            for name in FIGURES
        ),
    ]


def _refuse(reason: str) -> list[Figure]:
    return [unavailable(name, reason) for name in FIGURES]
