"""The training cell, as it runs in a worker: train, export, judge the exported file once, account for energy."""

import io
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import JsonValue
from torch import nn

from bench.backends import BACKENDS, JUDGED_BACKEND, Runner, Scores, predict
from bench.backends.export import write_onnx, write_torch
from bench.clock import Stopwatch
from bench.confusion import (
    Counts,
    Metric,
    compute_balanced_accuracy,
    compute_macro_f1,
    compute_quadratic_kappa,
    count_confusion,
)
from bench.energy import EnergySample, measure_energy
from bench.executors import OnProgress
from bench.figures import make_confusion_figure, make_energy_figures, make_target_figures
from bench.latency import CpuHopper
from bench.meters import energy_meter, idle_baseline
from bench.records import Artifact, Cell, Figure, Record, unavailable
from bench.stats import compute_wilson
from bench.store import artifact_path, put_artifact
from models import MODELS
from tasks import get_task
from tasks.spec import Recipe, Splits, Task, make_splits
from tasks.train import TrainingRun, train, warm_up
from tasks.transfer import begin, load_start


def run_train_cell(payload: dict[str, Any], on_progress: OnProgress) -> JsonValue:
    """Payload: `cell`, `out` (folder of the store), `energy_window_s`. Returns the record."""
    cell = Cell.model_validate(payload["cell"])
    out, task = Path(payload["out"]), get_task(cell.task)
    entry = MODELS[cell.model]
    torch.set_num_threads(1)
    CpuHopper()(0)
    with Stopwatch() as loading:
        data = task.load()
        splits = make_splits(data, task.n_validation)
    recipe = task.recipe(cell.model)
    start = load_start(entry, task, lambda done, total: on_progress("pretraining, once for all seeds", done / total))
    build = partial(begin, entry, start)
    run, energy, is_reproducible = _train(build, cell, splits, task, recipe, payload["energy_window_s"], on_progress)
    on_progress("exporting and judging", 1.0)
    artifacts = _export(run.network, cell.model, task, out)
    judged, kept, confusion = _judge(artifacts, splits, task, out)
    energies = make_energy_figures("training_energy_j", energy)
    to_target = make_target_figures(energies, run.time_to_target_s, run.training_s)
    figures = [*_describe_run(run, task), *judged, *energies, *to_target]
    figures.append(Figure(name="loading_s", value=loading.total_s, kind="measured", source="perf_counter_ns"))
    if start and start.training_s is not None:
        figures.append(_make_pretraining(start.training_s))
    record = Record(
        cell=cell,
        figures=tuple(figures),
        artifacts=(*artifacts.values(), *kept),
        provenance={
            "data": data.describe(),
            "recipe": asdict(recipe),
            "start": {"source": entry.start, "is_frozen": entry.is_frozen, "sha256": start.sha256 if start else None},
            "seed": cell.seed,
            "splits": {"train": len(splits.train), "validation": len(splits.validation), "test": len(data.test)},
            "target": asdict(task.target),
        },
        details={
            "curve": [asdict(e) for e in run.curve],
            "repeats_are_identical": is_reproducible,
            "class_names": list(task.class_names),
            "confusion": confusion.tolist(),
        },
    )
    return record.model_dump(mode="json")


def _train(
    build: Callable[[], nn.Module],
    cell: Cell,
    splits: Splits,
    task: Task,
    recipe: Recipe,
    energy_window_s: float,
    on_progress: OnProgress,
) -> tuple[TrainingRun, EnergySample, bool | None]:
    """Train under the energy meter, again from the start while its window is too short.

    The first run is the one that counts. Repeats must end in the same weights, bit for bit; None where there were none.
    """
    runs: list[TrainingRun] = []

    def work() -> None:
        doing = "training" if not runs else f"training again for the energy window ({len(runs) + 1})"
        runs.append(
            train(
                build,
                splits,
                task,
                recipe,
                seed=cell.seed,
                on_epoch=lambda done, total: on_progress(doing, done / total),
            )
        )

    warm_up()
    idle = idle_baseline(energy_window_s)
    energy = measure_energy(work, energy_meter(), min_window_s=energy_window_s, idle=idle)
    first, *others = runs
    is_reproducible = all(_equal(first.network, other.network) for other in others) if others else None
    return first, energy, is_reproducible


def _make_pretraining(training_s: float) -> Figure:
    method = "the trunk, trained once and shared by all seeds; not part of training_s"
    return Figure(name="pretraining_s", value=training_s, kind="measured", source="perf_counter_ns", method=method)


def _equal(a: nn.Module, b: nn.Module) -> bool:
    pairs = zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    return all(torch.equal(x, y) for x, y in pairs)


def _export(network: nn.Module, model: str, task: Task, out: Path) -> dict[str, Artifact]:
    """Both files, by role."""
    with TemporaryDirectory() as folder:
        paths = {"torch": Path(folder, "a.safetensors"), "onnx": Path(folder, "a.onnx")}
        write_torch(network, model, paths["torch"])
        write_onnx(network, task.input_shape, paths["onnx"])
        return {role: put_artifact(out, role, path.read_bytes(), path.suffix) for role, path in paths.items()}


def _judge(
    artifacts: dict[str, Artifact], splits: Splits, task: Task, out: Path
) -> tuple[list[Figure], list[Artifact], Counts]:
    """Accuracy of the exported file: validation first, then the one look at the test split.

    Returns figures, files that let others judge again, and the test split's confusion matrix.
    """
    runners = {name: entry.load(artifact_path(out, artifacts[entry.artifact_role])) for name, entry in BACKENDS.items()}
    runner = runners[JUDGED_BACKEND]
    validation = predict(runner, splits.validation.images)
    test = splits.test.read(artifacts[BACKENDS[JUDGED_BACKEND].artifact_role].sha256)
    scores = predict(runner, test.images)
    confusion = count_confusion(test.labels, scores.argmax(1), task.n_classes)
    figures = [
        _make_accuracy("validation_accuracy", validation, splits.validation.labels, runner),
        _make_accuracy("test_accuracy", scores, test.labels, runner),
        *_describe_confusion(confusion, scores, task),
        _make_parity(validation, predict(runners["eager"], splits.validation.images)),
        Figure(name="n_test_reads", value=sum(splits.test.reads.values()), kind="counted", source="tasks.spec.HeldOut"),
    ]
    kept: dict[str, NDArray[Any]] = {"validation_scores": validation, "test_scores": scores, "test_labels": test.labels}
    return figures, [put_artifact(out, role, to_npy(array), ".npy") for role, array in kept.items()], confusion


def to_npy(array: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def _make_accuracy(name: str, scores: Scores, labels: np.ndarray[Any, Any], runner: Runner) -> Figure:
    if not np.isfinite(scores).all():
        return unavailable(name, "the network's scores are not finite: training diverged")
    n_right, n = int((scores.argmax(1) == labels).sum()), len(labels)
    lo, hi = compute_wilson(n_right, n)
    return Figure(
        name=name,
        value=n_right / n,
        lo=lo,
        hi=hi,
        n=n,
        interval="Wilson 95 %, sampling of examples",
        kind="measured",
        source="exported file",
        conditions={"backend": JUDGED_BACKEND, **runner.conditions},
    )


def _describe_confusion(confusion: Counts, scores: Scores, task: Task) -> list[Figure]:
    """What accuracy hides: figures in which every class, or every step between stages, counts."""
    metrics: dict[str, Metric] = {
        "test_balanced_accuracy": compute_balanced_accuracy,
        "test_macro_f1": compute_macro_f1,
    }
    if task.is_ordinal:
        metrics["test_quadratic_kappa"] = compute_quadratic_kappa
    if not np.isfinite(scores).all():
        return [unavailable(name, "the network's scores are not finite: training diverged") for name in metrics]
    return [
        make_confusion_figure(name, confusion, metric, source="exported file", backend=JUDGED_BACKEND)
        for name, metric in metrics.items()
    ]


def _make_parity(scores: Scores, reference: Scores) -> Figure:
    """Share of validation examples on which the exported file and the network itself decide differently."""
    n_different = int((scores.argmax(1) != reference.argmax(1)).sum())
    is_vacuous = bool(np.ptp(reference, axis=0).max() == 0)
    return Figure(
        name="decision_disagreement",
        value=n_different / len(scores),
        n=len(scores),
        kind="measured",
        source="validation split",
        method=f"largest score difference {float(np.abs(scores - reference).max()):.1e}",
        notes=("vacuous: the network answers the same to every input",) if is_vacuous else (),
    )


def _describe_run(run: TrainingRun, task: Task) -> list[Figure]:
    def timed(name: str, value: float) -> Figure:
        return Figure(name=name, value=value, kind="measured", source="perf_counter_ns", conditions={"threads": 1})

    figures = [
        timed("training_s", run.training_s),
        timed("evaluation_s", run.evaluation_s),
        Figure(name="n_epochs", value=run.n_epochs, kind="counted", source="training loop"),
        Figure(name="n_samples", value=run.n_samples, kind="counted", source="training loop"),
    ]
    to_target = {
        "time_to_target_s": run.time_to_target_s,
        "epochs_to_target": run.epochs_to_target,
        "samples_to_target": run.samples_to_target,
    }
    goal = f"validation accuracy {task.target.validation_accuracy:.0%}"
    stop = "time limit" if run.is_timed_out else "end of the recipe"
    for name, value in to_target.items():
        if value is None:
            reason = f"censored: {goal} not reached by the {stop} ({run.n_epochs} epochs, {run.training_s:.1f} s)"
            figures.append(unavailable(name, reason))
        else:
            figures.append(timed(name, value).model_copy(update={"method": f"first evaluation with {goal}"}))
    return figures
