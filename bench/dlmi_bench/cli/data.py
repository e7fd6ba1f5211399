"""The command `data`: get, verify and describe a task's data."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dlmi_bench.cli.options import (
    AssumeOption,
    FoldsOption,
    GroupingOption,
    JsonOption,
    QuietOption,
    RegisterOption,
    SitesOption,
    check_places,
    name_scan_options,
    print_json,
    say,
)
from dlmi_bench.errors import DataError, UsageError, list_choices

if TYPE_CHECKING:
    from rich.console import Console

    from dlmi_tasks.spec import Arrays, Task


class Source(StrEnum):
    auto = "auto"
    folder = "folder"
    cache = "cache"
    registry = "registry"
    official = "official"


class Preset(StrEnum):
    course = "course"
    realistic = "realistic"


def data(
    task: Annotated[str, typer.Argument(help="usps, usps-libsvm, spect, one of a package, or a STUDY.py of your own.")],
    source: Annotated[Source, typer.Option(help="Where from; auto takes the first that works.")] = Source.auto,
    data_dir: Annotated[Path | None, typer.Option(help="Folder with the official files.")] = None,
    preset: Annotated[Preset, typer.Option(help="spect: which synthetic cohort.")] = Preset.course,
    grouping: GroupingOption = None,
    assume_pd: AssumeOption = False,
    register: RegisterOption = False,
    folds: FoldsOption = None,
    hold_out_sites: SitesOption = False,
    audit: Annotated[bool, typer.Option("--audit", help="spect: look for leaks between splits.")] = False,
    montage: Annotated[Path | None, typer.Option(help="spect: write a picture of the synthetic slices.")] = None,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Get a task's data and describe them; published data are verified, your own are audited."""
    check_places(montage)
    folder = data_dir if data_dir and data_dir.is_dir() else None  # else the task says so in its own words
    name_scan_options(folder, grouping, assume_pd=assume_pd, register=register, n_folds=folds, sites=hold_out_sites)
    if source is Source.folder and data_dir is None:
        raise UsageError("--source folder needs a folder", "name it with --data-dir")
    from rich.console import Console

    from dlmi_bench.jobs.plugins import load_entry_points
    from dlmi_tasks import TASKS, get_task

    load_entry_points()
    if task.endswith(".py"):
        _show_study(Path(task), as_json=as_json)
        return
    if task not in TASKS:
        raise UsageError(f"no task {task!r}", list_choices(task, TASKS, ", or a STUDY.py"))
    entry = get_task(task)
    console = Console(stderr=True, quiet=quiet)
    described = (
        _inspect(entry, preset, data_dir, audit, montage, console)
        if entry.inspect
        else _load(entry, source, data_dir, console)
    )
    _show(task, described, is_tree=bool(entry.inspect) or "n_per_class" in described, as_json=as_json)
    fault: Any = described.get("error")
    if fault:
        raise DataError(fault["cause"], fault["remedy"])


def _show(task: str, described: dict[str, Any], *, is_tree: bool, as_json: bool) -> None:
    """Print a description; that of a user's task, or one that the task made itself, is a tree."""
    from dlmi_bench.cli.answers import DataAnswer

    if as_json:
        print_json(DataAnswer(tasks={task: described}))
    elif is_tree:
        say(format_tree(_shorten(described)))
    else:
        say(format_data(described))


def _shorten(described: dict[str, Any]) -> dict[str, Any]:
    """Leave out what is for machines, with a line for every patient or file, and the error, which is said last."""
    shown = {name: part for name, part in described.items() if name not in ("manifest", "error")}
    if "report" in shown:
        shown["report"] = {name: part for name, part in shown["report"].items() if name != "left_out"}
    return shown


def _show_study(path: Path, *, as_json: bool) -> None:
    """Describe the data of each task of a study, with the audit of its splits."""
    from dlmi_bench.cli.answers import DataAnswer
    from dlmi_bench.jobs import plugins
    from dlmi_bench.suite.study_file import load_study
    from dlmi_tasks import get_task
    from dlmi_tasks.audit import audit_dataset

    described: dict[str, object] = {}
    load_study(path)
    if not plugins.KNOWN.tasks:
        raise UsageError(f"{path}: no TASKS", 'say TASKS = {"mine": dlmi_bench.Task.from_npz(...)}')
    for name in plugins.KNOWN.tasks:
        entry = get_task(name)
        data = entry.load()
        described[name] = data.describe() | {"audit": audit_dataset(data, entry)}
    print_json(DataAnswer.model_validate({"tasks": described})) if as_json else say(format_tree(described))


def _load(task: "Task", source: Source, data_dir: Path | None, console: "Console") -> dict[str, Any]:
    """Fetch, verify and describe the data."""
    from rich.progress import DownloadColumn, Progress, TransferSpeedColumn

    columns = (*Progress.get_default_columns(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        line = progress.add_task("loading", total=None)
        data = task.load(
            source=source.value,
            data_dir=data_dir,
            on_progress=lambda done, total: progress.update(line, completed=done, total=total),
        )
    described = data.describe()
    if "n_per_class" in described:  # a user's task describes its splits itself
        return described
    return described | {"train": _describe_split(data.train), "test": _describe_split(data.test)}


def _inspect(
    task: "Task", preset: Preset, data_dir: Path | None, has_audit: bool, montage: Path | None, console: "Console"
) -> dict[str, object]:
    """Describe the data in full, by the task's own function."""
    from rich.progress import Progress

    assert task.inspect is not None
    with Progress(console=console, transient=True) as progress:
        line = progress.add_task("scans", total=None)
        return task.inspect(
            preset.value,
            data_dir,
            has_audit=has_audit,
            montage=montage,
            on_scan=lambda done, total: progress.update(line, completed=done, total=total),
        )


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


def _describe_split(arrays: "Arrays") -> dict[str, Any]:
    import numpy as np

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
    lines += ["", "sha256:"]
    lines += [f"  {part:<13} {digest}" for part, digest in described["sha256"].items()]
    return "\n".join(lines)
