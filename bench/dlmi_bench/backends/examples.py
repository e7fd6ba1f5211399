"""Examples for a model: one array, or an array for each of its inputs; in the types and the layout of its file."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlmi_bench.errors import DataError
from dlmi_bench.instruments.onnx.ports import FLOATS, MAPS, SCORES, Signature

Rows = slice | NDArray[np.intp]


@dataclass(frozen=True)
class NamedArrays:
    """Examples of a model with several inputs: an array by input, each with the examples along its first axis.

    It has a length and is sliced like a single array.

    Raises:
        DataError: there is no array, or they hold different numbers of examples.
    """

    arrays: Mapping[str, NDArray[Any]]

    def __post_init__(self) -> None:
        sizes = {name: array.shape[:1] for name, array in self.arrays.items()}
        if len({*sizes.values()}) != 1 or () in sizes.values():
            said = ", ".join(f"{name} {size}" for name, size in sizes.items())
            raise DataError(f"inputs of different numbers of examples: {said}", "give each the same first axis")

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values())))

    def __getitem__(self, rows: Rows) -> "NamedArrays":
        return NamedArrays({name: array[rows] for name, array in self.arrays.items()})


# (example, channel, height, width) in any type and layout that the file takes, or such an array by input.
Examples = NDArray[Any] | NamedArrays


def get_arrays(examples: Examples, signature: Signature) -> Mapping[str, NDArray[Any]]:
    """Array by input, the examples along its first axis.

    Raises:
        DataError: an input has none.
    """
    arrays = examples.arrays if isinstance(examples, NamedArrays) else {signature.inputs[0].name: examples}
    if missing := [port.name for port in signature.inputs if port.name not in arrays]:
        raise DataError(
            f"the ONNX file takes the inputs {', '.join(signature.types)}; there is nothing for {', '.join(missing)}",
            "write all of them into one .npz file, each under the name of its input",
        )
    return arrays


def arrange(examples: Examples, signature: Signature) -> dict[str, NDArray[Any]]:
    """Arrays as the file takes them: of its types, examples along its axes, without gaps in memory.

    Floating-point numbers are rounded to the file's type; whole numbers must fit into it.

    Raises:
        DataError: an input has no array, or one of another kind of numbers.
    """
    arrays = get_arrays(examples, signature)
    return {
        port.name: np.ascontiguousarray(
            np.moveaxis(_convert(arrays[port.name], port.type, port.name), 0, signature.axes[port.name])
        )
        for port in signature.inputs
    }


def _convert(array: NDArray[Any], type_: str, name: str) -> NDArray[Any]:
    if array.dtype.name == type_:
        return array
    is_float = type_ in FLOATS
    if is_float == (array.dtype.kind == "f") and array.dtype.kind in "fiub":
        converted = array.astype(find_dtype(type_))
        if is_float or np.array_equal(converted, array):
            return converted
    raise DataError(
        f"the ONNX file takes {type_} for its input {name!r}, not {array.dtype}", f"write the array as {type_}"
    )


def find_dtype(type_: str) -> np.dtype[Any]:
    """Type of numpy's; bfloat16 comes from a package that registers it."""
    if type_ == "bfloat16":
        from ml_dtypes import bfloat16

        return np.dtype(bfloat16)
    return np.dtype(type_)


def read_scores(made: Any, signature: Signature) -> NDArray[np.float32]:
    """Scores as float32, the examples along their first axis; of maps a column for each class, in ascending order.

    Raises:
        DataError: they are no tensor of numbers that scores are made of, and no maps of the same classes.
    """
    output = signature.output
    if output.type not in SCORES or (output.type != MAPS and not isinstance(made, np.ndarray)):
        cause = f"its output {output.name!r} is of {output.type or type(made).__name__}, no tensor of scores"
        raise DataError(cause, "name another one with --output, or export it with scores, (batch, class)")
    if output.type == MAPS:
        if not made or any(not isinstance(scores, dict) or scores.keys() != made[0].keys() for scores in made):
            cause = f"its output {output.name!r} has no score for each class"
            raise DataError(cause, "name another one with --output")
        classes = sorted(made[0])
        return np.array([[scores[name] for name in classes] for scores in made], np.float32)
    axis = signature.output_axis
    return (np.moveaxis(made, axis, 0) if axis else made).astype(np.float32, copy=False)
