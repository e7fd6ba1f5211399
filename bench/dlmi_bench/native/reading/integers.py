"""Files of 8-bit integers: what QuantizeLinear and DequantizeLinear stand around is computed in whole numbers.

A tensor between the two is kept as floats that hold whole numbers, less their zero point: all kernels take it, and
padding is 0. Sums are exact in any order as long as none can reach 2**24, which is checked for every convolution.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dlmi_bench.native.net import Tensor, Values
from dlmi_bench.native.reading.builder import Builder, Steps, format_shape, read_attributes, refuse
from dlmi_bench.native.reading.elementwise import map_numbers

if TYPE_CHECKING:
    from onnx import NodeProto

EXACT = 2**24  # below it float32 holds every whole number
LARGEST = 2**31  # below it 32 bits do
FOUR = 4  # inputs whose products are added at once
WIDTH = 16  # outputs are filled up to a multiple of it
KEEPING = frozenset(  # operators of which whole numbers come out as they came in
    ("Relu", "MaxPool", "Flatten", "Reshape", "Squeeze", "Unsqueeze", "Identity", "Dropout", "Split")
)


def read_quantize(builder: Builder, node: "NodeProto") -> None:
    """Whole numbers out of numbers; those that were dequantised by the same scale are there already."""
    steps, name = _read_steps(builder, node), node.input[0]
    if (found := builder.wholes.get(name)) and found[1] == steps:
        builder.hold(node.output[0], found[0], steps)
        return
    map_numbers(builder, node, "quantise", steps.scale, np.float32(steps.low), np.float32(steps.high))
    builder.hold(node.output[0], builder.tensors.pop(node.output[0]), steps)


def read_dequantize(builder: Builder, node: "NodeProto") -> None:
    """A constant, or whole numbers that become others once an operator asks for them."""
    values = builder.find_constant(node.input[0])
    if values is not None:
        _fold(builder, node, values)
        return
    steps = _read_steps(builder, node)
    tensor, held = builder.wholes[node.input[0]]
    if held.low != steps.low:
        raise refuse(node, "is not taken with another zero point than its numbers have")
    builder.hold(node.output[0], tensor, steps)


def _read_steps(builder: Builder, node: "NodeProto") -> Steps:
    scale, zero = builder.get_constant(node, 1), np.zeros(1, np.uint8)
    if len(node.input) > 2 and node.input[2]:
        zero = builder.get_constant(node, 2)
    if scale.size != 1 or zero.dtype not in (np.int8, np.uint8) or not scale > 0:
        raise refuse(node, "is taken with one scale for a tensor of 8 bits only")
    kind = np.iinfo(zero.dtype)
    return Steps(np.float32(scale.item()), kind.min - int(zero.item()), kind.max - int(zero.item()))


def _fold(builder: Builder, node: "NodeProto", values: Values) -> None:
    """Weights: whole numbers less their zero point, and scales that numpy spreads over them."""
    attributes = read_attributes(node)
    if attributes.get("block_size"):
        raise refuse(node, "is not taken with scales of blocks")
    scales, zero = builder.get_constant(node, 1), np.zeros(1)
    if len(node.input) > 2 and node.input[2]:
        zero = builder.get_constant(node, 2)
    spread = [-1 if i == attributes.get("axis", 1) % max(values.ndim, 1) else 1 for i in range(values.ndim)]
    scales, zero = (v.reshape(spread) if v.size > 1 else v.reshape(()) for v in (scales, zero))
    builder.folded[node.output[0]] = (values.astype(np.int64) - zero.astype(np.int64), scales.astype(np.float32))


@dataclass(frozen=True)
class WholeSum:
    """A sum over whole numbers, each output by a factor: that of its input times that of its weights.

    Attributes:
        weights: (out, ...).
        factors: (out,), float64.
        steps: Of the input.
    """

    weights: Values
    bias: Values
    factors: Values
    steps: Steps

    @property
    def largest(self) -> int:
        """Bound of the size of every sum, in any order."""
        sizes = np.abs(self.weights).reshape(len(self.weights), -1).sum(1) * max(-self.steps.low, self.steps.high)
        return int((sizes + np.abs(self.bias)).max())


def find_whole_sum(builder: Builder, node: "NodeProto", *, is_turned: bool = False) -> WholeSum | None:
    """Sum of a Conv, Gemm or MatMul of whole numbers; None where its input, weights or bias are others.

    Args:
        is_turned: The weights are (in, out).
    """
    held, folded = builder.wholes.get(node.input[0]), builder.folded.get(node.input[1])
    if held is None or folded is None:
        return None
    weights, scales = (v.T if is_turned else v for v in folded)
    n_out = len(weights)
    if scales.size > 1 and scales.shape[0] < scales.size:  # not by output
        return None
    factors = np.broadcast_to(held[1].scale * scales.astype(np.float64).reshape(-1), n_out)
    bias = np.zeros(n_out, np.int64)
    if len(node.input) > 2 and node.input[2]:
        if node.input[2] not in builder.folded:
            return None
        bias, own = (v.reshape(-1) for v in builder.folded[node.input[2]])
        if bias.size != n_out or not np.allclose(own, factors, rtol=1e-5, atol=0):
            return None
    return WholeSum(weights, bias, factors, held[1])


def add_dense(builder: Builder, node: "NodeProto", sum_: WholeSum) -> None:
    """A dense layer over bytes."""
    n_out, n_in = sum_.weights.shape
    x = builder.get_whole(node)
    if x.shape != (n_in,):
        raise refuse(node, "is taken with examples of one axis only")
    if sum_.largest + 2**8 * np.abs(sum_.weights).sum(1).max() >= LARGEST or np.abs(sum_.weights + 0.5).max() > 2**7:
        raise refuse(node, "has sums or weights that are too large for integers")
    zero, n, n_wide = -sum_.steps.low, -(-n_in // FOUR) * FOUR, -(-n_out // WIDTH) * WIDTH
    filled = np.pad(sum_.weights, ((0, n_wide - n_out), (0, n - n_in))).reshape(n_wide, -1, FOUR)
    comment = f"({n_in}, {n_out}), {FOUR} inputs beside each other, rows of {n_wide}"
    w = builder.make_array(node.input[1], "weight", filled.swapaxes(0, 1).astype(np.int8), comment)
    bias = np.pad(sum_.bias - zero * sum_.weights.sum(1), (0, n_wide - n_out))
    b = builder.make_array(node.input[1], "bias", bias, f"({n_out}), filled up to {n_wide}")
    y, row = builder.make_buffer("dense", (n_out,), n_wide), builder.make_buffer("bytes", (n // 4,))
    comment = f"({n_in}) -> ({n_out}), whole numbers"
    builder.call("dense_bytes", x, w, b, y, row, n_in, n, n_wide, zero, writes=y, comment=comment, macs=n_in * n_out)
    finish(builder, node, sum_, y)


def finish(builder: Builder, node: "NodeProto", sum_: WholeSum, y: Tensor) -> None:
    """Whole numbers of 8 bits where the file quantises the sums next, else numbers."""
    n, name, shape = (y.plane if y.plane else y.size // y.shape[0]), node.output[0], format_shape(y.shape)
    for other in builder.follow(name, "QuantizeLinear"):
        steps = _read_steps(builder, other)
        factors = builder.make_array(node.input[1], "factors", sum_.factors / steps.scale, f"({y.shape[0]})")
        bounds = np.float32(steps.low), np.float32(steps.high)
        comment = f"{shape} to 8 bits, in place"
        builder.call("requantise", y, factors, y.shape[0], n, *bounds, writes=y, comment=comment)
        builder.done.add(other.output[0])
        builder.hold(other.output[0], y, steps)
        return
    factors = builder.make_array(node.input[1], "factors", sum_.factors, f"({y.shape[0]})")
    builder.call("dequantise", y, factors, y.shape[0], n, writes=y, comment=f"{shape} in place")
    builder.bind(name, y)
