"""Arrays that are costly to make, kept on disk: written whole or not at all, and checked before they are used."""

import hashlib
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlmi_bench.closure import hash_code
from dlmi_tasks.files.archives import atomic_file, cache_dir

ArrayDict = dict[str, NDArray[Any]]


def compute_key(*parts: object, modules: tuple[str, ...]) -> str:
    """Name of a cached file: changes with what was asked for and with the code of `modules` (`tasks.x.y`) behind it."""
    digest = hashlib.sha256(repr(parts).encode())
    digest.update(hash_code(modules).encode())
    return digest.hexdigest()[:16]


def load_or_make(
    name: str, make: Callable[[], ArrayDict], *, cache: Path | None = None, is_small: bool = False
) -> ArrayDict:
    """The kept arrays, or what `make` returns, which is then kept. Safe when several processes ask at once.

    Args:
        is_small: Compress the file, which is slow for large arrays.
    """
    from filelock import FileLock

    path = (cache or cache_dir()) / "data" / f"{name}.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock"):
        arrays = _read(path)
        if arrays is None:
            arrays = make()
            save = np.savez_compressed if is_small else np.savez
            with atomic_file(path) as file:
                save(file, digest=np.array(_compute_digest(arrays)), **arrays)  # type: ignore[arg-type]
    return arrays


def _read(path: Path) -> ArrayDict | None:
    """Read the arrays in `path`. None where the file is missing, damaged or altered and has to be made again."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
            arrays = {name: kept[name] for name in kept.files if name != "digest"}
            digest = str(kept["digest"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    return arrays if digest == _compute_digest(arrays) else None


def _compute_digest(arrays: ArrayDict) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
