"""What the registries hold and what a task's data is, as plain dictionaries and as text."""

from pathlib import Path
from typing import Any

import numpy as np

from dlmi_bench.backends import BACKENDS
from dlmi_bench.errors import UsageError
from dlmi_bench.suites import SUITES, Suite, select_models
from dlmi_models import MODELS
from dlmi_tasks import TASKS, get_task
from dlmi_tasks.spec import Arrays


def list_registries(only: str | None = None) -> dict[str, dict[str, dict[str, Any]]]:
    """Entries by registry and name; each has at least a title."""
    found: dict[str, dict[str, dict[str, Any]]] = {
        "tasks": {name: {"title": get_task(name).title} for name in TASKS},
        "models": {name: {"title": entry.title} for name, entry in MODELS.items()},
        "backends": {name: {"title": entry.title, "state": entry.describe_state()} for name, entry in BACKENDS.items()},
        "suites": {
            name: {"title": f"{', '.join(s.tasks)}: {_count_models(s)} models, {s.n_seeds} seeds"}
            | s.model_dump(mode="json")
            for name, s in SUITES.items()
        },
    }
    return {only: found[only]} if only else found


def _count_models(suite: Suite) -> int:
    return len({model for task in suite.tasks for model in select_models(suite, task)})


def describe_task_data(name: str, source: str, data_dir: Path | None) -> dict[str, Any]:
    """Fetch and verify; raises UsageError for an unknown task, DataError and FetchError for the data."""
    from rich.console import Console
    from rich.progress import DownloadColumn, Progress, TransferSpeedColumn

    if name not in TASKS:
        raise UsageError(f"no task {name!r}", f"use one of {', '.join(TASKS)}")
    columns = (*Progress.get_default_columns(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        line = progress.add_task("loading", total=None)
        load = get_task(name).load
        data = load(
            source=source,
            data_dir=data_dir,
            on_progress=lambda done, total: progress.update(line, completed=done, total=total),
        )
    return data.describe() | {"train": _describe_split(data.train), "test": _describe_split(data.test)}


def describe_spect_data(preset: str, data_dir: Path | None, *, has_audit: bool) -> dict[str, Any]:
    """The DaT-SPECT data: a PPMI folder where one is named, else the synthetic cohort; raises DataError, FetchError."""
    from rich.console import Console
    from rich.progress import Progress

    from dlmi_tasks import folders
    from dlmi_tasks.spect.inspection import describe, load_spect

    with Progress(console=Console(stderr=True), transient=True) as progress:
        line = progress.add_task("scans", total=None)
        data = load_spect(
            preset,
            data_dir=data_dir or folders.find_folder(folders.PPMI),
            on_scan=lambda done, total: progress.update(line, completed=done, total=total),
        )
        return describe(data, has_audit=has_audit)


def format_tree(content: Any, indent: str = "") -> str:
    """Nested plain data as indented text; lists of plain values in one line, floats with three digits."""
    lines = []
    for name, value in content.items():
        if isinstance(value, dict):
            lines += [f"{indent}{name}", format_tree(value, indent + "  ")]
        elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
            lines += [f"{indent}{name}", *(format_tree(item, indent + "  ") for item in value)]
        else:
            shown = f"{value:.3g}" if isinstance(value, float) else "not known" if value is None else value
            lines.append(f"{indent}{name}: {shown}")
    return "\n".join(lines)


def _describe_split(arrays: Arrays) -> dict[str, Any]:
    return {
        "n": len(arrays),
        "n_per_class": np.bincount(arrays.labels).tolist(),
        "shape": list(arrays.images.shape[1:]),
        "value_range": [float(arrays.images.min()), float(arrays.images.max())],
    }


def format_data(described: dict[str, Any]) -> str:
    """The description as text for a terminal."""
    lines = [f"{described['name']} from {described['source']}", described["note"], ""]
    for split in ("train", "test"):
        part = described[split]
        low, high = part["value_range"]
        lines.append(
            f"{split}: {part['n']} images of {' x '.join(map(str, part['shape']))}, values {low:g} to {high:g}"
        )
        lines.append("  per class: " + " ".join(map(str, part["n_per_class"])))
    lines += ["", "sha256, verified against the published data:"]
    lines += [f"  {part:<13} {digest}" for part, digest in described["sha256"].items()]
    return "\n".join(lines)
