"""Tensors of an ONNX file that are packed, and which of them are weights."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dlmi_bench.errors import DataError
from dlmi_bench.instruments.onnx.contents import CLASSIC, list_parameters
from dlmi_bench.instruments.onnx.faults import graph_faults
from dlmi_bench.instruments.onnx.walk import list_messages, list_nodes

if TYPE_CHECKING:
    from onnx import ModelProto, TensorProto

MAX_PARAMETERS = 2**24  # 64 MiB in float32
TYPES = "float32 float16 bfloat16 float64 bool uint4 int4 uint8 int8 uint16 int16 uint32 int32 uint64".split()
REMEDY = "give a file with at most 64 MiB of weights (in float32), in tensors of common types"
# Places of a weight and of its zero point among the inputs of an operator.
ZERO_POINTS = {
    "DequantizeLinear": (0, 2),
    "QLinearConv": (3, 5),
    "QLinearMatMul": (3, 5),
    "ConvInteger": (1, 3),
    "MatMulInteger": (1, 3),
}
BARE = ("ConvInteger", "MatMulInteger")  # without a scale, which stands before the zero point of the others


@dataclass(frozen=True)
class Constant:
    """A constant tensor.

    Attributes:
        type: Number of the type of its elements in ONNX.
        is_scale: Whether it holds scales or zero points of a weight in integers.
    """

    type: int
    array: NDArray[Any]
    is_scale: bool = False

    @property
    def is_weight(self) -> bool:
        """Tell whether it has two axes or more, and is no scale."""
        return self.array.ndim > 1 and not self.is_scale


@graph_faults()
def list_constants(model: "ModelProto") -> list[Constant]:
    """List the tensors that count as parameters (see `count_parameters`), in the order of the file.

    Args:
        model: With all of its weights in memory.

    Raises:
        DataError: numbers that lie in no tensor, are more than MAX_PARAMETERS, or of a type that is not packed.
    """
    from onnx import numpy_helper

    tensors = list_parameters(model)
    if any(node.domain == CLASSIC for node in list_nodes(model)) or any(list_messages(model, "SparseTensorProto")):
        raise DataError("numbers in lists of ai.onnx.ml or in sparse tensors are not packed", REMEDY)
    if (n := sum(prod(tensor.dims) for tensor in tensors)) > MAX_PARAMETERS:
        raise DataError(f"{n} numbers are too many to be packed", REMEDY)
    scales = {name for _, *names in _list_quantised(model) for name in names if name}
    found = []
    for tensor in tensors:
        find_dtype(tensor.data_type)
        found.append(Constant(tensor.data_type, numpy_helper.to_array(tensor), tensor.name in scales))
    return found


def find_dtype(type_: int) -> "np.dtype[Any]":
    """Find numpy's type for one of ONNX.

    Raises:
        DataError: numbers of this type are not packed.
    """
    from onnx import TensorProto, helper

    kinds: Any = TensorProto.DataType
    kind = np.dtype(helper.tensor_dtype_to_np_dtype(type_)) if type_ in kinds.values()[1:] else None
    if kind is None or not (kind.name in TYPES or kind.name.startswith("float8")):
        raise DataError(f"numbers of type {kind or type_} are not packed", REMEDY)
    return kind


@graph_faults()
def find_shift(model: "ModelProto") -> str:
    """Find why a stored 0 may not be a weight of 0, or a stored number not be one weight; empty where both are."""
    from onnx import numpy_helper

    known, quantised = _list_initialisers(model), list(_list_quantised(model))
    read = {name for names in quantised for name in names}
    weights = [tensor for tensor in list_parameters(model) if len(tensor.dims) > 1 and tensor.name not in read]
    if any("int" in find_dtype(tensor.data_type).name for tensor in weights):  # several weights may share a byte
        return "its weights are integers of operators that are not known here"
    for _, _, zero in quantised:
        if zero and (zero not in known or numpy_helper.to_array(known[zero]).astype(np.float64).any()):
            return "its weights are integers whose zero point is not 0"
    return ""


def _list_initialisers(model: "ModelProto") -> "dict[str, TensorProto]":
    return {tensor.name: tensor for field, tensor in list_messages(model, "TensorProto") if field == "initializer"}


def _list_quantised(model: "ModelProto") -> Iterator[tuple[str, str, str]]:
    """List the names of each weight in integers, of its scale and of its zero point; empty where it has none."""
    known = _list_initialisers(model)
    for node in list_nodes(model):
        place, zero = ZERO_POINTS.get(node.op_type, (0, 0))
        names = [*node.input, *[""] * zero]
        if zero and names[place] in known and len(known[names[place]].dims) > 1:
            yield names[place], "" if node.op_type in BARE else names[zero - 1], names[zero]
