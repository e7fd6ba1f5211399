"""Records of a net on its way from ONNX to C: tensors in one scratch memory, constant arrays, calls of kernels.

Everything is about one example: the batch has no place here. Tensors of images are (channel, height, width).
"""

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlmi_bench.instruments.roofline import BYTES_PER_VALUE

Shape = tuple[int, ...]
Values = NDArray[Any]

SLACK = 64  # numbers behind every buffer that kernels may read and write: their vectors end where they end
UNPACKING = ("scale_columns", "scale_blocks")  # kernels that make weights out of whole numbers
BYTES = "dense_bytes"  # the kernel that multiplies bytes
INPUT = "input"  # the buffer that the caller gives


@dataclass(frozen=True)
class Tensor:
    """Numbers of one example in a buffer.

    Attributes:
        offset: First number in the buffer.
        row, plane: Numbers from one row, or channel, to the next; 0 where there are no gaps.
    """

    buffer: str
    shape: Shape
    offset: int = 0
    row: int = 0
    plane: int = 0

    @property
    def size(self) -> int:
        """Numbers of the tensor, without gaps."""
        return prod(self.shape)

    @property
    def is_compact(self) -> bool:
        return not self.plane

    @property
    def row_stride(self) -> int:
        return self.row or self.shape[2]

    @property
    def plane_stride(self) -> int:
        return self.plane or self.shape[1] * self.shape[2]


@dataclass(frozen=True)
class Array:
    """A constant array: float32, int32 of offsets, int8, or uint32 of packed numbers; `comment` says its shape."""

    name: str
    values: Values
    comment: str

    @property
    def size_bytes(self) -> int:
        return int(self.values.nbytes)


Argument = Tensor | Array | int | float | np.float32


@dataclass(frozen=True)
class Call:
    """One call of a kernel.

    Attributes:
        kernel: Name of the function, and of its file in `kernels/`.
        reads, writes: Tensors among its arguments.
        macs: Multiply-accumulates by the formula of the operator, without what fills up vectors.
    """

    kernel: str
    arguments: tuple[Argument, ...]
    reads: tuple[Tensor, ...]
    writes: Tensor
    comment: str
    macs: int = 0


@dataclass(frozen=True)
class Net:
    """A net in the order of its calls.

    Attributes:
        input_shape, output_shape: Of one example, as the ONNX file states them.
        output: Tensor of the scores.
        sizes: Numbers by buffer, SLACK included.
        n_parameters: Numbers of weights in the ONNX file.
        precision: Coarsest type of numbers that it computes with: float32, int8 or int4.
    """

    input_shape: Shape
    output_shape: Shape
    output: Tensor
    calls: tuple[Call, ...]
    arrays: tuple[Array, ...]
    sizes: dict[str, int]
    n_parameters: int
    precision: str

    @property
    def macs(self) -> int:
        return sum(call.macs for call in self.calls)

    @property
    def float_macs(self) -> int:
        """Multiply-accumulates in float32; those of bytes take other instructions."""
        return sum(call.macs for call in self.calls if call.kernel != BYTES)

    @property
    def parameter_bytes(self) -> int:
        """Bytes of the parameters: one each in a net that multiplies bytes, else four."""
        return self.n_parameters * (1 if self.float_macs < self.macs else BYTES_PER_VALUE)

    @property
    def is_packed(self) -> bool:
        """Check for weights that are unpacked before they are read."""
        return any(call.kernel in UNPACKING for call in self.calls)

    @property
    def weight_bytes(self) -> int:
        """Bytes of all constant arrays, with the zeros that fill up vectors."""
        return sum(array.size_bytes for array in self.arrays)
