"""An ONNX file read as a chain of layers; what is not among them is refused by the operator's name."""

from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dlmi_bench.errors import DataError
from dlmi_bench.firmware.net import Layer, Shape, Values
from dlmi_bench.instruments.onnx.faults import graph_faults
from dlmi_bench.native.reading.builder import Builder, read_attributes
from dlmi_bench.native.reading.file import open_net
from dlmi_bench.native.reading.window import read_window

if TYPE_CHECKING:
    from onnx import NodeProto

TAKEN = "Conv, Gemm, MatMul with Add, Relu, LeakyRelu, MaxPool, Flatten, Reshape"
KEEPING = ("Flatten", "Reshape", "Squeeze", "Unsqueeze", "Identity", "Dropout")  # operators that change no number
POOLS = (2, 4, 8)
REMEDY = f"export a chain of {TAKEN}"


def refuse(node: "NodeProto", why: str) -> DataError:
    """Error that names the operator."""
    return DataError(f"operator {node.op_type[:40]!r} {why}", REMEDY)


@dataclass
class _Chain:
    """Layers so far, and the tensor at its end."""

    builder: Builder
    layers: list[Layer]
    tensor: str
    shape: Shape


def read_layers(path: Path) -> tuple[Layer, ...]:
    """Read a file as layers, each with its rectifier and its pooling.

    Raises:
        DataError: an operator or a layout that microcontrollers are not given, or weights that are not finite.
    """
    with graph_faults(path):
        builder, signature = open_net(path)
        port = signature.inputs[0].name
        chain = _Chain(builder, [], port, builder.tensors[port].shape)
        for node in builder.scope.graph.node:
            if node.op_type != "Constant":
                _read_node(chain, node)
        if chain.tensor != signature.output.name or not chain.layers:
            raise DataError("the scores are not the end of a chain of layers", REMEDY)
        if any(side > 1 for side in chain.layers[-1].output_shape[1:]):
            raise DataError("the scores are maps, not one number for each class", REMEDY)
    return tuple(chain.layers)


def _read_node(chain: _Chain, node: "NodeProto") -> None:
    if not node.input or node.input[0] != chain.tensor or chain.builder.uses[chain.tensor] != 1:
        raise refuse(node, "does not continue the chain: every tensor is read once, by the next operator")
    if node.op_type == "Conv":
        _read_conv(chain, node)
    elif node.op_type in ("Gemm", "MatMul"):
        _read_dense(chain, node)
    elif node.op_type == "Add":
        _read_add(chain, node)
    elif node.op_type in ("Relu", "LeakyRelu"):
        _read_rectifier(chain, node)
    elif node.op_type == "MaxPool":
        _read_pool(chain, node)
    elif node.op_type in KEEPING:
        chain.shape = chain.builder.find_shape(node, node.output[0])
    else:
        raise refuse(node, f"is not among those for microcontrollers ({TAKEN})")
    chain.tensor = node.output[0]


def _read_conv(chain: _Chain, node: "NodeProto") -> None:
    weights, name = chain.builder.get_constant(node, 1).astype(np.float64), f"Conv {node.input[1][:60]}"
    n_out, depth, *kernel = weights.shape
    has_bias = len(node.input) > 2 and node.input[2]
    bias = chain.builder.get_constant(node, 2).astype(np.float64) if has_bias else np.zeros(n_out)
    shape = chain.builder.find_shape(node, node.output[0])
    window = read_window(node, tuple(kernel), chain.shape, shape)
    n_groups, pad = read_attributes(node).get("group", 1), window.before[0]
    if n_groups not in (1, n_out):
        raise refuse(node, "is taken in one group, or with a kernel of its own for each channel")
    if window.dilations != (1, 1) or window.strides != (window.strides[0],) * 2 or window.before != (pad, pad):
        raise refuse(node, "is taken without dilations, and with the same strides and padding in both directions")
    own = n_groups > 1
    if own and depth > 1:
        raise refuse(node, "is taken in one group, or with a kernel of its own for each channel")
    if shape[1:] == (1, 1) and tuple(kernel) == chain.shape[1:] and not any(window.before):
        n_rows = n_groups if own else 1
        row = prod(chain.shape) // n_rows
        layer = Layer(name, weights.reshape(n_out, 1, 1, row), bias, (n_rows, 1, row), shape, own)
    else:
        layer = Layer(name, weights, bias, chain.shape, shape, own, pad, window.strides[0])
    chain.layers.append(layer)
    chain.shape = shape


def _read_dense(chain: _Chain, node: "NodeProto") -> None:
    attributes, weights = read_attributes(node), chain.builder.get_constant(node, 1).astype(np.float64)
    if weights.ndim != 2 or len(chain.shape) != 1 or attributes.get("transA"):
        raise refuse(node, "is taken with one row of numbers and a matrix of weights only")
    weights = (weights if attributes.get("transB") else weights.T) * attributes.get("alpha", 1.0)
    n_out, n_in = weights.shape
    bias = np.zeros(n_out)
    if len(node.input) > 2 and node.input[2]:
        bias = _fill(node, chain.builder.get_constant(node, 2) * attributes.get("beta", 1.0), n_out)
    name = f"{node.op_type} {node.input[1][:60]}"
    chain.layers.append(Layer(name, weights.reshape(n_out, 1, 1, n_in), bias, (1, 1, n_in), (n_out, 1, 1)))
    chain.shape = (n_out,)


def _fill(node: "NodeProto", values: Values, n: int) -> Values:
    if values.size not in (1, n) or values.shape[-1:] not in ((), (values.size,)):
        raise refuse(node, "is taken with one number for each output")
    return np.broadcast_to(values.reshape(-1), n).astype(np.float64)


def _get_last(chain: _Chain, node: "NodeProto") -> Layer:
    if not chain.layers:
        raise refuse(node, "is taken behind a layer with weights only")
    return chain.layers[-1]


def _read_add(chain: _Chain, node: "NodeProto") -> None:
    """A bias behind a product; a convolution's stands in its own operator."""
    last = _get_last(chain, node)
    if len(chain.shape) != 1 or last.pool != 1 or last.slope != 1:
        raise refuse(node, "is taken with constants behind a MatMul only")
    bias = last.bias + _fill(node, chain.builder.get_constant(node, 1), len(last.bias))
    chain.layers[-1] = replace(last, bias=bias)


def _read_rectifier(chain: _Chain, node: "NodeProto") -> None:
    """A rectifier is monotone, so that it may stand before the pooling or behind it."""
    last = _get_last(chain, node)
    slope = read_attributes(node).get("alpha", 0.01) if node.op_type == "LeakyRelu" else 0.0
    if not 0 <= slope <= 1 or last.slope != 1:
        raise refuse(node, "is taken once a layer, with a slope of 0 to 1")
    chain.layers[-1] = replace(last, slope=float(slope))


def _read_pool(chain: _Chain, node: "NodeProto") -> None:
    last, attributes = _get_last(chain, node), read_attributes(node)
    shape = chain.builder.find_shape(node, node.output[0])
    window = read_window(node, tuple(attributes["kernel_shape"]), chain.shape, shape)
    side = window.kernel[0]
    is_plain = window.kernel == window.strides == (side, side) and window.dilations == (1, 1)
    fits = shape[1:] == (chain.shape[1] // side, chain.shape[2] // side) and not any((*window.before, *window.behind))
    if side not in POOLS or last.pool != 1 or not is_plain or not fits:
        raise refuse(node, f"is taken once a layer, with windows of {', '.join(map(str, POOLS))} side by side only")
    cut = (last.shape[0], shape[1] * side, shape[2] * side)
    chain.layers[-1] = replace(last, shape=cut, pool=side)
    chain.shape = shape
