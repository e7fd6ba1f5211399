"""The net as it grows while an ONNX graph is read: what each name stands for, and the calls so far."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from dlmi_bench.errors import DataError
from dlmi_bench.instruments.onnx.shapes import Scope
from dlmi_bench.native.net import INPUT, SLACK, Argument, Array, Call, Shape, Tensor, Values

if TYPE_CHECKING:
    from onnx import NodeProto

MAX_NAME = 32  # characters of an array's name
REMEDY = "use another backend, or export the network without it"


def refuse(node: "NodeProto", why: str = "is not among the operators that are written in C") -> DataError:
    """Error that names the operator; what the file says is quoted, for a reader and never for a compiler."""
    return DataError(f"operator {node.op_type[:40]!r} {why}", REMEDY)


@dataclass(frozen=True)
class Steps:
    """Whole numbers, less their zero point, that times a scale are the numbers of a tensor; with their bounds."""

    scale: np.float32
    low: int
    high: int


@dataclass
class Builder:
    """What is known of a graph while its nodes are read in order.

    Attributes:
        batch: Size of the first axis of every tensor in `scope`.
        uses: Readers by tensor name, the graph's output included.
        followers: Nodes that read a tensor, by its name.
        done: Names of tensors whose nodes were read together with an earlier one.
        shared: Buffers that several names stand for; nothing is written over them.
        wholes: Tensors of whole numbers by name, that of the numbers which they stand for included.
        folded: Whole numbers of constants by name, and scales that numpy spreads over them.
        stacks: Tensors by name whose second axis is that of the examples, with several tensors along the first.
        is_packed: Weights of few values are constants of few bits, which each call unpacks.
    """

    scope: Scope
    batch: int
    uses: Counter[str]
    followers: dict[str, list["NodeProto"]]
    is_packed: bool
    tensors: dict[str, Tensor] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    arrays: dict[str, Array] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    done: set[str] = field(default_factory=set)
    shared: set[str] = field(default_factory=set)
    stacks: set[str] = field(default_factory=set)
    wholes: dict[str, tuple[Tensor, Steps]] = field(default_factory=dict)
    folded: dict[str, tuple[Values, Values]] = field(default_factory=dict)

    def get_tensor(self, node: "NodeProto", i: int = 0, *, is_compact: bool = True) -> Tensor:
        """An input of a node that depends on the example; without gaps if `is_compact`.

        Raises:
            DataError: it is a constant, or missing.
        """
        name = node.input[i] if i < len(node.input) else ""
        if (tensor := self.find_tensor(name)) is None:
            raise refuse(node, "is taken with the examples as its inputs only, not with a constant")
        return self.crop(tensor) if is_compact and not tensor.is_compact else tensor

    def find_tensor(self, name: str) -> Tensor | None:
        """A tensor that depends on the example; whole numbers become those that they stand for."""
        if name not in self.tensors and name in self.wholes:
            whole, steps = self.wholes[name]
            y = self.make_buffer("real", whole.shape)
            x = whole if whole.is_compact else self.crop(whole)
            comment = f"{format_shape(whole.shape)} out of whole numbers"
            self.bind(name, self.call("scale", x, y, y.size, steps.scale, writes=y, comment=comment))
        return self.tensors.get(name)

    def is_quantised(self, name: str) -> bool:
        """Check for whole numbers that are whole in the file too."""
        from onnx import TensorProto

        return name in self.wholes and self.scope.types.get(name) != TensorProto.FLOAT

    def get_whole(self, node: "NodeProto", *, is_compact: bool = True) -> Tensor:
        """The first input of a node as whole numbers, which it is."""
        tensor = self.wholes[node.input[0]][0]
        return self.crop(tensor) if is_compact and not tensor.is_compact else tensor

    def hold(self, name: str, tensor: Tensor, steps: Steps) -> None:
        """Let a name of the graph stand for whole numbers; several readers of it share their buffer."""
        self.wholes[name] = tensor, steps
        if self.uses[name] > 1:
            self.shared.add(tensor.buffer)

    def find_constant(self, name: str) -> Values | None:
        """Values of a tensor that the file holds; None for all others.

        Raises:
            DataError: they are not finite.
        """
        from onnx import numpy_helper

        if name in self.folded:
            whole, scales = self.folded[name]
            return whole.astype(np.float32) * scales
        if name not in self.scope.constants:
            return None
        values: Values = numpy_helper.to_array(self.scope.constants[name])
        if values.dtype.kind == "f" and not np.isfinite(values.astype(np.float32)).all():
            raise DataError("a weight is not finite in float32 (NaN or infinite)", "train or export the network again")
        return values

    def get_constant(self, node: "NodeProto", i: int) -> Values:
        """An input of a node that is a constant.

        Raises:
            DataError: it is not.
        """
        values = self.find_constant(node.input[i]) if i < len(node.input) else None
        if values is None:
            raise refuse(node, f"is taken with a constant as input {i} only")
        return values

    def find_shape(self, node: "NodeProto", name: str, *, is_stack: bool = False) -> Shape:
        """Shape of one example of a tensor, which from now on is a stack or none.

        Raises:
            DataError: it is not known, or examples do not stand along its first axis.
        """
        shape = self.scope.shapes.get(name, ())
        axis = 1 if is_stack else 0
        if shape[axis : axis + 1] != (self.batch,) or 0 in shape:
            raise refuse(node, "makes a tensor whose first axis is not that of the examples")
        if is_stack:
            self.stacks.add(name)
        return shape[:axis] + shape[axis + 1 :]

    def make_buffer(self, kind: str, shape: Shape, size: int = 0, **strides: int) -> Tensor:
        """A tensor in a new buffer of at least `size` numbers, named after its kind."""
        n = sum(re.fullmatch(rf"{kind}\d+", name) is not None for name in self.sizes)
        tensor = Tensor(f"{kind}{n + 1}", shape, **strides)
        self.sizes[tensor.buffer] = max(size, tensor.size) + SLACK
        return tensor

    def make_array(self, name: str, role: str, values: Values, comment: str) -> Array:
        """A constant array; its name is made of letters and digits of `name`, and ends with its role."""
        stem = re.sub(r"(\.(weight|bias|weight_bias))?(_DequantizeLinear_Output)?$", "", name)
        stem = re.sub(r"[^a-zA-Z0-9]+", "_", stem)[-MAX_NAME:].strip("_").lower()
        stem = stem if stem[:1].isalpha() else f"net{'_' if stem else ''}{stem}"
        unique = f"{stem}_{role}"
        for i in range(2, len(self.arrays) + 3):
            if unique not in self.arrays:
                break
            unique = f"{stem}_{i}_{role}"
        if values.dtype not in (np.int8, np.uint32):
            values = values.astype(np.int32 if values.dtype.kind == "i" else np.float32)
        self.arrays[unique] = Array(unique, values, comment)
        return self.arrays[unique]

    def call(self, kernel: str, *arguments: Argument, writes: Tensor, comment: str, macs: int = 0) -> Tensor:
        """Add a call; every tensor among its arguments but the one that it writes is read."""
        reads = tuple(a for a in arguments if isinstance(a, Tensor) and a is not writes)
        self.calls.append(Call(kernel, arguments, reads, writes, comment, macs))
        return writes

    def bind(self, name: str, tensor: Tensor) -> None:
        """Let a name of the graph stand for a tensor; several readers of it share its buffer."""
        self.tensors[name] = tensor
        if self.uses[name] > 1:
            self.shared.add(tensor.buffer)

    def crop(self, tensor: Tensor) -> Tensor:
        """The same numbers without gaps."""
        made = self.make_buffer("crop", tensor.shape)
        c, h, w = tensor.shape
        return self.call(
            *("crop", tensor, made, c, h, w, tensor.row_stride, tensor.plane_stride),
            writes=made,
            comment=f"{format_shape(tensor.shape)} without gaps",
        )

    def follow(self, name: str, *kinds: str) -> Iterator["NodeProto"]:
        """The only reader of a tensor, if it is of one of these kinds."""
        readers = self.followers.get(name, [])
        if self.uses[name] == 1 and readers and readers[0].op_type in kinds:
            yield readers[0]

    def can_overwrite(self, tensor: Tensor) -> bool:
        """Check that nobody reads the buffer of this tensor later, and that it has no other numbers."""
        return tensor.buffer not in (*self.shared, INPUT) and tensor.offset == 0

    def reshape(self, tensor: Tensor, shape: Shape) -> Tensor:
        return replace(tensor, shape=shape)


def format_shape(shape: Shape) -> str:
    return f"({', '.join(map(str, shape))})"


def read_attributes(node: "NodeProto") -> dict[str, Any]:
    """Attributes by name; text is decoded."""
    from onnx import helper

    found = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    return {name: value.decode() if isinstance(value, bytes) else value for name, value in found.items()}
