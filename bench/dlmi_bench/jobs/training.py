"""The training cell, as it runs in a worker: train, export, evaluate the exported files once, account for energy."""

import hashlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from pydantic import JsonValue
from torch import nn

from dlmi_bench.backends import BACKENDS
from dlmi_bench.backends.export import write_onnx, write_torch
from dlmi_bench.backends.quantization import N_CALIBRATION, write_int8
from dlmi_bench.errors import DataError, MeasurementError, UsageError, describe_export_error
from dlmi_bench.instruments.clock import Stopwatch
from dlmi_bench.instruments.energy import EnergySample, measure_energy
from dlmi_bench.instruments.meters import energy_meter, idle_baseline
from dlmi_bench.instruments.onnx.external import load_weights
from dlmi_bench.instruments.onnx.loading import load_graph
from dlmi_bench.instruments.packing.container import pack_smaller
from dlmi_bench.instruments.pinning import CpuHopper
from dlmi_bench.jobs.evaluation import evaluate
from dlmi_bench.jobs.finished import check_onnx, list_missing_figures, load_checkpoint, read_checkpoint
from dlmi_bench.jobs.plugins import find_obstacle, list_sources
from dlmi_bench.jobs.protocol import OnProgress, TrainRequest
from dlmi_bench.jobs.training_figures import list_limits, make_duration, make_training_figures
from dlmi_bench.jobs.watch import allow, pause, watch
from dlmi_bench.records import ARM, UNTIMED, Artifact, Cell, Figure, Note, Record, unavailable
from dlmi_bench.store.artifacts import put_array, put_artifact
from dlmi_models import MODELS, ModelEntry
from dlmi_tasks import get_task
from dlmi_tasks.spec import Arrays, Dataset, Splits, Stream, Task
from dlmi_tasks.training.compression.distillation import find_teaching
from dlmi_tasks.training.loop import TrainingRun, train, warm_up
from dlmi_tasks.training.own import OpenSplits, describe_function, train_own
from dlmi_tasks.training.start import Start, begin, load_start, tell

IN_MEMORY = "in memory before the training clock starts"


@dataclass(frozen=True)
class Trained:
    """A training or finished weights: the files, what is known of how they came about, and its figures.

    Attributes:
        limits: Why it is shorter than its recipe says; the accuracies of its network say so too.
    """

    files: dict[str, Artifact]
    figures: list[Figure]
    recipe: dict[str, JsonValue]
    start: dict[str, JsonValue]
    curve: list[dict[str, JsonValue]]
    is_reproducible: bool | None = None
    limits: tuple[Note, ...] = ()


def run_train_cell(request: TrainRequest, on_progress: OnProgress) -> Record:
    """Train one model, or take its finished weights, export it and evaluate the files."""
    cell, entry = request.cell, MODELS[request.cell.model]
    out, task = Path(request.out), get_task(cell.task)
    torch.set_num_threads(1)
    if request.is_timed:
        CpuHopper()(0)
    with Stopwatch() as loading:
        data, splits = _load(task, cell)
    seen, listed = OpenSplits(splits.train, splits.validation), list[str]()
    if cell.is_disguised:  # before a referee, the test split is nowhere in this process while code of the user's runs
        del data, splits
        trained, listed = _train_watched(request, entry, seen, task, on_progress)
        data, splits = _load(task, cell)
    else:
        trained = _train_or_take(request, entry, seen, task, on_progress)
    on_progress("exporting and judging", 1.0)
    evaluated = evaluate(
        trained.files,
        splits,
        task,
        out,
        request.backends,
        n_pictured=request.n_pictured,
        is_compared=request.is_compared,
        obstacles={name: find_obstacle(entry, b, is_here=not b.is_isolated) for name, b in BACKENDS.items()},
    )
    loading_s = make_duration("loading_s", loading.total_s) if request.is_timed else unavailable("loading_s", UNTIMED)
    return Record(
        cell=cell,
        figures=(*trained.figures, *_add_limits(evaluated.figures, trained.limits), loading_s),
        artifacts=(*trained.files.values(), *evaluated.artifacts, *_keep_index(splits, out)),
        provenance={
            "data": data.describe(),
            "recipe": trained.recipe,
            "start": trained.start,
            "seed": cell.seed,
            "splits": {"train": len(splits.train), "validation": len(splits.validation), "test": len(splits.test)},
            "target": asdict(task.target) if task.target else None,
            **_describe_splits(splits),
        },
        details={
            "curve": trained.curve,
            "repeats_are_identical": trained.is_reproducible,
            "class_names": list(task.class_names),
            "confusion": evaluated.confusion.tolist(),
            "pictures": [picture.model_dump() for picture in evaluated.pictures],
            "judged": request.backends,
            **({"opened": listed} if cell.is_disguised else {}),
        },
    )


def _add_limits(figures: list[Figure], limits: tuple[Note, ...]) -> list[Figure]:
    """Let the accuracies of a training that was cut short say so."""
    return [f.model_copy(update={"notes": (*f.notes, *limits)}) if f.name.endswith("accuracy") else f for f in figures]


def _load(task: Task, cell: Cell) -> tuple[Dataset, Splits]:
    data = task.load()
    return data, data.split(task.n_validation, cell.seed_index)


def _train_watched(
    request: TrainRequest, entry: ModelEntry, splits: OpenSplits, task: Task, on_progress: OnProgress
) -> tuple[Trained, list[str]]:
    """Train, and list what code of the user's opened meanwhile; see jobs/watch.py."""
    with watch(list_sources(entry)) as listed:
        trained = _train_or_take(request, entry, splits, task, on_progress)
    return trained, listed


def _train_or_take(
    request: TrainRequest, entry: ModelEntry, splits: OpenSplits, task: Task, on_progress: OnProgress
) -> Trained:
    is_finished = entry.is_own and bool(entry.own.checkpoints)
    if is_finished:
        check_steps(request.cell.model, entry, "finished weights")
    return (_take_finished if is_finished else _train_here)(request, entry, splits, task, on_progress)


def _describe_splits(splits: Splits) -> dict[str, JsonValue]:
    """Describe folds, groups with several test examples, and how the training examples were read."""
    found: dict[str, JsonValue] = {"folds": dict(splits.folds.items()) if splits.folds else None}  # type: ignore[arg-type]
    groups = splits.test.groups
    if groups is not None and (n_groups := len(np.unique(groups))) < len(groups):
        found["clusters"] = {"n_groups": n_groups, "n_examples": len(groups)}
    found["traits"] = list(splits.test.traits)
    return found | {"loading": IN_MEMORY if isinstance(splits.train, Arrays) else splits.train.loading}


def _keep_index(splits: Splits, out: Path) -> list[Artifact]:
    """Keep which examples were tested, where each training tests others."""
    if splits.test_index is None:
        return []
    return [put_array(out, "test_index", splits.test_index.astype(np.int64))]


def _train_here(
    request: TrainRequest, entry: ModelEntry, splits: OpenSplits, task: Task, on_progress: OnProgress
) -> Trained:
    """Train by the recipe, or by the user's own function."""
    cell = request.cell
    with pause():
        start = load_start(entry, task, on_progress)
    fit = (entry.own.fit if entry.is_own else None) or task.fit
    recipe = task.recipe(cell.model)
    build = partial(begin, entry, task, start)
    if entry.is_own:
        _check_export(cell, build, task)
    if fit:
        check_steps(cell.model, entry, "a fit of its own")
        work, teaching = partial(train_own, build, splits, task, fit), None
    else:
        with pause():
            teaching = find_teaching(entry, splits, task, recipe, tell(on_progress, "asking teachers, once for all"))
        work = partial(train, build, splits, task, recipe, steps=entry.steps, teaching=teaching)
    run, energy, is_reproducible = _train(work, request, on_progress)
    before = {"pretraining_s": start.training_s if start else None}
    before["teaching_s"] = teaching.teaching_s if teaching else None
    return Trained(
        _export(run.network, cell.model, task, splits.train, Path(request.out), is_timed=request.is_timed),
        make_training_figures(run, energy, task, before, is_timed=request.is_timed),
        recipe={"fit": describe_function(fit)} if fit else recipe.describe(),
        start=describe_start(entry, start) | ({"teaching_sha256": teaching.sha256} if teaching else {}),
        curve=[asdict(e) | ({} if request.is_timed else {"training_s": None}) for e in run.curve],
        is_reproducible=is_reproducible,
        limits=list_limits(run, task),
    )


def check_steps(model: str, entry: ModelEntry, what: str) -> None:
    """Check that a model whose training is not the suite's is to be made compact by nothing else.

    Raises:
        UsageError: it is.
    """
    if entry.steps:
        ways = ARM.join(model.split(ARM)[-len(entry.steps) :])
        cause = f"{model}: {ways} is part of a training by a recipe; this model has {what}"
        raise UsageError(cause, "hand over the factory alone, which is then trained by the task's recipe")


_EXPORTED: set[tuple[str, str]] = set()  # task and model of which this process has exported one


def _check_export(cell: Cell, build: Callable[[], nn.Module], task: Task) -> None:
    """Export a fresh network of the user's, once, before hours go into one that has no file at the end.

    Raises:
        UsageError: it does not export.
    """
    if (cell.task, cell.model) in _EXPORTED:
        return
    with TemporaryDirectory() as folder:
        allow(folder)
        try:
            write_onnx(build(), task.input_shape, Path(folder, "a.onnx"))
        except UsageError:
            raise
        except Exception as error:
            cause = f"{cell.model} does not export to ONNX: {describe_export_error(error)}"
            remedy = "write a forward of operators that the exporter knows, without branches on values"
            raise UsageError(cause, remedy) from error
    _EXPORTED.add((cell.task, cell.model))


def _take_finished(
    request: TrainRequest, entry: ModelEntry, splits: OpenSplits, task: Task, on_progress: OnProgress
) -> Trained:
    """Take weights that were trained elsewhere."""
    model, name, out = entry.own, request.cell.model, Path(request.out)
    path, content = read_checkpoint(model, request.cell.seed_index)
    on_progress("reading finished weights", 0.0)
    if model.factory:
        files = _export(load_checkpoint(name, model, task, path, content), name, task, splits.train, out)
    else:
        check_onnx(path, task)
        files = _keep({"onnx": path}, splits.train, out)
    sha256 = hashlib.sha256(content).hexdigest()
    return Trained(
        files,
        list_missing_figures(),
        recipe={},
        start={"source": "elsewhere", "sha256": sha256, "file": path.name},
        curve=[],
    )


def _train(
    train_once: Callable[..., TrainingRun], request: TrainRequest, on_progress: OnProgress
) -> tuple[TrainingRun, EnergySample | MeasurementError, bool | None]:
    """Train under the energy meter, again from the start while its window is too short; once where it is not timed.

    The first run is the one that counts; where the meter fails its error stands for the energy. Repeats must end in the
    same weights, bit for bit; None where there were none.
    """
    runs: list[TrainingRun] = []
    window_s = request.energy_window_s

    def work() -> None:
        doing = "training" if not runs else f"training again for the energy window ({len(runs) + 1})"
        runs.append(train_once(seed=request.cell.seed, on_epoch=lambda done, total: on_progress(doing, done / total)))

    warm_up()
    energy: EnergySample | MeasurementError = MeasurementError(UNTIMED, "ask for more timed trainings")
    if request.is_timed:
        try:
            idle = idle_baseline(window_s)
            energy = measure_energy(work, energy_meter(), min_window_s=window_s, idle=idle)
        except MeasurementError as error:
            energy = error
    if not runs:  # no meter, or it did not even start
        work()
    first, *others = runs
    is_reproducible = all(_equal(first.network, other.network) for other in others) if others else None
    return first, energy, is_reproducible


def describe_start(entry: ModelEntry, start: Start | None) -> dict[str, JsonValue]:
    """Describe where the weights came from: source, sha256, and of published ones the file and its licence.

    A factory of the user's may have read weights, so its networks are not called untrained.
    """
    found: dict[str, JsonValue] = {"source": "factory" if entry.is_own else entry.start, "is_frozen": entry.is_frozen}
    return found | ({"sha256": start.sha256, **start.origin} if start else {"sha256": None})


def _equal(a: nn.Module, b: nn.Module) -> bool:
    pairs = zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    return all(torch.equal(x, y) for x, y in pairs)


def _export(
    network: nn.Module, model: str, task: Task, train_split: Arrays | Stream, out: Path, *, is_timed: bool = True
) -> dict[str, Artifact]:
    """All files, by role; the one that is judged where accuracy is all that is asked for.

    The one in 8-bit integers lacks where the network diverged.
    """
    with TemporaryDirectory() as folder:
        allow(folder)
        paths = {"torch": Path(folder, "a.safetensors"), "onnx": Path(folder, "a.onnx")}
        if not is_timed:
            write_onnx(network, task.input_shape, paths["onnx"])
            return _keep({"onnx": paths["onnx"]}, None, out)
        write_torch(network, model, task.input_shape, paths["torch"], n_classes=task.n_classes)
        write_onnx(network, task.input_shape, paths["onnx"])
        is_finite = all(value.isfinite().all() for value in network.state_dict().values())
        return _keep(paths, train_split if is_finite else None, out)


def _pack(onnx: Path, made: Path) -> dict[str, Path]:
    """Pack the numbers of a file where that makes its weights smaller."""
    content = pack_smaller(load_weights(load_graph(onnx, is_whole=False), onnx))
    if content is None:
        return {}
    made.write_bytes(content)
    return {"packed": made}


def _keep(paths: dict[str, Path], train_split: Arrays | Stream | None, out: Path) -> dict[str, Artifact]:
    """Keep the files, the ONNX file in 8-bit integers (only training images calibrate it), and its packed numbers."""
    with pause(), TemporaryDirectory() as folder:
        if train_split is not None:
            made = Path(folder, "int8.onnx")
            images = train_split.images if isinstance(train_split, Arrays) else train_split.head(N_CALIBRATION).images
            with suppress(DataError):  # of an operator set without scales by channel
                write_int8(paths["onnx"], images, made)
                paths = paths | {"onnx-int8": made}
            paths = paths | _pack(paths["onnx"], Path(folder, "a.packed"))
        return {role: put_artifact(out, role, path.read_bytes(), path.suffix) for role, path in paths.items()}
