"""Operators that move numbers and change none: shapes, parts and concatenations of channels."""

from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING

from dlmi_bench.native.reading.builder import Builder, format_shape, read_attributes, refuse

if TYPE_CHECKING:
    from onnx import NodeProto


def read_reshape(builder: Builder, node: "NodeProto") -> None:
    """The same numbers under another shape; any operator that keeps the examples along the first axis."""
    if len(node.output) > 1 and any(builder.uses[name] for name in node.output[1:]):
        raise refuse(node, "is taken with its first output only")
    x, shape = builder.get_tensor(node), builder.find_shape(node, node.output[0])
    if prod(shape) != x.size:
        raise refuse(node, "mixes the numbers of several examples")
    builder.bind(node.output[0], builder.reshape(x, shape))


def read_unsqueeze(builder: Builder, node: "NodeProto") -> None:
    """Another axis, an input since version 13 of the operators; before that of the examples, it begins a stack."""
    axes = builder.get_constant(node, 1).tolist() if len(node.input) > 1 else read_attributes(node)["axes"]
    x, shape = builder.get_tensor(node), builder.find_shape(node, node.output[0], is_stack=list(axes) == [0])
    builder.bind(node.output[0], builder.reshape(x, shape))


def read_split(builder: Builder, node: "NodeProto") -> None:
    """Parts of the channels; they stay where they are."""
    x = builder.get_tensor(node)
    if read_attributes(node).get("axis", 0) not in (1, -len(x.shape)):
        raise refuse(node, "is taken along the channels only")
    builder.shared.add(x.buffer)
    offset = x.offset
    for name in node.output:
        shape = builder.find_shape(node, name)
        builder.bind(name, replace(x, shape=shape, offset=offset))
        offset += prod(shape)


def read_concat(builder: Builder, node: "NodeProto") -> None:
    parts = [builder.get_tensor(node, i) for i in range(len(node.input))]
    is_stack = builder.stacks.issuperset(node.input)
    shape = builder.find_shape(node, node.output[0], is_stack=is_stack)
    if read_attributes(node)["axis"] % (len(shape) + 1) != (0 if is_stack else 1):
        raise refuse(node, "is taken along the channels only")
    y = builder.make_buffer("concat", shape)
    offset = 0
    for part in parts:
        place = replace(y, shape=part.shape, offset=offset)
        builder.call("copy", part, place, part.size, writes=place, comment=f"{format_shape(part.shape)} of {shape[0]}")
        offset += part.size
    builder.bind(node.output[0], y)
