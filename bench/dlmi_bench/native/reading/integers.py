"""Files of 8-bit integers: what QuantizeLinear and DequantizeLinear stand around is computed in whole numbers.

A tensor between the two is kept as floats that hold whole numbers, less their zero point: all kernels take it, and
padding is 0. Sums are exact in any order as long as none can reach 2**24, which is checked for every convolution.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dlmi_bench.native.net import SLACK, Tensor, Values
from dlmi_bench.native.reading.builder import Builder, Steps, format_shape, read_attributes, refuse
from dlmi_bench.native.reading.elementwise import map_numbers

if TYPE_CHECKING:
    from onnx import NodeProto

EXACT = 2**24  # below it float32 holds every whole number
LARGEST = 2**31  # below it 32 bits do
WIDTH = 16  # inputs and outputs are filled up to a multiple of it
ORDER = [4 * (i % 4) + i // 4 for i in range(WIDTH)]  # of 16 outputs: sums of four vectors come out as 0, 1, 2, ...
NEAR = 8  # numbers of float32 to either side
N_INVERSES = 4  # that are tried
KEEPING = frozenset(  # operators of which whole numbers come out as they came in
    ("Relu", "MaxPool", "Flatten", "Reshape", "Squeeze", "Unsqueeze", "Identity", "Dropout", "Split")
)


def read_quantize(builder: Builder, node: "NodeProto") -> None:
    """Whole numbers out of numbers; those that were dequantised by the same scale are there already."""
    steps, name = _read_steps(builder, node), node.input[0]
    if (found := builder.wholes.get(name)) and found[1] == steps:
        builder.hold(node.output[0], found[0], steps)
        return
    if (parts := find_inverse(steps)) is None:
        raise refuse(node, f"has a scale that is too small or too large for float32, {steps.scale}")
    map_numbers(builder, node, "quantise", steps.scale, *parts, np.float32(steps.low), np.float32(steps.high))
    builder.hold(node.output[0], builder.tensors.pop(node.output[0]), steps)


def find_inverse(steps: Steps) -> tuple[np.float32, np.float32] | None:
    """1 / scale as two numbers whose product with x, rounded once, is nearest to the whole number that x / scale is.

    Both rise with x, so that all x are right where those about every half are: they differ by less than NEAR there. The
    second number is above 0, as the product with an infinite x has to be infinite.
    """
    scale = steps.scale
    halves = np.arange(steps.low - 1, steps.high + 1) + 0.5
    with np.errstate(all="ignore"):
        middle = (halves * np.float64(scale)).astype(np.float32)[:, None]
        x = (middle + np.arange(-NEAR, NEAR + 1) * np.spacing(middle)).astype(np.float32)
        inverse = np.float32(1 / np.float64(scale))
        for _ in range(N_INVERSES):
            inverse = np.nextafter(inverse, np.float32(0))
            rest = np.float32(1 / np.float64(scale) - np.float64(inverse))
            product = x.astype(np.float64) * np.float64(inverse) + (x * rest).astype(np.float64)  # exact in float64
            if 0 < rest < np.inf and np.array_equal(np.rint(product.astype(np.float32)), np.rint(x / scale)):
                return inverse, rest
    return None


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
    zero, n, n_wide = -sum_.steps.low, *(-(-size // WIDTH) * WIDTH for size in (n_in, n_out))
    filled = np.pad(sum_.weights, ((0, n_wide - n_out), (0, n - n_in)))
    tiles = filled.reshape(-1, WIDTH, n // WIDTH, WIDTH)[:, ORDER].swapaxes(1, 2)
    comment = f"({n_out}, {n_in}), {WIDTH} inputs of {WIDTH} outputs beside each other"
    w = builder.make_array(node.input[1], "weight", tiles.astype(np.int8), comment)
    bias = np.pad(sum_.bias - zero * sum_.weights.sum(1), (0, n_wide - n_out))
    b = builder.make_array(node.input[1], "bias", bias, f"({n_out}), filled up to {n_wide}")
    row = builder.make_buffer("bytes", (n // 4,))
    builder.call("pack_bytes", x, row, n_in, n, zero, writes=row, comment=f"({n_in}) to bytes")
    y = builder.make_buffer("dense", (n_out,), n_wide)
    comment = f"({n_in}) -> ({n_out}), whole numbers"
    builder.call("dense_bytes", row, w, b, y, n, n_wide, writes=y, comment=comment, macs=n_in * n_out)
    finish(builder, node, sum_, y)


def finish(builder: Builder, node: "NodeProto", sum_: WholeSum, y: Tensor) -> None:
    """Whole numbers of 8 bits where the file quantises the sums next, else numbers."""
    n, name, shape = (y.plane if y.plane else y.size // y.shape[0]), node.output[0], format_shape(y.shape)
    for other in builder.follow(name, "QuantizeLinear"):
        steps = _read_steps(builder, other)
        n_wide = builder.sizes[y.buffer] - SLACK if n == 1 else y.shape[0]
        values = np.pad(sum_.factors / steps.scale, (0, n_wide - y.shape[0]))
        factors = builder.make_array(node.input[1], "factors", values, f"({y.shape[0]})")
        bounds = np.float32(steps.low), np.float32(steps.high)
        comment = f"{shape} to 8 bits, in place"
        kernel, sizes = ("requantise_each", (n_wide,)) if n == 1 else ("requantise", (y.shape[0], n))
        builder.call(kernel, y, factors, *sizes, *bounds, writes=y, comment=comment)
        builder.done.add(other.output[0])
        builder.hold(other.output[0], y, steps)
        return
    factors = builder.make_array(node.input[1], "factors", sum_.factors, f"({y.shape[0]})")
    builder.call("dequantise", y, factors, y.shape[0], n, writes=y, comment=f"{shape} in place")
    builder.bind(name, y)
