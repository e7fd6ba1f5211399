"""Functions of the files in `kernels/`: those that a net calls, and what they call."""

import hashlib
import re
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "kernels"
FILES = ("loads", "weights", "dense", "integers", "conv", "layout", "pooling", "elementwise", "softmax")
HEAD = re.compile(r"^INLINE \w+ (\w+)\(", re.MULTILINE)


def read_vectors(text: str = "") -> str:
    """Text of what kernels stand on: vectors, and products of bytes if `text` has any."""
    return _read("vectors") + ("\n" + _read("products") if "PRODUCTS" in text else "")


@cache
def read_functions() -> dict[str, str]:
    """Text by name of each function, in the order of the files; a blank line ends one."""
    parts = [part for name in FILES for part in _read(name).split("\n\n")]
    return {found[1]: part.strip() for part in parts if (found := HEAD.search(part))}


def _read(name: str) -> str:
    return (FOLDER / f"{name}.c").read_text(encoding="utf-8")


@cache
def hash_kernels() -> str:
    """Short hash of all of them: results are made by these texts, which no import leads to."""
    return hashlib.sha256("".join(map(_read, ("vectors", "products", *FILES))).encode()).hexdigest()[:12]


def find_functions(names: set[str]) -> list[str]:
    """Texts of these functions and of those that they call, callees first."""
    functions, wanted = read_functions(), set(names)
    for name in reversed(functions):  # callees stand above their callers
        if name in wanted:
            wanted |= {other for other in functions if re.search(rf"\b{other}\(", functions[name])}
    return [text for name, text in functions.items() if name in wanted]
