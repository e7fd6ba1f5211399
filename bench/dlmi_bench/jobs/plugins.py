"""Models, tasks and backends of the user's join the registries: from plain files, scripts and entry points.

A file is imported as a module of its own name, found by its path and checked by its sha256, and not before something in
it is needed: a worker that loads an ONNX file never runs it. Workers learn from the environment what there is.
"""

import hashlib
import importlib.abc
import importlib.util
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from importlib.machinery import ModuleSpec
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue, TypeAdapter

from dlmi_bench.backends import BACKENDS, BackendEntry
from dlmi_bench.closure import find_file, hash_distribution, is_ours, list_closure
from dlmi_bench.errors import BenchError, UsageError, describe_fault
from dlmi_bench.files import read_bytes
from dlmi_bench.search_path import append_user_path
from dlmi_models import MODELS, ModelEntry
from dlmi_tasks import TASKS

if TYPE_CHECKING:
    from dlmi_models.own import Model
    from dlmi_tasks.spec import Task

ENVIRONMENT = "DLMI_BENCH_PLUGINS"  # of workers: what the parent has registered, as JSON
PREFIX = "dlmi_study_"
MAX_FILE_BYTES = 1 << 22


@dataclass(frozen=True)
class SourceFile:
    """A Python file of the user's.

    Attributes:
        arguments: Command line of a script, which workers run up to its call of `compare`; None of a plain file.
    """

    path: str
    sha256: str
    arguments: tuple[str, ...] | None = None


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


KNOWN = Plugins()
_ADOPTED: set[str] = set()  # names that the user gave in this process
FAULTS: dict[str, str] = {}  # why an entry point is left out, by its name
_ADAPTER = TypeAdapter(Plugins)


class EndOfScriptError(BaseException):
    """A script has reached its call of `compare`: all that workers need is there."""


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finder of the user's files by the names that they were given here."""

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> ModuleSpec | None:
        file = KNOWN.files.get(fullname)
        return importlib.util.spec_from_file_location(fullname, file.path, loader=self) if file else None

    def exec_module(self, module: ModuleType) -> None:
        file = KNOWN.files[module.__name__]
        content = _read(Path(file.path))
        if hashlib.sha256(content).hexdigest() != file.sha256:
            raise UsageError(f"{file.path} was changed since the run began", "run the same command again")
        append_user_path(str(Path(file.path).parent))
        code = compile(content, file.path, "exec", dont_inherit=True)
        if file.arguments is None:
            exec(code, module.__dict__)  # noqa: S102 - the user's own file, named on the command line
            return
        module.__dict__["__name__"], sys.argv = "__main__", [*file.arguments]
        _REPLAYED.append(module)
        try:
            exec(code, module.__dict__)  # noqa: S102 - the script that this worker works for
        except EndOfScriptError:
            return
        finally:
            _REPLAYED.pop()
        raise UsageError(f"{file.path} did not call compare again in a worker", "let it do the same at every start")


_REPLAYED: list[ModuleType] = []  # the script that is being run up to its call of `compare`


def is_replaying() -> bool:
    """Tell whether a worker is running the user's script up to its call of `compare`."""
    return bool(_REPLAYED)


def end_replay(models: dict[str, Any], tasks: dict[str, Any]) -> None:
    """Keep what the script compares and end it there."""
    _REPLAYED[-1].__dict__.update(MODELS=models, TASKS=tasks)
    raise EndOfScriptError


def _read(path: Path) -> bytes:
    try:
        return read_bytes(path, MAX_FILE_BYTES)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}", "name a Python file that can be read") from error


def adopt_file(path: Path, arguments: Iterable[str] | None = None) -> str:
    """Name under which the file can be imported from now on, here and in workers.

    Raises:
        UsageError: it cannot be read.
    """
    path = path.resolve()
    name = PREFIX + hashlib.sha256(str(path).encode()).hexdigest()[:12]
    given = None if arguments is None else tuple(arguments)
    file = SourceFile(str(path), hashlib.sha256(_read(path)).hexdigest(), given)
    if KNOWN.files.get(name) != file:
        sys.modules.pop(name, None)
        KNOWN.files[name] = file
    _install()
    return name


FINDER = _Finder()


@cache
def _install() -> None:
    sys.meta_path.append(FINDER)


def find_script() -> Path | None:
    """Find the script that this process runs; None of a notebook, a prompt, `python -m` or a program of a package."""
    main = sys.modules["__main__"]
    file = getattr(main, "__file__", None)
    if file is None or hasattr(sys, "ps1") or getattr(main, "__spec__", None) or not file.endswith(".py"):
        return None
    return Path(file) if is_user_path(Path(file)) else None


def is_user_path(path: Path) -> bool:
    """Tell whether a file lies outside of what is installed."""
    return not {"site-packages", "dist-packages"} & {*path.resolve().parts}


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
        remedy = f"use one of {', '.join(MODELS)}, a FILE.onnx, package.module:factory or FILE.py:factory"
        raise UsageError(f"no model {text!r}", remedy)
    return Place(adopt_file(Path(module)) if module.endswith(".py") else module, factory)


def import_file(name: str) -> ModuleType:
    """Import a file of the user's, in the process of a command.

    Raises:
        UsageError: it raised anything; names the file and the line.
    """
    path = KNOWN.files[name].path
    try:
        return importlib.import_module(name)
    except BenchError:
        raise
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        raise UsageError(describe_fault(error, path), "correct the file") from error


def load_known() -> None:
    """Register in a worker what its parent has registered, and entry points; no file is imported."""
    if text := os.environ.get(ENVIRONMENT):
        known = _ADAPTER.validate_json(text)
        KNOWN.files |= known.files
        KNOWN.models |= known.models
        MODELS.update({name: place.make_entry(name) for name, place in known.models.items()})
        KNOWN.tasks |= known.tasks
        TASKS.update(known.tasks)
        _install()
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
    if installed := hash_distribution(module):
        name, version, sha256 = installed.split()
        return {"name": f"{name} {version}", "files": {"RECORD": sha256}}
    paths = [path for name in list_closure([module]) if (path := find_file(name)) and not is_ours(name)]
    root = paths[0].parent if paths else Path()
    files: dict[str, JsonValue] = {}
    for path in paths:
        shown = str(path.relative_to(root)) if path.is_relative_to(root) else path.name
        files[shown] = hashlib.sha256(_read(path)).hexdigest()
    first = find_file(module)
    return {"name": first.name if first and module in KNOWN.files else module, "files": files}


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
