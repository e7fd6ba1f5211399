"""Which cells a suite needs, and whether what is stored of them still holds.

A cell's fingerprint covers everything that decides its result: identity, data, recipe, settings, versions and the code
that runs it. When any of it changes, the stored cell is stale and runs again.
"""

import ast
import hashlib
import importlib.util
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from bench.backends import BACKENDS, DEFAULT_BACKENDS
from bench.environment import compute_machine_id, describe_versions
from bench.records import Cell, CellKind
from bench.suites import Suite, select_models
from models import MODELS
from tasks import get_task
from tasks.imagenet import identify
from tasks.spec import Task

NO_MODEL = "-"  # stands for the model in cells about the data alone
FROM_DATA = ("train", "references")  # kinds of cell that need no trained artifact
ONE_BY_ONE: tuple[CellKind, ...] = ("counts", "memory", "energy")
METERS = ("bench.meters", "bench.meters.rapl", "bench.meters.nvml", "bench.meters.tracker", "bench.nvml")
ENERGY_CODE = ("bench.energy", "bench.load", *METERS, "bench.joules")
RUNTIME_CODE = tuple(dict.fromkeys(entry.module for entry in BACKENDS.values()))
TRAINING_CODE = (
    "tasks.spec",
    "tasks.train",
    "tasks.augment",
    "tasks.transfer",
    "bench.training",
    "bench.clock",
    "bench.judgement",
    "bench.backends",
    *RUNTIME_CODE,
    "bench.parity",
    "bench.confusion",
    "bench.figures",
    "bench.stats",
    "bench.pictures",
    "bench.saliency",
    *ENERGY_CODE,
)
START_CODE: dict[str, tuple[str, ...]] = {
    "scratch": (),
    "synthetic": ("tasks.pretraining",),
    "imagenet": ("tasks.imagenet", "tasks.weights"),
}
EXPORTING_CODE = ("bench.backends.export", "bench.backends.quantization")
REFERENCE_CODE = {"spect": ("tasks.spect.references", "tasks.spect.observer", "tasks.spect.learners")}
MEASURING_CODE: dict[CellKind, tuple[str, ...]] = {
    "train": (),
    "references": ("bench.profiling",),
    "counts": tuple(
        f"bench.{name}"
        for name in (
            "counts",
            "counts.products",
            "counts.trace",
            "counts.dispatch",
            "counts.graph",
            "graph",
            "counting",
        )
    ),
    "memory": ("bench.executors", "bench.machine", "bench.clock", "bench.memory", "bench.profiling"),
    "latency": (
        "tasks.spec",
        "bench.executors",
        "bench.machine",
        "bench.clock",
        "bench.cuda",
        "bench.latency",
        "bench.load",
        "bench.neighbours",
        "bench.parity",
        "bench.peaks",
        "bench.percentiles",
        "bench.profiling",
        "bench.roofline",
        "bench.session",
        "bench.figures",
        "bench.stats",
    ),
    "energy": ("tasks.spec", "bench.clock", "bench.latency", "bench.profiling", *ENERGY_CODE),
}


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


def compute_fingerprint(cell: Cell, suite: Suite, task: Task, inputs: dict[str, Any]) -> str:
    """Hash of all that decides the cell's result.

    Args:
        inputs: What it works on: hashes of the data for training, of the artifacts for measuring.
    """
    parts: dict[str, Any] = {
        "cell": cell.model_dump(),
        "inputs": inputs,
        "versions": describe_versions() | {"dlmi-bench": ""},
        "code": compute_code_hash(_list_modules(cell)),
        "settings": _select_settings(cell, suite),
    }
    if cell.kind == "train":
        parts["seed"] = cell.seed
        parts["recipe"] = asdict(task.recipe(cell.model))
        entry = MODELS[cell.model]
        parts["start"] = [entry.start, entry.is_frozen]
        if entry.start == "imagenet":
            parts["start"].append(identify(entry))
        parts["target"] = asdict(task.target)
        parts["limits"] = [task.n_validation, task.time_limit_s, task.eval_every_epochs, asdict(task.distortion)]
        parts["pictured"] = task.n_pictured
    if cell.kind in ("memory", "latency"):
        parts["backends"] = {name: BACKENDS[name].describe_state() for name in suite.backends}
    if cell.kind not in ("counts", "references"):
        parts["machine"] = compute_machine_id()  # times, bytes and the last bits of weights belong to a machine
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _select_settings(cell: Cell, suite: Suite) -> dict[str, Any]:
    fields: dict[CellKind, tuple[str, ...]] = {
        "train": ("energy_window_s",),
        "references": (),
        "counts": (),
        "memory": ("backends",),
        "latency": ("backends", "n_processes", "n_rounds", "batches", "threads"),
        "energy": ("energy_window_s", "n_processes"),
    }
    return suite.model_dump(mode="json", include=set(fields[cell.kind]))


def _list_modules(cell: Cell) -> tuple[str, ...]:
    if cell.kind == "references":
        return (*MEASURING_CODE[cell.kind], *REFERENCE_CODE.get(get_task(cell.task).domain, ()))
    if cell.kind == "train":
        entry = MODELS[cell.model]
        return (entry.module, *TRAINING_CODE, *START_CODE[entry.start], *EXPORTING_CODE)
    if cell.kind == "counts":
        return (MODELS[cell.model].module, *MEASURING_CODE[cell.kind])
    return (*MEASURING_CODE[cell.kind], *RUNTIME_CODE)


def compute_code_hash(modules: Iterable[str]) -> str:
    """Hash of what the modules do: comments, layout and docstrings do not count."""
    return hashlib.sha256("".join(_hash_module(name) for name in modules).encode()).hexdigest()


@cache
def _hash_module(name: str) -> str:
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node, clean=False):
            node.body = node.body[1:] or [ast.Pass()]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()
