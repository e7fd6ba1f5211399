"""Python files of the user's, imported as modules of their own names, found by path and checked by sha256.

A script is run up to its call of `compare`, in each worker that needs something in it.
"""

import hashlib
import importlib.abc
import importlib.util
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from dlmi_bench.errors import BenchError, UsageError, choose_source_remedy, describe_fault
from dlmi_bench.files import read_bytes
from dlmi_bench.search_path import append_user_path

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


FILES: dict[str, SourceFile] = {}  # by the name of their module


class EndOfScriptError(BaseException):
    """A script has reached its call of `compare`: all that workers need is there."""


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finder of the user's files by the names that they were given here."""

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> ModuleSpec | None:
        file = FILES.get(fullname)
        return importlib.util.spec_from_file_location(fullname, file.path, loader=self) if file else None

    def exec_module(self, module: ModuleType) -> None:
        file = FILES[module.__name__]
        content = read_source(Path(file.path))
        if hashlib.sha256(content).hexdigest() != file.sha256:
            raise UsageError(f"{file.path} was changed since the run began", "run the same command again")
        append_user_path(str(Path(file.path).parent))
        code = compile(content, file.path, "exec", dont_inherit=True)
        if file.arguments is not None:
            module.__dict__["__name__"], sys.argv = "__main__", [*file.arguments]
        _REPLAYED.append(module)
        try:
            exec(code, module.__dict__)  # noqa: S102 - the user's own file
        except EndOfScriptError:
            return
        finally:
            _REPLAYED.pop()
        if file.arguments is not None:
            raise UsageError(f"{file.path} did not call compare again in a worker", "let it do the same at every start")


_REPLAYED: list[ModuleType] = []  # the file that is being run, up to its call of `compare` where it has one


def is_replaying() -> bool:
    """Tell whether a file of the user's is being run for what it defines, so that `compare` compares nothing."""
    return bool(_REPLAYED)


def end_replay(**found: Any) -> None:
    """Keep what the script compares, as a study file names it, and end it there."""
    _REPLAYED[-1].__dict__.update(found)
    raise EndOfScriptError


def read_source(path: Path) -> bytes:
    """Read a Python file of the user's.

    Raises:
        UsageError: it cannot be read.
    """
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
    file = SourceFile(str(path), hashlib.sha256(read_source(path)).hexdigest(), given)
    if FILES.get(name) != file:
        sys.modules.pop(name, None)
        FILES[name] = file
    install()
    return name


FINDER = _Finder()


@cache
def install() -> None:
    """Let this process import the files."""
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


def import_file(name: str) -> ModuleType:
    """Import a file of the user's, in the process of a command.

    Raises:
        UsageError: it raised anything; names the file and the line.
    """
    path = FILES[name].path
    try:
        return importlib.import_module(name)
    except BenchError:
        raise
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        raise UsageError(describe_fault(error, path), choose_source_remedy(error)) from error
