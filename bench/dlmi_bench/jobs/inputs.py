"""Examples as files, and what random ones are drawn from; test sets of models that were trained elsewhere."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlmi_bench.backends.examples import Examples, NamedArrays
from dlmi_bench.errors import DataError, UsageError
from dlmi_bench.files import is_lfs_pointer, make_lfs_error, parsing, read_bytes
from dlmi_bench.instruments.onnx.ports import FLOATS

INPUT_SEED = 0
LABELS = "y"  # in an .npz file; the others are inputs
SINGLE = "x"  # the array of a model with one input, whatever its name
REMEDY = "write it with np.savez(path, x=inputs, y=classes): numbers (n, ...) and whole numbers (n,)"


@dataclass(frozen=True)
class LabelledSet:
    """Examples and their classes, (n,) int64."""

    examples: Examples
    labels: NDArray[np.int64]

    @property
    def sha256(self) -> dict[str, str]:
        """Hashes that identify the examples, of all inputs, and the labels."""
        digest = hashlib.sha256()
        for name, array in sorted(_name_arrays(self.examples).items()):
            if not (name == SINGLE and array.dtype == np.float32):
                digest.update(f"{name} {array.dtype.name} {array.shape}\n".encode())
            digest.update(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes())
        labels = np.ascontiguousarray(self.labels, "<i8").tobytes()
        return {"test_images": digest.hexdigest(), "test_labels": hashlib.sha256(labels).hexdigest()}


def read_examples(path: Path) -> Examples:
    """Read examples of the user's: `x` or an array by input from an .npz file, whose `y` is left out.

    Raises:
        DataError: the file is unreadable, or its arrays hold no numbers or different numbers of examples.
    """
    arrays = _read_arrays(path)
    arrays.pop(LABELS, None)
    for name, array in arrays.items():
        if array.dtype.kind not in "fiub" or not array.size:
            raise DataError(f"{path}: {name} is {array.dtype} {array.shape}", REMEDY)
    named = NamedArrays(arrays)
    return arrays[SINGLE] if set(arrays) == {SINGLE} else named


def _read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    if is_lfs_pointer(path):
        raise make_lfs_error(path)
    with parsing(f"{path}: no set of examples", REMEDY), np.load(BytesIO(read_bytes(path)), allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def load_labelled(path: Path) -> LabelledSet:
    """Load an .npz file with the classes `y` and either `x` or an array by input; nothing in it is unpickled.

    Raises:
        DataError: the file is unreadable, an array is missing, or their lengths or types do not fit.
    """
    examples, labels = read_examples(path), _read_arrays(path).get(LABELS)
    if labels is None or labels.dtype.kind not in "iu" or labels.ndim != 1 or len(labels) != len(examples):
        said = "missing" if labels is None else f"{labels.dtype} {labels.shape}"
        raise DataError(f"{path}: y is {said}, for {len(examples)} examples", REMEDY)
    return LabelledSet(examples, labels.astype(np.int64))


def _name_arrays(examples: Examples) -> Mapping[str, NDArray[Any]]:
    return examples.arrays if isinstance(examples, NamedArrays) else {SINGLE: examples}


def save_examples(examples: Examples, folder: Path, name: str = "images") -> Path:
    """Write examples to `folder`, as .npy or, where there are several inputs, as .npz; returns the path."""
    if isinstance(examples, NamedArrays):
        path = folder / f"{name}.npz"
        arrays: dict[str, Any] = {**examples.arrays}
        np.savez(path, **arrays)
    else:
        path = folder / f"{name}.npy"
        np.save(path, examples, allow_pickle=False)
    return path


def load_examples(path: str | Path) -> Examples:
    """Read what `save_examples` wrote."""
    loaded = np.load(path, allow_pickle=False)
    if isinstance(loaded, np.ndarray):
        return loaded
    with loaded:
        return NamedArrays({name: loaded[name] for name in loaded.files})


def draw_examples(types: Mapping[str, str], shapes: Mapping[str, tuple[int, ...]], n: int) -> Examples:
    """Draw `n` random examples from a fixed seed.

    Standard normal numbers for floating-point inputs, 0 to 255 for uint8, 0 or 1 for all other whole numbers, which
    every table of an embedding has; ones for a mask, which hide nothing.

    Args:
        types: Type of the elements by input.
        shapes: Shape of one example by input.

    Raises:
        UsageError: they do not fit into memory.
    """
    generator = np.random.default_rng(INPUT_SEED)
    try:
        arrays = {name: _draw(generator, name, type_, (n, *shapes[name])) for name, type_ in types.items()}
    except (MemoryError, ValueError) as error:  # numpy has the second for a size that no number of 8 bytes can say
        cause = f"{n} inputs of {', '.join(map(str, shapes.values()))} do not fit into memory"
        raise UsageError(cause, "name a smaller shape or batch with --input") from error
    return NamedArrays(arrays) if len(arrays) > 1 else next(iter(arrays.values()))


def _draw(generator: np.random.Generator, name: str, type_: str, shape: tuple[int, ...]) -> NDArray[Any]:
    if type_ in FLOATS:
        return generator.standard_normal(shape).astype(np.float32)  # a runner rounds them to the type of the file
    if "mask" in name.lower():
        return np.ones(shape, type_)
    return generator.integers(0, 256 if type_ == "uint8" else 2, shape).astype(type_)


def describe_draws(examples: Examples) -> str:
    """Say in one line what inputs of whole numbers were drawn from; empty where there are none."""
    said = {
        name: "ones" if "mask" in name.lower() else "0 to 255" if array.dtype == np.uint8 else "0 or 1"
        for name, array in _name_arrays(examples).items()
        if array.dtype.kind != "f"
    }
    return "; ".join(words if name == SINGLE else f"{name}: {words}" for name, words in said.items())
