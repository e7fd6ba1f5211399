"""Convolutions: sums over taps, each an offset into the padded input.

The input is laid out so that an output and its right neighbour read neighbours at every tap: rows with their padding,
and for strides above 1 one plane for each remainder of the coordinates. A tap is then one offset, for any kernel,
stride and dilation, and the positions of an output plane are one long row, with a few in between that nobody reads.
"""

from typing import TYPE_CHECKING

import numpy as np

from dlmi_bench.native.net import INPUT, Tensor, Values
from dlmi_bench.native.reading.builder import Builder, format_shape, read_attributes, refuse
from dlmi_bench.native.reading.elementwise import read_scales
from dlmi_bench.native.reading.integers import EXACT, find_whole_sum, finish
from dlmi_bench.native.reading.taps import TapSum
from dlmi_bench.native.reading.window import Window, read_window

if TYPE_CHECKING:
    from onnx import NodeProto


def read_conv(builder: Builder, node: "NodeProto") -> None:
    """Lay out the input, sum over taps; a normalisation behind it goes into its weights."""
    weights, name = builder.get_constant(node, 1).astype(np.float64), node.output[0]
    n_out, _, *kernel = weights.shape
    bias = builder.get_constant(node, 2) if len(node.input) > 2 and node.input[2] else np.zeros(n_out)
    shape, sum_ = builder.find_shape(node, name), find_whole_sum(builder, node)
    x = builder.get_whole(node, is_compact=False) if sum_ else builder.get_tensor(node, is_compact=False)
    window = read_window(node, tuple(kernel), x.shape, shape)
    if sum_:
        weights, bias = sum_.weights.astype(np.float64), sum_.bias.astype(np.float64)
        if sum_.largest >= EXACT:
            raise refuse(node, f"has sums of whole numbers that may reach {EXACT}, which float32 does not hold")
    for other in () if sum_ else builder.follow(name, "BatchNormalization", "Add"):
        if scales := read_scales(builder, other, (n_out, 1, 1)):
            weights, bias = weights * scales[0].reshape(-1, 1, 1, 1), bias * scales[0] + scales[1]
            name = other.output[0]
            builder.done.add(name)
    n_groups = read_attributes(node).get("group", 1)
    laid, phase = _lay_out(builder, x, window, shape)
    offsets = _list_taps(laid, phase, window)
    taps = builder.make_array(node.input[1], "taps", offsets, f"offsets of ({kernel[0]}, {kernel[1]}) in a channel")
    comment = f"{format_shape(x.shape)} -> {format_shape(shape)}, {kernel[0]}x{kernel[1]}"
    comment += f" in {n_groups} groups" if n_groups > 1 else ""
    made = TapSum(node.input[1], laid, taps, weights.reshape(n_out, -1), bias, shape, n_groups).add(builder, comment)
    if sum_:
        finish(builder, node, sum_, made)
    else:
        builder.bind(name, made)


def _lay_out(builder: Builder, x: Tensor, window: Window, shape: tuple[int, ...]) -> tuple[Tensor, int]:
    """The input with its padding, in planes by remainder, and the numbers of such a plane.

    Without padding and strides it is taken as it is.
    """
    (sy, sx), (top, left) = window.strides, window.before
    is_plain = (sy, sx, top, left, *window.behind) == (1, 1, 0, 0, 0, 0)
    if is_plain and x.buffer != INPUT:  # vectors read beyond the end, where only our own buffers have room
        return x, x.plane_stride
    c, h, w = x.shape
    height = -(-max(window.find_reach(0, shape[1]), h + top) // sy)
    width = -(-max(window.find_reach(1, shape[2]), w + left) // sx)
    plane = sy * sx * height * width
    laid = builder.make_buffer("padded", (c, h, w), c * plane, row=width, plane=plane)
    place = (c, h, w, x.row_stride, x.plane_stride)
    comment = f"{format_shape(x.shape)} in rows of {width}"
    if sy == sx == 1:
        arguments = (x, laid, *place, top, left, height, width, np.float32(0))
        return builder.call("pad", *arguments, writes=laid, comment=f"{comment}, padded"), height * width
    comment += f", {sy * sx} planes a channel"
    builder.call("spread", x, laid, *place, top, left, height, width, sy, sx, writes=laid, comment=comment)
    return laid, height * width


def _list_taps(laid: Tensor, phase: int, window: Window) -> Values:
    """Offset of each tap (y, x) of a channel from the position of the output."""
    (sy, sx), (dy, dx) = window.strides, window.dilations
    offsets = [
        (y * dy % sy * sx + x * dx % sx) * phase + y * dy // sy * laid.row_stride + x * dx // sx
        for y in range(window.kernel[0])
        for x in range(window.kernel[1])
    ]
    return np.array(offsets, np.int32)


def read_pad(builder: Builder, node: "NodeProto") -> None:
    """Constant numbers around images."""
    attributes = read_attributes(node)
    x, shape = builder.get_tensor(node, is_compact=False), builder.find_shape(node, node.output[0])
    pads = builder.get_constant(node, 1) if len(node.input) > 1 else np.array(attributes["pads"])
    value = (
        builder.get_constant(node, 2).item() if len(node.input) > 2 and node.input[2] else attributes.get("value", 0)
    )
    is_image = len(x.shape) == 3 and pads.size == 8 and (len(node.input) < 4 or not node.input[3])
    if attributes.get("mode", "constant") != "constant" or not is_image or pads.min() < 0 or pads[[0, 1, 4, 5]].any():
        raise refuse(node, "is taken with constant numbers around images only")
    c, h, w = x.shape
    y = builder.make_buffer("around", shape)
    place = (c, h, w, x.row_stride, x.plane_stride, int(pads[2]), int(pads[3]), *shape[1:])
    comment = f"{format_shape(x.shape)} -> {format_shape(shape)}"
    builder.bind(node.output[0], builder.call("pad", x, y, *place, np.float32(value), writes=y, comment=comment))
