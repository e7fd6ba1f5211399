"""Readers of operators by name. What is not here is refused."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from dlmi_bench.native.reading import convolution, dense, elementwise, integers, pooling, shaping
from dlmi_bench.native.reading.builder import Builder, refuse

if TYPE_CHECKING:
    from onnx import NodeProto

READERS: "dict[str, Callable[[Builder, NodeProto], None]]" = {
    "Gemm": dense.read_gemm,
    "MatMul": dense.read_matmul,
    "Conv": convolution.read_conv,
    "Pad": convolution.read_pad,
    "MaxPool": pooling.read_max_pool,
    "AveragePool": pooling.read_average_pool,
    "GlobalAveragePool": pooling.read_global_average,
    "ReduceMean": pooling.read_mean,
    "BatchNormalization": elementwise.read_normalisation,
    "Relu": elementwise.read_activation,
    "LeakyRelu": elementwise.read_activation,
    "Tanh": elementwise.read_activation,
    "Sigmoid": elementwise.read_activation,
    "Log": elementwise.read_activation,
    "Clip": elementwise.read_clip,
    "Softmax": elementwise.read_softmax,
    "LogSoftmax": elementwise.read_softmax,
    "Add": elementwise.read_arithmetic,
    "Sub": elementwise.read_arithmetic,
    "Mul": elementwise.read_arithmetic,
    "QuantizeLinear": integers.read_quantize,
    "DequantizeLinear": integers.read_dequantize,
    "Concat": shaping.read_concat,
    "Split": shaping.read_split,
    "Flatten": shaping.read_reshape,
    "Reshape": shaping.read_reshape,
    "Squeeze": shaping.read_reshape,
    "Unsqueeze": shaping.read_unsqueeze,
    "Identity": shaping.read_reshape,
    "Dropout": shaping.read_reshape,
}
STACKING = ("Concat", "ReduceMean")  # those that take tensors with the examples along the second axis


def read_node(builder: Builder, node: "NodeProto") -> None:
    """Read a node by its reader; on whole numbers, if they come out as they came in."""
    if node.op_type not in STACKING and not builder.stacks.isdisjoint(node.input):
        raise refuse(node, "is taken with the examples along the first axis only")
    if node.op_type != "DequantizeLinear" and any(map(builder.is_quantised, node.input)):
        raise refuse(node, "is taken behind DequantizeLinear only, not on quantised numbers")
    held = builder.wholes.get(node.input[0]) if node.input else None
    if held is None or node.op_type not in integers.KEEPING:
        READERS[node.op_type](builder, node)
        return
    name, reals = node.input[0], builder.tensors.pop(node.input[0], None)
    builder.tensors[name] = held[0]
    READERS[node.op_type](builder, node)
    for made in node.output:
        if made in builder.tensors:
            builder.hold(made, builder.tensors.pop(made), held[1])
    del builder.tensors[name]
    if reals:
        builder.tensors[name] = reals
