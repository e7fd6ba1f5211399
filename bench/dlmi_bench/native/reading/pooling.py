"""Pooling: the largest or the mean of windows, or of whole channels."""

from typing import TYPE_CHECKING

from dlmi_bench.native.net import INPUT
from dlmi_bench.native.reading.builder import Builder, format_shape, read_attributes, refuse
from dlmi_bench.native.reading.window import Window, read_window

if TYPE_CHECKING:
    from onnx import NodeProto


def read_max_pool(builder: Builder, node: "NodeProto") -> None:
    if any(builder.uses[name] for name in node.output[1:]):
        raise refuse(node, "is taken without its indices only")
    _pool(builder, node, "max_pool")


def read_average_pool(builder: Builder, node: "NodeProto") -> None:
    """Padding counts as zeros where the file says so."""
    _pool(builder, node, "average_pool", int(bool(read_attributes(node).get("count_include_pad"))))


def _pool(builder: Builder, node: "NodeProto", kernel: str, *is_padded: int) -> None:
    """Windows are cut at the border of the image; what lies outside takes no part, or is 0 in a mean that is padded."""
    x, shape = builder.get_tensor(node, is_compact=False), builder.find_shape(node, node.output[0])
    window = read_window(node, tuple(read_attributes(node)["kernel_shape"]), x.shape, shape)
    if window.dilations != (1, 1):
        raise refuse(node, "is not taken with dilations")
    if any(is_padded) and not _is_covered(window, x.shape, shape):
        raise refuse(node, "is not taken with windows that leave the padding and count it")
    is_clipped = any(window.before) or not _is_covered(window, x.shape, shape, is_padded=False)
    y = builder.make_buffer("pool", shape)
    (kh, kw), (sy, sx), (top, left) = window.kernel, window.strides, window.before
    place = (x.shape[0], *x.shape[1:], x.row_stride, x.plane_stride, *shape[1:], kh, kw, sy, sx, top, left, *is_padded)
    if not is_clipped:
        is_paired = kernel == "max_pool" and window.kernel == window.strides == (2, 2) and x.buffer != INPUT
        place = (x.shape[0], x.row_stride, x.plane_stride, *shape[1:], *(() if is_paired else (kh, kw, sy, sx)))
        kernel = "max_pool_pairs" if is_paired else f"{kernel}_inside"
    comment = f"{format_shape(x.shape)} -> {format_shape(shape)}, {kh}x{kw}"
    builder.bind(node.output[0], builder.call(kernel, x, y, *place, writes=y, comment=comment))


def _is_covered(window: Window, inside: tuple[int, ...], outside: tuple[int, ...], *, is_padded: bool = True) -> bool:
    """Check that no window leaves the image, or its padding."""
    padding = [window.before[i] + window.behind[i] if is_padded else 0 for i in (0, 1)]
    return all(window.find_reach(i, outside[i + 1]) <= inside[i + 1] + padding[i] for i in (0, 1))


def read_global_average(builder: Builder, node: "NodeProto") -> None:
    _average(builder, node)


def read_mean(builder: Builder, node: "NodeProto") -> None:
    """A mean over height and width; the axes are an input since version 18 of the operators."""
    attributes = read_attributes(node)
    is_input = len(node.input) > 1 and node.input[1]
    axes = builder.get_constant(node, 1).tolist() if is_input else attributes.get("axes", ())
    if node.input[0] in builder.stacks and list(axes) == [0]:
        _average_stack(builder, node, is_stack=bool(attributes.get("keepdims", 1)))
        return
    if sorted(axis % 4 for axis in axes) != [2, 3]:
        raise refuse(node, "is taken over height and width of images only")
    _average(builder, node)


def _average_stack(builder: Builder, node: "NodeProto", *, is_stack: bool) -> None:
    x, shape = builder.get_tensor(node), builder.find_shape(node, node.output[0], is_stack=is_stack)
    y = builder.make_buffer("mean", shape)
    sizes, comment = (x.shape[0], y.size), f"{format_shape(x.shape)} -> {format_shape(shape)}"
    builder.bind(node.output[0], builder.call("stack_means", x, y, *sizes, writes=y, comment=comment))


def _average(builder: Builder, node: "NodeProto") -> None:
    x, shape = builder.get_tensor(node, is_compact=False), builder.find_shape(node, node.output[0])
    if len(x.shape) != 3:
        raise refuse(node, "is taken over height and width of images only")
    y = builder.make_buffer("mean", shape)
    place = (*x.shape, x.row_stride, x.plane_stride)
    comment = f"{format_shape(x.shape)} -> {format_shape(shape)}"
    builder.bind(node.output[0], builder.call("channel_means", x, y, *place, writes=y, comment=comment))
