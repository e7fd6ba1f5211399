"""Code behind a result: which modules of this project and of the user's it imports, and a hash of what they do."""

import ast
import hashlib
import sys
import sysconfig
from collections.abc import Collection, Iterable, Iterator
from functools import cache, partial
from importlib.metadata import distribution, packages_distributions
from importlib.util import find_spec
from pathlib import Path
from types import CodeType, FunctionType

import numpy as np

from dlmi_bench.search_path import OWN_PACKAGES


def list_closure(roots: Iterable[str], leave_out: Collection[str] = ()) -> tuple[str, ...]:
    """List all modules of this project that `roots` import, directly or not, with the roots themselves.

    Imports within functions count too. What a module in `leave_out` imports is followed only from elsewhere. From a
    module of the user's, its neighbours are followed, and models of this project.
    """
    found: set[str] = set()
    todo = [name for name in roots if name not in leave_out]
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += [other for other in _list_imports(name) if other not in leave_out]
    return tuple(sorted(found))


def hash_code(modules: Iterable[str]) -> str:
    """Hash what the modules do: see `hash_module`."""
    return hashlib.sha256("".join(hash_module(name) for name in modules).encode()).hexdigest()


@cache
def hash_module(name: str) -> str:
    """Hash the code of one module. Comments, layout, docstrings and imports from this project do not count.

    A module of this project that is imported is hashed on its own, so a move or a new name changes no hash but its own.
    """
    tree = _parse(name)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node, clean=False):
            node.body = node.body[1:]
        for field in ("body", "orelse", "finalbody"):
            if isinstance(block := getattr(node, field, None), list):
                setattr(
                    node, field, [statement for statement in block if not any(map(is_ours, _list_names(statement)))]
                )
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


@cache
def hash_distribution(module: str) -> str:
    """Name, version and hash of all files of the installed package that a module belongs to; empty where it is none."""
    for name in packages_distributions().get(module.partition(".")[0], ()):
        found = distribution(name)
        record = found.read_text("RECORD") or ""
        return f"{name} {found.version} {hashlib.sha256(record.encode()).hexdigest()}"
    return ""


def hash_objects(*objects: object) -> str:
    """Hash what functions and classes of the user's do, with all of the user's that they name in turn.

    Of a file only what a model needs counts, so that another setting beside it makes nothing stale.
    """
    walk = _Walk()
    for value in objects:
        walk.add(value)
    return hashlib.sha256("\n".join(walk.parts).encode()).hexdigest()


@cache
def _is_users(module: str) -> bool:
    """Whether a module is the user's: neither this project's nor installed."""
    file = getattr(sys.modules.get(module), "__file__", None)
    if module == "__main__":
        return True
    installed = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    return file is not None and not is_ours(module) and not any(Path(file).is_relative_to(path) for path in installed)


class _Walk:
    """A walk through objects and what they name; each is visited once, and kept so that no other takes its id."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self._seen: dict[int, object] = {}

    def add(self, value: object) -> None:
        if isinstance(value, int | float | str | bytes | None):
            self.parts.append(repr(value))
        elif id(value) not in self._seen:
            self._seen[id(value)] = value
            for other in self._describe(value):
                self.add(other)

    def _describe(self, value: object) -> Iterable[object]:
        """Add what the object is by itself; returns what it names."""
        if isinstance(value, tuple | list):
            return value
        if isinstance(value, dict):
            return [part for item in value.items() for part in item]
        kind = value if isinstance(value, FunctionType | type) else type(value)
        module = kind.__module__ or ""
        self.parts.append(f"{module}.{kind.__qualname__}")
        if isinstance(value, np.ndarray):
            return [value.shape, value.tobytes()]
        if isinstance(value, partial):
            return [value.func, value.args, value.keywords]
        if not _is_users(module):
            return []
        if isinstance(value, FunctionType):
            named = [value.__globals__.get(name) for name in self._describe_code(value.__code__)]
            cells = [cell.cell_contents for cell in value.__closure__ or ()]
            return [*named, *cells, value.__defaults__, value.__kwdefaults__]
        if isinstance(value, type):
            return [*value.__bases__, *(value.__dict__[name] for name in sorted(value.__dict__))]
        return [*vars(value).values()] if hasattr(value, "__dict__") else []

    def _describe_code(self, code: CodeType) -> list[str]:
        """Add the code itself; returns the names that it looks up, in their order."""
        self.parts.append(code.co_code.hex())
        names = [*code.co_names]
        for constant in code.co_consts:
            if isinstance(constant, CodeType):
                names += self._describe_code(constant)
            else:
                self.parts.append(repr(sorted(map(repr, constant)) if isinstance(constant, frozenset) else constant))
        self.parts.append(" ".join(names))
        return names


@cache
def _list_imports(name: str) -> tuple[str, ...]:
    """Modules to follow that a module names in its imports; of `from a import b` also `a.b` where it is one."""
    named = {other for node in ast.walk(_parse(name)) for other in _list_names(node, name)}
    if is_ours(name):
        return tuple(sorted(other for other in named if is_ours(other) and find_file(other)))
    neighbours = (other for other in named if other.startswith("dlmi_models.") or _is_neighbour(other, name))
    return tuple(sorted(other for other in neighbours if find_file(other)))


def _is_neighbour(other: str, name: str) -> bool:
    """Whether a module of the user's lies in the same folder tree or package as another, outside what is installed."""
    file, own = find_file(other), find_file(name)
    if not file or not own or is_ours(other) or "site-packages" in file.parts:
        return False
    return other.partition(".")[0] == name.partition(".")[0] or file.resolve().is_relative_to(own.resolve().parent)


def is_ours(name: str) -> bool:
    return name.partition(".")[0] in OWN_PACKAGES


def _list_names(node: ast.AST, within: str = "") -> Iterator[str]:
    """Names of modules that a statement imports; relative ones from the package of the module `within`."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        file, parts = (find_file(within) if node.level else None), within.split(".")
        n_kept = len(parts) - node.level + (1 if file and file.name == "__init__.py" else 0)
        base = ".".join([*(parts[:n_kept] if node.level else []), *([node.module] if node.module else [])])
        if base:
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _parse(name: str) -> ast.Module:
    file = find_file(name)
    assert file, f"no module {name}"
    return ast.parse(file.read_text(encoding="utf-8"))


@cache
def find_file(name: str) -> Path | None:
    """File of a module; None where it is a name within one. Imports nothing, since packages may load torch."""
    root, *rest = name.split(".")
    try:
        spec = find_spec(root)
    except (ImportError, ValueError):  # of a module without one, such as __main__
        return None
    if not rest or not spec or not spec.submodule_search_locations:
        return Path(spec.origin) if spec and spec.has_location and spec.origin and not rest else None
    path = Path(spec.submodule_search_locations[0], *rest)
    files = (path.with_suffix(".py"), path / "__init__.py")
    return next((file for file in files if file.is_file()), None)
