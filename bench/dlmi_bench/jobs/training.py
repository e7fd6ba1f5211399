"""The training cell, as it runs in a worker: train, export, evaluate the exported files once, account for energy."""

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from pydantic import JsonValue
from torch import nn

from dlmi_bench.backends.export import write_onnx, write_torch
from dlmi_bench.backends.quantization import write_int8
from dlmi_bench.errors import MeasurementError
from dlmi_bench.instruments.clock import Stopwatch
from dlmi_bench.instruments.energy import EnergySample, measure_energy
from dlmi_bench.instruments.energy_figures import make_energy_figures, make_target_figures
from dlmi_bench.instruments.meters import energy_meter, idle_baseline
from dlmi_bench.instruments.pinning import CpuHopper
from dlmi_bench.jobs.evaluation import evaluate
from dlmi_bench.jobs.protocol import OnProgress, TrainRequest
from dlmi_bench.records import Artifact, Cell, Figure, Record, unavailable
from dlmi_bench.store.artifacts import put_artifact
from dlmi_bench.units import format_share
from dlmi_models import MODELS, ModelEntry
from dlmi_tasks import get_task
from dlmi_tasks.spec import Arrays, Recipe, Splits, Task
from dlmi_tasks.training.loop import TrainingRun, train, warm_up
from dlmi_tasks.training.start import Start, begin, load_start


def run_train_cell(request: TrainRequest, on_progress: OnProgress) -> Record:
    """Train one model, export it, evaluate every file once on the test split."""
    cell = request.cell
    out, task = Path(request.out), get_task(cell.task)
    entry = MODELS[cell.model]
    torch.set_num_threads(1)
    CpuHopper()(0)
    with Stopwatch() as loading:
        data = task.load()
        splits = data.split(task.n_validation)
    recipe = task.recipe(cell.model)
    start = load_start(entry, task, on_progress)
    build = partial(begin, entry, task, start)
    run, energy, is_reproducible = _train(build, cell, splits, task, recipe, request.energy_window_s, on_progress)
    on_progress("exporting and judging", 1.0)
    artifacts = _export(run.network, cell.model, task, splits.train, out)
    evaluated = evaluate(artifacts, splits, task, out, request.backends, n_pictured=request.n_pictured)
    figures = [*_describe_run(run, task), *evaluated.figures, *_describe_energy(energy, run)]
    figures.append(Figure(name="loading_s", value=loading.total_s, kind="measured", source="perf_counter_ns"))
    if start and start.training_s is not None:
        figures.append(_make_pretraining(start.training_s))
    return Record(
        cell=cell,
        figures=tuple(figures),
        artifacts=(*artifacts.values(), *evaluated.artifacts),
        provenance={
            "data": data.describe(),
            "recipe": asdict(recipe),
            "start": describe_start(entry, start),
            "seed": cell.seed,
            "splits": {"train": len(splits.train), "validation": len(splits.validation), "test": len(data.test)},
            "target": asdict(task.target),
        },
        details={
            "curve": [asdict(e) for e in run.curve],
            "repeats_are_identical": is_reproducible,
            "class_names": list(task.class_names),
            "confusion": evaluated.confusion.tolist(),
            "pictures": [picture.model_dump() for picture in evaluated.pictures],
            "judged": request.backends,
        },
    )


def _train(
    build: Callable[[], nn.Module],
    cell: Cell,
    splits: Splits,
    task: Task,
    recipe: Recipe,
    energy_window_s: float,
    on_progress: OnProgress,
) -> tuple[TrainingRun, EnergySample | MeasurementError, bool | None]:
    """Train under the energy meter, again from the start while its window is too short.

    The first run is the one that counts; where the meter fails its error stands for the energy. Repeats must end in the
    same weights, bit for bit; None where there were none.
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
    energy: EnergySample | MeasurementError
    try:
        idle = idle_baseline(energy_window_s)
        energy = measure_energy(work, energy_meter(), min_window_s=energy_window_s, idle=idle)
    except MeasurementError as error:
        energy = error
    if not runs:  # the meter did not even start
        work()
    first, *others = runs
    is_reproducible = all(_equal(first.network, other.network) for other in others) if others else None
    return first, energy, is_reproducible


def describe_start(entry: ModelEntry, start: Start | None) -> dict[str, JsonValue]:
    """Describe where the weights came from: source, sha256, and of published ones the file and its licence."""
    found: dict[str, JsonValue] = {"source": entry.start, "is_frozen": entry.is_frozen}
    return found | ({"sha256": start.sha256, **start.origin} if start else {"sha256": None})


def _make_pretraining(training_s: float) -> Figure:
    method = "the trunk, trained once and shared by all seeds; not part of training_s"
    return Figure(name="pretraining_s", value=training_s, kind="measured", source="perf_counter_ns", method=method)


def _equal(a: nn.Module, b: nn.Module) -> bool:
    pairs = zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    return all(torch.equal(x, y) for x, y in pairs)


def _export(network: nn.Module, model: str, task: Task, train_split: Arrays, out: Path) -> dict[str, Artifact]:
    """All files, by role. Only training images calibrate the one in 8-bit integers, which a diverged network lacks."""
    with TemporaryDirectory() as folder:
        names = {"torch": "a.safetensors", "onnx": "a.onnx", "onnx-int8": "int8.onnx"}
        paths = {role: Path(folder, name) for role, name in names.items()}
        write_torch(network, model, task.input_shape, paths["torch"])
        write_onnx(network, task.input_shape, paths["onnx"])
        if all(value.isfinite().all() for value in network.state_dict().values()):
            write_int8(paths["onnx"], train_split.images, paths["onnx-int8"])
        made = {role: path for role, path in paths.items() if path.exists()}
        return {role: put_artifact(out, role, path.read_bytes(), path.suffix) for role, path in made.items()}


def _describe_energy(energy: EnergySample | MeasurementError, run: TrainingRun) -> list[Figure]:
    """Make the energies of the whole training and until the target, or say why there are none."""
    name = "training_energy_j"
    if isinstance(energy, MeasurementError):
        asked = [{"component": "cpu", "idle_subtracted": is_net} for is_net in (False, True)]
        energies = [unavailable(name, energy.cause, **conditions) for conditions in asked]
    else:
        energies = make_energy_figures(name, energy)
    return [*energies, *make_target_figures(energies, run.time_to_target_s, run.training_s)]


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
    goal = f"validation accuracy {format_share(task.target.validation_accuracy)}"
    stop = "time limit" if run.is_timed_out else "end of the recipe"
    for name, value in to_target.items():
        if value is None:
            reason = f"censored: {goal} not reached by the {stop} ({run.n_epochs} epochs, {run.training_s:.1f} s)"
            figures.append(unavailable(name, reason))
        else:
            figures.append(timed(name, value).model_copy(update={"method": f"first evaluation with {goal}"}))
    return figures
