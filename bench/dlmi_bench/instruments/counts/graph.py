"""Multiply-accumulates of an ONNX graph, from the shapes that its inference finds."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING

from dlmi_bench.instruments.counts.products import Products, select_uncounted
from dlmi_bench.instruments.onnx.faults import graph_faults
from dlmi_bench.instruments.onnx.ports import Signature, read_signature
from dlmi_bench.instruments.onnx.shapes import Scope, Shape, infer_shapes
from dlmi_bench.instruments.onnx.walk import describe_name

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

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
        "SpaceToDepth Split Sqrt Squeeze Sub Sum Tanh Tile TopK Transpose Trilu Unsqueeze Where "
        "ai.onnx.ml.ArrayFeatureExtractor ai.onnx.ml.Binarizer ai.onnx.ml.Imputer ai.onnx.ml.LabelEncoder "
        "ai.onnx.ml.Normalizer ai.onnx.ml.Scaler ai.onnx.ml.TreeEnsemble ai.onnx.ml.TreeEnsembleClassifier "
        "ai.onnx.ml.TreeEnsembleRegressor ai.onnx.ml.ZipMap"
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


@dataclass
class _Count:
    """Sum over the nodes of a graph, or body, and the names of those without a formula or a known shape."""

    macs: int = 0
    n_activations: int = 0
    n_counted: int = 0
    unknown: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, other: "_Count", times: int = 1) -> None:
        self.macs += times * other.macs
        self.n_activations += times * other.n_activations
        self.n_counted += other.n_counted
        self.unknown += other.unknown
        self.notes += other.notes


@graph_faults()
def count_by_graph(
    model: "ModelProto", shapes: tuple[int, ...] | dict[str, tuple[int, ...]], signature: Signature | None = None
) -> Products:
    """Count one example; of a file with a fixed batch, its share.

    Of an `If` the branch with more products counts. The body of a `Loop` counts for each of the rounds that the file
    states; without their number it is named as uncounted, as `Scan` is.

    Args:
        shapes: Of one example, (channel, height, width); by input where there are several.

    Raises:
        DataError: the input has another shape, or the shapes of the file contradict each other.
    """
    signature = signature or read_signature(model)
    batch = signature.batch or 1
    named = shapes if isinstance(shapes, dict) else {signature.inputs[0].name: shapes}
    count = _count_nodes(infer_shapes(model, signature, {name: (batch, *shape) for name, shape in named.items()}))
    return Products(
        "graph",
        "ONNX graph",
        round(count.macs / batch),
        count.n_counted,
        select_uncounted(count.unknown, FREE),
        round(count.n_activations / batch),
        notes=tuple(dict.fromkeys(count.notes)),
    )


def _count_nodes(scope: Scope) -> _Count:
    total = _Count()
    for node in scope.graph.node:
        name = describe_name(node)
        if name == "If":
            *rest, larger = sorted(map(_count_nodes, scope.list_bodies(node)), key=lambda count: count.macs)
            total.add(larger)
            total.unknown += [name for count in rest for name in count.unknown]
            total.notes.append("of each If the branch with more multiply-accumulates is counted")
        elif name == "Loop" and (n_rounds := scope.find_trip_count(node)) is not None:
            total.add(_count_nodes(*scope.list_bodies(node)), n_rounds)
            total.notes.append("of each Loop all rounds that its limit allows are counted")
        elif name not in FORMULAS:
            total.unknown.append(name)
        else:
            _count_node(node, name, scope.shapes, total)
    return total


def _count_node(node: "NodeProto", name: str, shapes: Mapping[str, Shape], total: _Count) -> None:
    formula, operands = FORMULAS[name]
    inputs = [shapes.get(node.input[i]) for i in operands]
    output = shapes.get(next(filter(None, node.output), ""))
    if output is None or None in inputs:
        total.unknown.append(f"{name} of unknown shape")
        return
    total.macs += formula(node, [shape for shape in inputs if shape is not None], output)
    total.n_activations += prod(output)
    total.n_counted += 1
