"""Fingerprint of a cell: a hash of all that decides its result. A stored result is current while it is the same.

The code behind a result is not listed by hand. It is what the cell's job imports, with the model and the runtimes that
are named by text, minus the exceptions below, each with its reason.
"""

import hashlib
import json
from dataclasses import asdict
from functools import cache

from dlmi_bench.backends import BACKENDS, JUDGED_BACKEND
from dlmi_bench.closure import hash_code, hash_distribution, hash_objects, list_closure
from dlmi_bench.firmware.image import describe_tools
from dlmi_bench.instruments.host.provenance import compute_machine_id, describe_versions
from dlmi_bench.jobs.source_files import PREFIX
from dlmi_bench.records import UNTIMED, Cell, CellKind
from dlmi_bench.suite.context import SuiteContext
from dlmi_bench.suite.measures import MEASURED_SEED, MEASURES
from dlmi_bench.suite.plan import needs_training
from dlmi_bench.suite.suites import Suite
from dlmi_models import MODELS
from dlmi_tasks import get_task
from dlmi_tasks.spec import Task
from dlmi_tasks.training.imagenet import identify

# Modules that are imported and decide no result.
LEFT_OUT = {
    "dlmi_bench.errors": "words",
    "dlmi_bench.units": "words",
    "dlmi_bench.records": "the shape of a record; the seed that it derives is in the fingerprint",
    "dlmi_bench.store.artifacts": "puts files away by their hash",
    "dlmi_bench.files": "reads and writes files, whose hashes are in the fingerprint",
    "dlmi_bench.jobs.plugins": "finds code of the user's, whose hash is in the fingerprint",
    "dlmi_bench.jobs.source_files": "imports files of the user's, which are in the fingerprint by what is used of them",
    "dlmi_bench.jobs.protocol": "the shape of requests and answers",
    "dlmi_bench.instruments.host.provenance": "versions and machine, which are in the fingerprint",
    "dlmi_bench.jobs.watch": "lists what code of the user's opens",
    "dlmi_bench.extras": "which packages are here; their versions are in the fingerprint",
    "dlmi_bench.backends.needs": "whether a runtime is here, which is in the fingerprint",
    "dlmi_models": "the registry; the model's row is in the fingerprint",
    "dlmi_tasks": "the registry; the task's recipe, target and data are in the fingerprint",
    "dlmi_tasks.own.constructors": "makes tasks of users, whose code is that of their data",
    "dlmi_tasks.files": "a package without code",
    "dlmi_tasks.files.archives": "fetches data, whose hash is in the fingerprint",
    "dlmi_tasks.files.cache": "keeps data, whose hash is in the fingerprint",
    "dlmi_tasks.files.folders": "finds data, whose hash is in the fingerprint",
}
# The same of one kind of cell, or of the models that start in one way.
LEFT_OUT_OF: dict[CellKind, dict[str, str]] = {
    "train": {
        "dlmi_bench.jobs.worker": "carries the job and its answer; training is not timed across the pipe",
        "dlmi_bench.instruments.packing.container": "another form of the weights; counts are made of the ONNX file",
        "dlmi_bench.instruments.cuda_clock": "the clock of a device; trainings and answers are not timed by it",
    },
}
STARTS = {
    "synthetic": ("dlmi_tasks.training.pretraining",),
    "imagenet": ("dlmi_tasks.training.imagenet", "dlmi_tasks.training.weights"),
}


def fingerprint_cell(
    context: SuiteContext, cell: Cell, suite: Suite | None = None, *, is_timed: bool = True, machine: str | None = None
) -> str:
    """Hash of all that decides a cell's result; empty where the training that it measures has not been done.

    Args:
        suite: Settings, those of the run by default.
        machine: Identity of the machine that does it; of this one by default.
    """
    task = context.tasks[cell.task]
    if not MEASURES[cell.kind].needs_training:
        inputs: dict[str, object] = {"data": context.data.described[cell.task]["sha256"]}
    elif not needs_training(cell, context.suite):
        inputs = {"network": [task.input_shape, task.n_classes]}
    elif trained := context.trained.get((cell.task, cell.model)):
        inputs = {artifact.role: artifact.sha256 for artifact in trained.artifacts}
    else:
        return ""  # nothing stored can match
    return compute_fingerprint(cell, suite or context.suite, task, inputs, is_timed=is_timed, machine=machine)


def compute_fingerprint(
    cell: Cell,
    suite: Suite,
    task: Task,
    inputs: dict[str, object],
    *,
    is_timed: bool = True,
    machine: str | None = None,
) -> str:
    """Hash of all that decides the cell's result.

    Args:
        inputs: What it works on: hashes of the data for training, of the artifacts for measuring.
        is_timed: False for a training beside others, which no setting concerns.
        machine: Identity of the machine that does it; of this one by default.
    """
    measure = MEASURES[cell.kind]
    parts: dict[str, object] = {
        "cell": cell.model_dump(),
        "inputs": inputs,
        "versions": describe_versions() | {"dlmi-bench": ""},
        "code": hash_code(list_modules(cell)),
        "settings": suite.model_dump(mode="json", include={*measure.settings}) if is_timed else UNTIMED,
    }
    if cell.kind == "train":
        parts["seed"] = cell.seed
        parts["recipe"] = task.recipe(cell.model).describe()
        entry = MODELS[cell.model]
        published = [identify(entry)] if entry.start == "imagenet" else []
        parts["start"] = [entry.start, entry.is_frozen, *published]
        parts["target"] = asdict(task.target) if task.target else None
        parts["limits"] = [task.n_validation, task.time_limit_s, task.eval_every_epochs]
        parts["distortion"] = asdict(task.distortion) if task.distortion else None
        parts["pictured"] = task.n_pictured if cell.seed_index == MEASURED_SEED else 0
        parts["network"] = [task.input_shape, task.n_classes]  # the architecture is built for them
        parts["folds"] = task.n_folds
        parts["own"] = _describe_own(cell, task)
    if measure.scope != "data":
        row = MODELS[cell.model]
        parts["row"] = [row.module, row.factory, row.arguments]
    if measure.has_runtimes and measure.needs_training:
        names = suite.backends if "backends" in measure.settings else (JUDGED_BACKEND,)
        parts["backends"] = {name: [BACKENDS[name].describe_state(), BACKENDS[name].options] for name in names}
    if cell.kind == "firmware":
        parts["tools"] = describe_tools()
    if measure.has_runtimes:
        # Times, bytes and the last bits of weights belong to a machine.
        parts["machine"] = compute_machine_id() if machine is None else machine
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _describe_own(cell: Cell, task: Task) -> list[str]:
    """Hashes of what decides a training and is in no file of ours or the user's: installed packages, and objects."""
    row = MODELS[cell.model]
    if not row.is_own:
        return [hash_objects(task.fit)]
    model = row.own
    files = [hashlib.sha256(path.read_bytes()).hexdigest() for _, path in sorted(model.checkpoints.items())]
    return [*files, hash_distribution(row.module), hash_objects(model.factory, model.adapter, model.fit, task.fit)]


def _is_package(module: str) -> bool:
    return bool(module) and not module.startswith(PREFIX)


def list_modules(cell: Cell) -> tuple[str, ...]:
    """List the modules whose code decides the cell's result."""
    measure = MEASURES[cell.kind]
    roots, left_out = [*measure.code], {**LEFT_OUT, **LEFT_OUT_OF.get(cell.kind, {})}
    if measure.scope == "data":
        references = get_task(cell.task).references
        roots += [references.__module__] if references else []
    else:
        row = MODELS[cell.model]  # of a user's file, only what the model needs counts; see _describe_own
        roots += [] if row.is_own and not _is_package(row.module) else [row.module]
    if measure.has_runtimes:
        roots += [entry.module for entry in BACKENDS.values()]
    if cell.kind == "train":
        start = MODELS[cell.model].start
        left_out |= {module: "another start" for name, own in STARTS.items() if name != start for module in own}
        loader = type(get_task(cell.task).load).__module__
        roots += [loader] if loader.startswith(("dlmi_tasks.own", "dlmi_tasks.disguise")) else []
    return _list_modules(tuple(roots), tuple(left_out))


_list_modules = cache(list_closure)
