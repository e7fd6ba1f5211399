"""Whether what is stored of a cell still holds: a hash of all that decides its result."""

import ast
import hashlib
import importlib.util
import json
from collections.abc import Iterable
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

from dlmi_bench.backends import BACKENDS
from dlmi_bench.instruments.host.provenance import compute_machine_id, describe_versions
from dlmi_bench.records import Cell, CellKind
from dlmi_bench.suite.suites import Suite
from dlmi_models import MODELS
from dlmi_tasks import get_task
from dlmi_tasks.spec import Task
from dlmi_tasks.training.imagenet import identify

METERS = (
    "dlmi_bench.instruments.meters",
    "dlmi_bench.instruments.meters.rapl",
    "dlmi_bench.instruments.meters.nvml",
    "dlmi_bench.instruments.meters.tracker",
    "dlmi_bench.instruments.host.nvml",
)


ENERGY_CODE = (
    "dlmi_bench.instruments.energy",
    "dlmi_bench.instruments.host.activity",
    *METERS,
    "dlmi_bench.instruments.energy_figures",
)


RUNTIME_CODE = tuple(dict.fromkeys(entry.module for entry in BACKENDS.values()))


TRAINING_CODE = (
    "dlmi_tasks.spec",
    "dlmi_tasks.training.loop",
    "dlmi_tasks.training.distortion",
    "dlmi_tasks.training.start",
    "dlmi_bench.jobs.training",
    "dlmi_bench.instruments.clock",
    "dlmi_bench.jobs.evaluation",
    "dlmi_bench.backends",
    *RUNTIME_CODE,
    "dlmi_bench.jobs.parity",
    "dlmi_bench.stats.confusion",
    "dlmi_bench.instruments.latency_figures",
    "dlmi_bench.stats.intervals",
    "dlmi_bench.store.pictures",
    "dlmi_bench.jobs.saliency",
    *ENERGY_CODE,
)


START_CODE: dict[str, tuple[str, ...]] = {
    "scratch": (),
    "synthetic": ("dlmi_tasks.training.pretraining",),
    "imagenet": ("dlmi_tasks.training.imagenet", "dlmi_tasks.training.weights"),
}


EXPORTING_CODE = ("dlmi_bench.backends.export", "dlmi_bench.backends.quantization")


REFERENCE_CODE = {"spect": ("dlmi_tasks.spect.references", "dlmi_tasks.spect.observer", "dlmi_tasks.spect.learners")}


MEASURING_CODE: dict[CellKind, tuple[str, ...]] = {
    "train": (),
    "references": ("dlmi_bench.jobs.measurement",),
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
    "memory": (
        "dlmi_bench.jobs.worker",
        "dlmi_bench.instruments.host.facts",
        "dlmi_bench.instruments.clock",
        "dlmi_bench.instruments.memory",
        "dlmi_bench.jobs.measurement",
    ),
    "latency": (
        "dlmi_tasks.spec",
        "dlmi_bench.jobs.worker",
        "dlmi_bench.instruments.host.facts",
        "dlmi_bench.instruments.clock",
        "dlmi_bench.instruments.cuda_clock",
        "dlmi_bench.instruments.latency",
        "dlmi_bench.instruments.host.activity",
        "dlmi_bench.instruments.host.neighbours",
        "dlmi_bench.jobs.parity",
        "dlmi_bench.jobs.peaks",
        "dlmi_bench.stats.percentiles",
        "dlmi_bench.jobs.measurement",
        "dlmi_bench.instruments.roofline",
        "dlmi_bench.suite.session",
        "dlmi_bench.instruments.latency_figures",
        "dlmi_bench.stats.intervals",
    ),
    "energy": (
        "dlmi_tasks.spec",
        "dlmi_bench.instruments.clock",
        "dlmi_bench.instruments.latency",
        "dlmi_bench.jobs.measurement",
        *ENERGY_CODE,
    ),
}


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
    tree = ast.parse(Path(spec.origin).read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node, clean=False):
            node.body = node.body[1:] or [ast.Pass()]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()
