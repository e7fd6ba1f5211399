"""Readers of operators by name. What is not here is refused."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from dlmi_bench.native.reading import convolution, dense, elementwise, pooling, shaping
from dlmi_bench.native.reading.builder import Builder

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
    "Clip": elementwise.read_clip,
    "Softmax": elementwise.read_softmax,
    "LogSoftmax": elementwise.read_softmax,
    "Add": elementwise.read_arithmetic,
    "Sub": elementwise.read_arithmetic,
    "Mul": elementwise.read_arithmetic,
    "Concat": shaping.read_concat,
    "Split": shaping.read_split,
    "Flatten": shaping.read_reshape,
    "Reshape": shaping.read_reshape,
    "Squeeze": shaping.read_reshape,
    "Unsqueeze": shaping.read_reshape,
    "Identity": shaping.read_reshape,
    "Dropout": shaping.read_reshape,
}
