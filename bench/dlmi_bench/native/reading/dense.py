"""Gemm and MatMul by constant weights: sums of rows of the weights, which are stored (in, out)."""

from typing import TYPE_CHECKING

import numpy as np

from dlmi_bench.native.net import Values
from dlmi_bench.native.reading.builder import Builder, read_attributes, refuse
from dlmi_bench.native.reading.elementwise import read_scales
from dlmi_bench.native.reading.integers import add_dense, find_whole_sum
from dlmi_bench.native.reading.weights import Weights

if TYPE_CHECKING:
    from onnx import NodeProto

WIDTH = 16  # numbers of the widest vector; outputs are filled up to a multiple of it


def read_gemm(builder: Builder, node: "NodeProto") -> None:
    attributes = read_attributes(node)
    if attributes.get("transA"):
        raise refuse(node, "is not taken with transA")
    is_plain = attributes.get("alpha", 1.0) == attributes.get("beta", 1.0) == 1
    if is_plain and (sum_ := find_whole_sum(builder, node, is_turned=not attributes.get("transB"))):
        add_dense(builder, node, sum_)
        return
    weights = builder.get_constant(node, 1)
    weights = (weights.T if attributes.get("transB") else weights) * np.float64(attributes.get("alpha", 1.0))
    bias = builder.get_constant(node, 2) if len(node.input) > 2 and node.input[2] else np.zeros(1)
    _add_dense(builder, node, weights, bias * np.float64(attributes.get("beta", 1.0)))


def read_matmul(builder: Builder, node: "NodeProto") -> None:
    weights = builder.get_constant(node, 1)
    if weights.ndim != 2:
        raise refuse(node, "is taken with weights of two axes only")
    if sum_ := find_whole_sum(builder, node, is_turned=True):
        add_dense(builder, node, sum_)
        return
    _add_dense(builder, node, weights, np.zeros(1))


def _add_dense(builder: Builder, node: "NodeProto", weights: Values, bias: Values) -> None:
    """One call for the product and what can be put into its weights: a constant sum, a normalisation.

    Args:
        weights: (in, out), float64.
        bias: Of any shape that numpy makes (1, out) of.
    """
    x, name = builder.get_tensor(node), node.output[0]
    if x.shape != weights.shape[:1]:
        raise refuse(node, "is taken with examples of one axis only")
    n_in, n_out = weights.shape
    if bias.size not in (1, n_out) or bias.shape[-1:] not in ((), (bias.size,)):
        raise refuse(node, "is not taken with a sum that differs between examples")
    bias = np.broadcast_to(bias.reshape(-1), n_out).astype(np.float64)
    for other in builder.follow(name, "Add", "BatchNormalization"):
        if scales := read_scales(builder, other, (n_out,)):
            weights, bias, name = weights * scales[0], bias * scales[0] + scales[1], other.output[0]
            builder.done.add(name)
    n = -(-n_out // WIDTH) * WIDTH
    w = Weights(node.input[1], weights.T, n_wide=n).store(builder)
    b = builder.make_array(node.input[1], "bias", np.pad(bias, (0, n - n_out)), f"({n_out}), filled up to {n}")
    y = builder.make_buffer("dense", (n_out,), n)
    comment = f"({n_in}) -> ({n_out})"
    builder.bind(name, builder.call("dense", x, w, b, y, n_in, n, writes=y, comment=comment, macs=n_in * n_out))
