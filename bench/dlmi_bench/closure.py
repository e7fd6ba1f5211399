"""Code behind a result: which modules of this project it imports, and a hash of what they do."""

import ast
import hashlib
from collections.abc import Collection, Iterable, Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from dlmi_bench.search_path import OWN_PACKAGES


def list_closure(roots: Iterable[str], leave_out: Collection[str] = ()) -> tuple[str, ...]:
    """List all modules of this project that `roots` import, directly or not, with the roots themselves.

    Imports within functions count too. What a module in `leave_out` imports is followed only from elsewhere.
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
                setattr(node, field, [statement for statement in block if not list(_list_own(statement))])
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


@cache
def _list_imports(name: str) -> tuple[str, ...]:
    """Modules of this project that a module names in its imports; of `from a import b` also `a.b` where it is one."""
    named = (other for node in ast.walk(_parse(name)) for other in _list_own(node))
    return tuple(sorted({other for other in named if _find_file(other)}))


def _list_own(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom) and node.module:
        names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    else:
        return
    yield from (name for name in names if name.partition(".")[0] in OWN_PACKAGES)


def _parse(name: str) -> ast.Module:
    file = _find_file(name)
    assert file, f"no module {name}"
    return ast.parse(file.read_text(encoding="utf-8"))


@cache
def _find_file(name: str) -> Path | None:
    """File of a module; None where it is a name within one. Imports nothing, since packages may load torch."""
    root, *rest = name.split(".")
    spec = find_spec(root)
    if not rest or not spec or not spec.submodule_search_locations:
        return Path(spec.origin) if spec and spec.origin and not rest else None
    path = Path(spec.submodule_search_locations[0], *rest)
    files = (path.with_suffix(".py"), path / "__init__.py")
    return next((file for file in files if file.is_file()), None)
