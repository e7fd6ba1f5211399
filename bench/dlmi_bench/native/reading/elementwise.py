"""Operators that act on each number alone, and those of scores: activations, sums, products, normalisation, softmax."""

from typing import TYPE_CHECKING

import numpy as np

from dlmi_bench.native.net import Shape, Values
from dlmi_bench.native.reading.builder import Builder, format_shape, read_attributes, refuse

if TYPE_CHECKING:
    from onnx import NodeProto

ACTIVATIONS = {"Relu": "relu", "LeakyRelu": "leaky_relu", "Tanh": "tangent", "Sigmoid": "sigmoid", "Log": "logarithm"}
LEAK = 0.01  # of LeakyRelu, where the file names none
EPSILON = 1e-5  # of BatchNormalization, the same
CONSTANTS = {"Add": "add_constant", "Sub": "add_constant", "Mul": "multiply_constant"}
SCALARS = {"Add": "shift", "Sub": "shift", "Mul": "scale"}
TENSORS = {"Add": "add", "Sub": "subtract", "Mul": "multiply"}


def read_activation(builder: Builder, node: "NodeProto") -> None:
    leak = [np.float32(read_attributes(node).get("alpha", LEAK))] if node.op_type == "LeakyRelu" else []
    map_numbers(builder, node, ACTIVATIONS[node.op_type], *leak)


def read_clip(builder: Builder, node: "NodeProto") -> None:
    """Bounds are inputs since version 11 of the operators, attributes before."""
    attributes, limit = read_attributes(node), float(np.finfo(np.float32).max)
    bounds = []
    for i, name, default in ((1, "min", -limit), (2, "max", limit)):
        is_given = len(node.input) > i and node.input[i]
        bounds.append(builder.get_constant(node, i).item() if is_given else attributes.get(name, default))
    map_numbers(builder, node, "clip", *(np.float32(min(max(bound, -limit), limit)) for bound in bounds))


def map_numbers(builder: Builder, node: "NodeProto", kernel: str, *parameters: np.float32) -> None:
    """Call a kernel on each number: in place where nobody else reads them, gaps and all."""
    x = builder.get_tensor(node, is_compact=False)
    if builder.can_overwrite(x):
        y, n = x, x.size if x.is_compact else x.plane * x.shape[0]
    else:
        x = builder.get_tensor(node)
        y, n = builder.make_buffer(kernel, x.shape), x.size
    comment = f"{format_shape(x.shape)}{' in place' if x is y else ''}"
    builder.bind(node.output[0], builder.call(kernel, x, y, n, *parameters, writes=y, comment=comment))


def read_arithmetic(builder: Builder, node: "NodeProto") -> None:
    """Sums and products of two tensors of one shape, or with a constant that is broadcast over one example."""
    constants = [builder.find_constant(name) for name in node.input]
    if constants[0] is None and constants[1] is None:
        x, other = (builder.get_tensor(node, i) for i in (0, 1))
        if x.shape != other.shape:
            raise refuse(node, "is taken with tensors of one shape only")
        y = x if builder.can_overwrite(x) else builder.make_buffer(TENSORS[node.op_type], x.shape)
        comment = f"{format_shape(x.shape)} twice"
        builder.bind(
            node.output[0], builder.call(TENSORS[node.op_type], x, other, y, x.size, writes=y, comment=comment)
        )
        return
    i = 0 if constants[0] is None else 1
    x, values = builder.get_tensor(node, i), constants[1 - i]
    assert values is not None
    if node.op_type == "Sub":
        if i:
            raise refuse(node, "is not taken with a constant as its first input")
        values = -values
    if values.size == 1 and values.ndim <= len(x.shape) + 1:
        map_numbers(builder, node, SCALARS[node.op_type], np.float32(values.item()))
        return
    spread = _spread(values, x.shape)
    if spread is None:
        raise refuse(node, "is taken with a constant of the shape of one example only")
    name = node.input[1 - i]
    array = builder.make_array(name, "values", spread, format_shape(x.shape))
    y = x if builder.can_overwrite(x) else builder.make_buffer("sum", x.shape)
    kernel = CONSTANTS[node.op_type]
    comment = f"{format_shape(x.shape)}, each with its constant"
    builder.bind(node.output[0], builder.call(kernel, x, array, y, x.size, writes=y, comment=comment))


def _spread(values: Values, shape: Shape) -> Values | None:
    """A constant broadcast over one example; None where it differs between examples or makes them larger."""
    try:
        made = np.broadcast_to(values, (1, *shape))
    except ValueError:
        return None
    return made[0]


def read_normalisation(builder: Builder, node: "NodeProto") -> None:
    """A normalisation that stands behind no convolution: one factor and one term for each channel."""
    x = builder.get_tensor(node)
    found = read_scales(builder, node, x.shape)
    assert found is not None
    ones = (1,) * (len(x.shape) - 1)
    factors, terms = (np.broadcast_to(v.reshape(-1, *ones), x.shape) for v in found)
    title = format_shape(x.shape)
    arrays = [
        builder.make_array(name, role, values, title)
        for name, role, values in ((node.input[1], "factors", factors), (node.input[2], "terms", terms))
    ]
    y = x if builder.can_overwrite(x) else builder.make_buffer("norm", x.shape)
    comment = f"{title} normalised"
    made = builder.call("normalise", x, *arrays, y, x.size, writes=y, comment=comment, macs=0)
    builder.bind(node.output[0], made)


def read_scales(builder: Builder, node: "NodeProto", shape: Shape) -> tuple[Values, Values] | None:
    """Factor and term for each channel (first axis of `shape`), float64, of a normalisation or a constant sum.

    None for a sum that has not one constant for each channel.
    """
    if node.op_type == "Add":
        values = next((v for name in node.input if (v := builder.find_constant(name)) is not None), None)
        ones = (1,) * (len(shape) - 1)
        if values is None or values.size != shape[0] or values.shape[values.ndim - len(shape) :] != (shape[0], *ones):
            return None
        return np.ones(shape[0]), values.reshape(-1).astype(np.float64)
    attributes = read_attributes(node)
    if attributes.get("training_mode") or len([name for name in node.output if name]) > 1:
        raise refuse(node, "is not taken in training mode")
    scale, bias, mean, variance = (builder.get_constant(node, i).astype(np.float64) for i in (1, 2, 3, 4))
    factor = scale / np.sqrt(variance + attributes.get("epsilon", EPSILON))
    if not np.isfinite(factor).all():
        raise refuse(node, "has a variance that is no positive number")
    return factor, bias - mean * factor


def read_softmax(builder: Builder, node: "NodeProto") -> None:
    x = builder.get_tensor(node)
    last, axis = len(x.shape), read_attributes(node).get("axis", -1 if _is_new(builder) else 1)
    if last != 1 or axis not in (-1, 1):
        raise refuse(node, "is taken over examples of one axis only, and over that one")
    kernel = "softmax" if node.op_type == "Softmax" else "log_softmax"
    y = builder.make_buffer(kernel, x.shape)
    builder.bind(node.output[0], builder.call(kernel, x, y, x.size, writes=y, comment=format_shape(x.shape)))


def _is_new(builder: Builder) -> bool:
    """The axis of softmax was the second before version 13 of the operators; with two axes both are the same."""
    return any(entry.domain == "" and entry.version >= 13 for entry in builder.scope.model.opset_import)
