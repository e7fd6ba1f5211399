"""Watch over code of the user's while it trains before a referee: what it opens, connects to, starts or asks for.

Python tells its audit hooks of all that its own functions do. A library in another language that opens a file by itself
tells nobody: the readers of that kind that are at hand in every environment of ours are wrapped meanwhile.
"""

import os
import sys
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from dlmi_bench.search_path import OWN_PACKAGES

# By event of Python's, the words before its first argument; see "Audit events table" in Python's documentation.
EVENTS = {
    "open": "opened",
    "ctypes.dlopen": "loaded",
    "socket.connect": "connected to",
    "socket.getaddrinfo": "looked up",
    "subprocess.Popen": "started",
    "os.system": "started",
    "os.exec": "started",
    "os.posix_spawn": "started",
    "os.fork": "forked",
    "sqlite3.connect": "opened",
    "shutil.copyfile": "copied",
    "os.rename": "renamed",
    "os.link": "linked",
    "os.symlink": "linked",
    "dlmi_tasks.get_task": "asked for the task",
    "dlmi_tasks.load": "asked for the data of",
}
FILE_EVENTS = ("open", "ctypes.dlopen", "shutil.copyfile", "os.rename", "os.link", "os.symlink")  # of a path first
# Readers that open files without Python's help, by module.
NATIVE = {
    "safetensors": ("safe_open",),
    "safetensors.torch": ("safe_open",),
    "torch": ("from_file",),
    "torch.jit": ("load",),
    "onnxruntime": ("InferenceSession",),
}
SYSTEM = ("/proc/", "/sys/", "/dev/null", "/dev/urandom")
CODE = (".py", ".pyi", ".pth")
PROCESSES = "multiprocessing.popen_"  # modules that start processes and tell nobody
LIBRARIES = ("/lib/", "/lib64/", "/usr/lib/", "/usr/lib64/")
MAX_LISTED = 50
MAX_LENGTH = 300  # of an entry

_found: "dict[str, None] | None" = None  # of the watch that is on
_allowed: set[str] = set()  # files that may be read
_scratch: set[str] = set()  # folders of ours, with a separator at the end


def allow(folder: str) -> None:
    """Let a folder of ours be used without being listed."""
    path = os.path.realpath(folder)
    _allowed.add(path)
    _scratch.add(os.path.join(path, ""))  # noqa: PTH118 - a path that ends with a separator


@contextmanager
def pause() -> Iterator[None]:
    """List nothing for a while, in which no code of the user's runs."""
    global _found
    found, _found = _found, None
    try:
        yield
    finally:
        _found = found


@contextmanager
def watch(sources: tuple[Path, ...] = ()) -> Iterator[list[str]]:
    """List what is done in this process meanwhile beyond importing code and reading what the system says of itself.

    Args:
        sources: Files of the user's code, which may be read.

    Yields:
        The list, filled at the end: each entry once, at most MAX_LISTED.
    """
    global _found
    _install()
    listed: list[str] = []
    found: dict[str, None] = {}
    with _wrap_native():
        _allowed.update(os.path.realpath(path) for path in sources)
        _found = found
        try:
            yield listed
        finally:
            _found = None
            _allowed.clear()
            _scratch.clear()
            listed += [*found][:MAX_LISTED]


@cache
def _install() -> None:
    _list_installed()
    sys.addaudithook(_hear)


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    """Note what is none of the program's business; raises nothing, since an error would change what is watched."""
    found = _found
    if found is not None and (said := _describe(event, arguments)):
        found.setdefault(said[:MAX_LENGTH])


def _describe(event: str, arguments: tuple[Any, ...]) -> str:
    """Say what was done; empty where it is the business of any code."""
    if event == "import":
        return f"imported {arguments[0]}" if str(arguments[0]).startswith(PROCESSES) else ""
    if event not in EVENTS:
        return ""
    first = arguments[0] if arguments else ""
    if event not in FILE_EVENTS:
        return f"{EVENTS[event]} {arguments[-1] if event == 'socket.connect' else first}"
    if isinstance(first, int):  # a descriptor, whose file was opened by its path before
        return ""
    path, how = _resolve(first), arguments[1:3] if event == "open" else ()
    return "" if _is_code(path, *how) else f"{EVENTS[event]} {path}"


def _resolve(path: Any) -> str:
    """Path without links; None is this process itself."""
    try:
        return "this process" if path is None else os.path.realpath(os.fsdecode(path))
    except (TypeError, ValueError):
        return str(path)


def _is_code(path: str, mode: object = "r", flags: object = 0) -> bool:
    """Tell code, and what the system says of itself, from data."""
    if path.startswith((*SYSTEM, *_scratch)) or path in _allowed:
        return True
    place = Path(path)
    if place.parent.name == "__pycache__":  # compiled, and written on import
        source = str(place.parent.parent / f"{place.name.partition('.')[0]}.py")
        return ".pyc" in place.name and (source in _allowed or path.startswith(_list_installed()))
    is_written = isinstance(mode, str) and not {*mode} <= {*"rbtU"}
    if is_written or (mode is None and isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR)):
        return False
    if not place.is_file() and (place.is_dir() or path in map(os.path.realpath, sys.path)):
        return True  # a folder, or an entry of the search path that is not there: Python tries to read it as an archive
    is_library = path.endswith(".so") or ".so." in place.name
    if path.startswith(_list_installed()):
        return is_library or path.endswith(CODE) or place.parent.name.endswith(".dist-info")
    return is_library and path.startswith(LIBRARIES)


@cache
def _list_installed() -> tuple[str, ...]:
    """Folders of the interpreter's libraries and of this project, as they are when the first watch begins."""
    standard = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib")]
    packages = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    own = [import_module(name).__path__[0] for name in OWN_PACKAGES]
    return tuple(os.path.join(os.path.realpath(path), "") for path in (*standard, *packages, *own))  # noqa: PTH118


@contextmanager
def _wrap_native() -> Iterator[None]:
    """Let readers of other languages say which file they open."""
    places = [(import_module(module), name) for module, names in NATIVE.items() for name in names]
    readers = [getattr(module, name) for module, name in places]
    try:
        for (module, name), reader in zip(places, readers, strict=True):
            setattr(module, name, _tell(reader))
        yield
    finally:
        for (module, name), reader in zip(places, readers, strict=True):
            setattr(module, name, reader)


def _tell(function: Callable[..., Any]) -> Callable[..., Any]:
    def told(*arguments: Any, **named: Any) -> Any:
        given = arguments[0] if arguments else next(iter(named.values()), "")
        if isinstance(given, str | os.PathLike):
            sys.audit("open", os.fspath(given), "r", 0)
        return function(*arguments, **named)

    return told
