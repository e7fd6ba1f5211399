"""Multiply-accumulates of an ONNX graph, from the shapes that its inference finds."""

from collections.abc import Callable
from math import prod
from typing import TYPE_CHECKING

from dlmi_bench.instruments.counts.products import Products, select_uncounted
from dlmi_bench.instruments.onnx_faults import graph_faults
from dlmi_bench.instruments.onnx_graph import find_batch, infer_shapes

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
        "LeakyRelu Less LessOrEqual Log LogSoftmax Max MaxPool Mean Min Mish Mul Neg NonZero Not OneHot Or PRelu Pad "
        "Pow QuantizeLinear RMSNormalization Range Reciprocal ReduceL2 ReduceMax ReduceMean ReduceMin ReduceProd "
        "ReduceSum Relu Reshape Resize Round ScatterND Selu Shape Sigmoid Sign Sin Size Slice Softmax Softplus "
        "SpaceToDepth Split Sqrt Squeeze Sub Sum Tanh Tile TopK Transpose Trilu Unsqueeze Where"
    ).split()
)


def _convolve(node: "NodeProto", inputs: list[Shape], output: Shape) -> int:
    """Weights (out, in / groups, kernel..): every output element sums over one kernel."""
    return prod(output) * prod(inputs[0][1:])


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


# By operator, with the inputs whose shapes the formula takes.
FORMULAS: dict[str, tuple[Formula, tuple[int, ...]]] = {
    "Conv": (_convolve, (1,)),
    "ConvInteger": (_convolve, (1,)),
    "QLinearConv": (_convolve, (3,)),
    "ConvTranspose": (_convolve_transposed, (0, 1)),
    "Gemm": (_multiply_general, (0,)),
    "MatMul": (_multiply, (0,)),
    "MatMulInteger": (_multiply, (0,)),
    "QLinearMatMul": (_multiply, (0,)),
    "LSTM": (_recur, (0, 1, 2)),
    "GRU": (_recur, (0, 1, 2)),
    "RNN": (_recur, (0, 1, 2)),
}


@graph_faults()
def count_by_graph(model: "ModelProto", input_shape: tuple[int, ...]) -> Products:
    """Count one example of `input_shape` (channel, height, width); of a file with a fixed batch, its share.

    The body of a branch or loop is not looked into: `If`, `Loop` and `Scan` are named as uncounted.

    Raises:
        DataError: the input has another shape, or the shapes of the file contradict each other.
    """
    batch = find_batch(model) or 1
    graph, shapes = infer_shapes(model, (batch, *input_shape))
    macs, n_activations, unknown, n_counted = 0, 0, [], 0
    for node in graph.node:
        name = f"{node.domain}.{node.op_type}" if node.domain not in ("", "ai.onnx") else node.op_type
        if name not in FORMULAS:
            unknown.append(name)
            continue
        formula, operands = FORMULAS[name]
        inputs = [shapes.get(node.input[i]) for i in operands]
        output = shapes.get(next(filter(None, node.output), ""))
        if output is None or None in inputs:
            unknown.append(f"{name} of unknown shape")
            continue
        macs += formula(node, [shape for shape in inputs if shape is not None], output)
        n_activations += prod(output)
        n_counted += 1
    uncounted = select_uncounted(unknown, FREE)
    return Products("graph", "ONNX graph", round(macs / batch), n_counted, uncounted, round(n_activations / batch))
