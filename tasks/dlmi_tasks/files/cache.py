"""Arrays that are costly to make, kept on disk: written whole or not at all, and checked before they are used."""

import hashlib
import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dlmi_bench.closure import hash_code
from dlmi_bench.errors import DataError
from dlmi_bench.files import parsing
from dlmi_tasks.files.archives import cache_dir
from dlmi_tasks.files.disk import hold, keep
from dlmi_tasks.files.limits import MIB

ArrayDict = dict[str, NDArray[Any]]
MAX_KEPT_BYTES = 256 * MIB  # of compressed arrays, the largest ours has 160; others are as large as their file


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
    path = (cache or cache_dir()) / "data" / f"{name}.npz"
    save = np.savez_compressed if is_small else np.savez
    with hold(path):
        arrays = _read(path)
        if arrays is None:
            arrays = make()
            digest = np.array(_compute_digest(arrays))
            keep(path, lambda file: save(file, digest=digest, **arrays))  # type: ignore[arg-type]
    return arrays


def _read(path: Path) -> ArrayDict | None:
    """Read the arrays in `path`. None where the file is missing, damaged or altered and has to be made again."""
    try:
        with parsing(f"{path}: no kept arrays", "make them again"):
            arrays = load_arrays(path)
            digest = str(arrays.pop("digest"))
            return arrays if digest == _compute_digest(arrays) else None
    except DataError:
        return None


def load_arrays(path: Path) -> ArrayDict:
    """All arrays of an .npz file, whose checksums are verified. Damage raises what its parsers raise."""
    arrays = {}
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if sum(member.file_size for member in members) > max(MAX_KEPT_BYTES, path.stat().st_size):
            raise ValueError(f"holds more than {MAX_KEPT_BYTES / MIB:.0f} MiB")
        for member in members:
            with archive.open(member) as file:
                arrays[member.filename.removesuffix(".npy")] = parse_array(file.read(member.file_size + 1))
    return arrays


def parse_array(content: bytes) -> NDArray[Any]:
    """The array of an .npy file; numpy's own reader makes room for whatever size the header claims."""
    stream = io.BytesIO(content)
    if np.lib.format.read_magic(stream) != (1, 0):
        raise ValueError("an .npy header of another version")
    shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    if dtype.hasobject:
        raise ValueError("objects, which would be addresses")
    order: Literal["F", "C"] = "F" if is_fortran else "C"
    return np.ndarray(shape, dtype, content, stream.tell(), order=order).copy(order)


def _compute_digest(arrays: ArrayDict) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
