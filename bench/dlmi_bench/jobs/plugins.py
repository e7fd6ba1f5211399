"""Models, tasks and backends of the user's join the registries: from plain files, scripts and entry points.

Workers learn from the environment what there is. A file is not imported before something in it is needed: a worker that
loads an ONNX file never runs it.
"""

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue, TypeAdapter

from dlmi_bench.backends import BACKENDS, BackendEntry
from dlmi_bench.closure import find_file, hash_distribution, is_ours, list_closure
from dlmi_bench.errors import UsageError, describe_fault, list_choices
from dlmi_bench.jobs.source_files import FILES, SourceFile, adopt_file, install, is_user_path, read_source
from dlmi_bench.search_path import append_user_path
from dlmi_models import MODELS, ModelEntry
from dlmi_models.arms import ARM, TITLES, find_disorder
from dlmi_models.families import list_families
from dlmi_tasks import TASKS

if TYPE_CHECKING:
    from dlmi_models.own import Model
    from dlmi_tasks.spec import Task

ENVIRONMENT = "DLMI_BENCH_PLUGINS"  # of workers: what the parent has registered, as JSON


@dataclass(frozen=True)
class Place:
    """Where a model is: a key of a module's MODELS or an attribute of it, or another name of a registered model."""

    module: str = ""
    factory: str = ""
    alias: str = ""

    def make_entry(self, name: str) -> ModelEntry:
        """Row of the registry."""
        return MODELS[self.alias] if self.alias else ModelEntry(self.module, self.factory, name, is_own=True)


@dataclass
class Plugins:
    """What this process knows of the user's, by name, as its workers are told it; tasks by module."""

    files: dict[str, SourceFile] = field(default_factory=dict)
    models: dict[str, Place] = field(default_factory=dict)
    tasks: dict[str, str] = field(default_factory=dict)


KNOWN = Plugins(FILES)
_ADOPTED: set[str] = set()  # names that the user gave in this process
FAULTS: dict[str, str] = {}  # why an entry point is left out, by its name
_ADAPTER = TypeAdapter(Plugins)


def adopt_model(name: str, place: "Place | Model") -> None:
    """Let a model join the registry, and that of workers unless it lives in this process alone.

    Raises:
        UsageError: a model of the suite has this name.
    """
    if isinstance(place, Place) and place.alias == name:
        return
    if name in MODELS and name not in _ADOPTED:
        raise UsageError(f"model {name!r} is one of the suite's", "give yours another name")
    _ADOPTED.add(name)
    if isinstance(place, Place):
        MODELS[name] = place.make_entry(name)
        KNOWN.models[name] = place
    else:
        MODELS[name] = ModelEntry("", "", name, is_own=True, definition=place)
        KNOWN.models.pop(name, None)
    _tell_workers()


def adopt_task(name: str, place: "str | Task") -> None:
    """Let a task join the registry, by the module that has it, or an object of this process.

    Raises:
        UsageError: a task of the suite has this name.
    """
    if name in TASKS and name not in _ADOPTED:
        raise UsageError(f"task {name!r} is one of the suite's", "give yours another name")
    _ADOPTED.add(name)
    TASKS[name] = place
    if isinstance(place, str):
        KNOWN.tasks[name] = place
    else:
        KNOWN.tasks.pop(name, None)
    _tell_workers()


def _tell_workers() -> None:
    os.environ[ENVIRONMENT] = _ADAPTER.dump_json(KNOWN).decode()


def find_model(text: str) -> "Place | Model":
    """Find a model by the user's words: a registered name, `package.module:factory`, `net.py:factory` or an ONNX file.

    Raises:
        UsageError: there is none.
    """
    if text in MODELS:
        return Place(alias=text)
    if text.endswith(".onnx"):
        from dlmi_models.own import Model

        return Model.from_checkpoints({0: text})
    module, colon, factory = text.rpartition(":")
    if not colon or not module or not factory:
        other = ", a FILE.onnx, package.module:factory or FILE.py:factory"
        raise UsageError(f"no model {text!r}", list_models(text, other))
    if module.endswith(".py"):
        return Place(adopt_file(Path(module)), factory)
    append_user_path(str(Path.cwd()))
    if find_file(module) is None:
        raise UsageError(f"no module {module!r}, here or installed", "name one that exists, or FILE.py:factory")
    return Place(module, factory)


def list_models(name: str, other: str = "") -> str:
    """Write the remedy for a model that is not known.

    Args:
        other: What may be given instead of a name.
    """
    right = find_disorder(name)
    if right and right in MODELS:
        return f"say {right!r}: ways of compactness stand in the order in which they act"
    families = ", ".join(list_families())
    ways = f"a member of {families}; any of them with {', '.join(f'{ARM}{way}' for way in TITLES)}"
    return list_choices(name, MODELS, f", {ways}{other}")


def load_known() -> None:
    """Register in a worker what its parent has registered, and entry points; no file is imported."""
    if text := os.environ.get(ENVIRONMENT):
        append_user_path(str(Path.cwd()))  # where package.module:factory may be
        known = _ADAPTER.validate_json(text)
        KNOWN.files |= known.files
        KNOWN.models |= known.models
        MODELS.update({name: place.make_entry(name) for name, place in known.models.items()})
        KNOWN.tasks |= known.tasks
        TASKS.update(known.tasks)
        install()
    load_entry_points()


@cache
def load_entry_points() -> None:
    """Register what installed packages offer; what is broken or takes a name of ours is left out, with the reason."""
    for point in entry_points(group="dlmi_bench.models"):
        if _is_free(point, MODELS):
            MODELS[point.name] = ModelEntry(point.module, point.attr, point.name, is_own=True)
    for point in entry_points(group="dlmi_bench.tasks"):
        if _is_free(point, TASKS):
            TASKS[point.name] = point.value
    for point in entry_points(group="dlmi_bench.backends"):
        if _is_free(point, BACKENDS):
            try:
                entry = point.load()
                if not isinstance(entry, BackendEntry):
                    raise TypeError(f"{point.value} is a {type(entry).__name__}, not a BackendEntry")  # noqa: TRY301
                BACKENDS[point.name] = entry
            except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever somebody's package does on import
                FAULTS[f"backend {point.name}"] = f"{_name_source(point)}: {describe_fault(error, point.value)}"


def _is_free(point: EntryPoint, registry: dict[str, Any]) -> bool:
    if point.name in registry:
        FAULTS[f"{point.group.rpartition('.')[2]} {point.name}"] = f"{_name_source(point)}: the name is taken"
        return False
    return True


def _name_source(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else point.value


def describe_plugins(tasks: Iterable[str], models: Iterable[str]) -> list[dict[str, JsonValue]]:
    """Describe what was loaded from the user's side for these tasks and models: its name, and sha256 by file."""
    found: dict[str, dict[str, JsonValue]] = {}
    places = [TASKS.get(name, "") for name in tasks]
    modules = [place.partition(":")[0] for place in places if isinstance(place, str)]
    rows = [MODELS[name] for name in models if name in MODELS and MODELS[name].is_own]
    for module in dict.fromkeys([*modules, *(row.module for row in rows)]):
        if module and not module.startswith("dlmi_tasks."):
            described = _describe_module(module)
            found[str(described["name"])] = described
    if any(row.definition for row in rows) or any(not isinstance(place, str) for place in places):
        found[""] = {"name": "objects of the calling process", "files": {}}
    return list(found.values())


def _describe_module(module: str) -> dict[str, JsonValue]:
    first = find_file(module)
    if (installed := hash_distribution(module)) and first and not is_user_path(first):  # an editable one has files
        name, version, sha256 = installed.split()
        return {"name": f"{name} {version}", "files": {"RECORD": sha256}}
    paths = _list_files(module)
    root = paths[0].parent if paths else Path()
    files: dict[str, JsonValue] = {}
    for path in paths:
        shown = str(path.relative_to(root)) if path.is_relative_to(root) else path.name
        files[shown] = hashlib.sha256(read_source(path)).hexdigest()
    return {"name": first.name if first and module in KNOWN.files else module, "files": files}


def list_sources(model: ModelEntry) -> tuple[Path, ...]:
    """List the files of the user's code that a model is made from; none of a model of the suite's or a notebook's."""
    return tuple(_list_files(model.module)) if model.is_own and model.module else ()


def _list_files(module: str) -> list[Path]:
    return [path for name in list_closure([module]) if (path := find_file(name)) and not is_ours(name)]


def find_obstacle(model: ModelEntry, backend: BackendEntry, *, is_here: bool = False) -> str:
    """Find why a runtime cannot run this kind of model; empty where it can.

    Args:
        is_here: Whether it would run in this process, which has the code of its own objects.
    """
    if backend.artifact_role != "torch" or not model.is_own:
        return ""
    if model.definition and not is_here:
        return "it needs the model's code, which lives in the calling process only; put it into a file"
    return "" if model.own.factory else "an ONNX file has no torch module"
