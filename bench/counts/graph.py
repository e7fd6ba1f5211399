"""Multiply-accumulates of an ONNX graph, from the shapes that its inference finds."""

from collections.abc import Callable
from math import prod
from typing import TYPE_CHECKING

from bench.counts.products import Products, select_uncounted
from bench.errors import DataError
from bench.graph import infer_shapes

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

Shape = list[int]
Formula = Callable[["NodeProto", list[Shape], Shape], int]
# Without a product of two tensors that is summed over: elementwise, pooling, normalisation, moving of data.
FREE = frozenset(
    (
        "Abs Add And ArgMax ArgMin AveragePool BatchNormalization Cast CastLike Ceil Clip Concat Constant "
        "ConstantOfShape Cos CumSum DepthToSpace DequantizeLinear Div Dropout DynamicQuantizeLinear Elu Equal Erf Exp "
        "Expand Flatten Floor Gather GatherElements GatherND Gelu GlobalAveragePool GlobalMaxPool Greater "
        "GreaterOrEqual GroupNormalization HardSigmoid HardSwish Identity InstanceNormalization LRN LayerNormalization "
        "LeakyRelu Less LessOrEqual Log LogSoftmax Max MaxPool Mean Min Mish Mul Neg Not OneHot Or PRelu Pad Pow "
        "QuantizeLinear RMSNormalization Range Reciprocal ReduceL2 ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum "
        "Relu Reshape Resize Round ScatterND Selu Shape Sigmoid Sign Sin Size Slice Softmax Softplus SpaceToDepth "
        "Split Sqrt Squeeze Sub Sum Tanh Tile TopK Transpose Trilu Unsqueeze Where"
    ).split()
)


def _convolve(at: int) -> Formula:
    """Weights (out, in / groups, kernel..) at input `at`: every output element sums over one kernel."""
    return lambda node, inputs, output: prod(output) * prod(inputs[at][1:])


def _multiply(node: "NodeProto", inputs: list[Shape], output: Shape) -> int:
    """(.., M, K) x (.., K, N)."""
    return prod(output) * inputs[0][-1]


def _convolve_transposed(node: "NodeProto", inputs: list[Shape], output: Shape) -> int:
    """Weights (in, out / groups, kernel..): every input element is spread over one kernel."""
    return prod(inputs[0]) * prod(inputs[1][1:])


def _multiply_general(node: "NodeProto", inputs: list[Shape], output: Shape) -> int:
    """(M, K) x (K, N), the first perhaps transposed."""
    is_transposed = any(a.name == "transA" and a.i for a in node.attribute)
    return prod(output) * inputs[0][0 if is_transposed else 1]


def _recur(node: "NodeProto", inputs: list[Shape], output: Shape) -> int:
    """Inputs (time, batch, in), weights (direction, gates, in) and (direction, gates, hidden)."""
    return prod(inputs[0][:2]) * (prod(inputs[1]) + prod(inputs[2]))


FORMULAS: dict[str, Formula] = {
    "Conv": _convolve(1),
    "ConvInteger": _convolve(1),
    "QLinearConv": _convolve(3),
    "ConvTranspose": _convolve_transposed,
    "Gemm": _multiply_general,
    "MatMul": _multiply,
    "MatMulInteger": _multiply,
    "QLinearMatMul": _multiply,
    "LSTM": _recur,
    "GRU": _recur,
    "RNN": _recur,
}


def count_by_graph(model: "ModelProto", input_shape: tuple[int, ...]) -> Products:
    """Count one example of `input_shape` (channel, height, width).

    Raises:
        DataError: the shape of a tensor that is multiplied cannot be inferred, or the input has another shape.
    """
    graph, shapes = infer_shapes(model, (1, *input_shape))
    macs, n_activations, unknown, n_counted = 0, 0, [], 0
    for node in graph.node:
        formula = FORMULAS.get(node.op_type) if node.domain in ("", "ai.onnx") else None
        if formula is None:
            unknown.append(node.op_type if not node.domain else f"{node.domain}.{node.op_type}")
            continue
        inputs, output = [shapes.get(name, []) for name in node.input], shapes.get(node.output[0])
        _check(node, inputs, output)
        macs += formula(node, inputs, output or [])
        n_activations += prod(output or [])
        n_counted += 1
    return Products("graph", "ONNX graph", macs, n_counted, select_uncounted(unknown, FREE), n_activations)


def _check(node: "NodeProto", inputs: list[Shape], output: Shape | None) -> None:
    if output is None or not inputs[0]:
        raise DataError(
            f"ONNX graph: {node.op_type} {node.name!r} has no known shape", "export it with shape inference"
        )
