"""An ONNX file read as a net, within bounds."""

from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from dlmi_bench.errors import DataError
from dlmi_bench.instruments.onnx.contents import count_parameters, find_precision
from dlmi_bench.instruments.onnx.external import load_weights
from dlmi_bench.instruments.onnx.faults import graph_faults
from dlmi_bench.instruments.onnx.loading import load_graph
from dlmi_bench.instruments.onnx.ports import Signature, read_signature
from dlmi_bench.instruments.onnx.shapes import infer_shapes
from dlmi_bench.instruments.onnx.walk import describe_name
from dlmi_bench.native.net import INPUT, Net, Tensor
from dlmi_bench.native.reading.builder import Builder, refuse
from dlmi_bench.native.reading.passes import improve_calls
from dlmi_bench.native.reading.tables import READERS, read_node

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto

MAX_WEIGHTS = 2**20  # of a net: 12 MB of source, which a compiler reads in seconds
MAX_SCRATCH = 2**22  # numbers of all tensors together: 16 MiB
MAX_NODES = 1000
PRECISIONS = ("float32", "int8", "int4")
FREE_BATCH = 2  # shapes are inferred with: with 1, an axis of one element would pass for that of the examples
REMEDY = "use onnxruntime, which is made for nets of this size"


def read_net(
    path: Path, *, output: str = "", batch_axis: int | None = None, is_packed: bool = False
) -> tuple[Net, Signature]:
    """Read a file as a net, with what it takes and answers.

    Args:
        output, batch_axis: See `read_signature`.
        is_packed: Store weights of few values in few bits; the answers are the same, and come later.

    Raises:
        DataError: an operator, a type or a layout that is not written in C, weights that are not finite, or too many.
    """
    with graph_faults(path):
        builder, signature = open_net(path, output=output, batch_axis=batch_axis, is_packed=is_packed)
        return _read(builder, signature), signature


def open_net(
    path: Path, *, output: str = "", batch_axis: int | None = None, is_packed: bool = False
) -> tuple[Builder, Signature]:
    """Open a file that consists of operators that are written in C; its input is bound, and no node is read yet.

    Args:
        output, batch_axis, is_packed: See `read_net`.

    Raises:
        DataError: see `read_net`.
    """
    with graph_faults(path):
        model = load_graph(path, is_whole=False)
        signature = read_signature(model, output=output, batch_axis=batch_axis)
        _check(model, signature)
        return _begin(load_weights(model, path), signature, is_packed=is_packed), signature


def _check(model: "ModelProto", signature: Signature) -> None:
    if len(signature.inputs) != 1 or signature.inputs[0].type != "float32" or signature.output.type != "float32":
        cause = "what is written in C takes one input of float32 and answers with float32"
        raise DataError(f"{cause}; this file has {', '.join(signature.types.values())}", "use another backend")
    if signature.axes[signature.inputs[0].name] or signature.output_axis:
        raise DataError("the examples do not stand along the first axis", "export it with the batch first")
    if (n := len(model.graph.node)) > MAX_NODES:
        raise DataError(f"{n} operators, more than {MAX_NODES}", REMEDY)
    if (n := count_parameters(model) or 0) > MAX_WEIGHTS:
        raise DataError(f"{n} weights, more than {MAX_WEIGHTS}", REMEDY)
    for node in model.graph.node:  # before shapes: an unknown operator has none
        if describe_name(node) not in READERS and node.op_type != "Constant":
            raise refuse(node)
    if (precision := find_precision(model)) not in PRECISIONS:
        raise DataError(f"the file computes in {precision}", "export it in float32")


def _begin(model: "ModelProto", signature: Signature, *, is_packed: bool) -> Builder:
    port = signature.inputs[0]
    shape = signature.example_shapes[port.name]
    if 0 in shape:
        cause = f"the file leaves sizes of its input free ({signature.format_shape(port)})"
        raise DataError(cause, "export it with all sizes fixed but the batch")
    batch = signature.batch or FREE_BATCH
    scope = infer_shapes(model, signature, {port.name: (batch, *shape)})
    uses, followers = _find_readers(scope.graph, signature)
    builder = Builder(scope, batch, uses, followers, is_packed)
    builder.bind(port.name, Tensor(INPUT, shape))
    return builder


def _read(builder: Builder, signature: Signature) -> Net:
    graph, shape = builder.scope.graph, builder.tensors[signature.inputs[0].name].shape
    for node in graph.node:
        if node.op_type != "Constant" and not builder.done.issuperset(node.output):
            read_node(builder, node)
            if (n := sum(builder.sizes.values())) > MAX_SCRATCH:
                raise DataError(f"its tensors hold more than {MAX_SCRATCH} numbers (at {node.op_type}: {n})", REMEDY)
    if (scores := builder.find_tensor(signature.output.name)) is None:
        raise DataError("the scores do not depend on the input", "export it again")
    scores = scores if scores.is_compact else builder.crop(scores)
    arrays = tuple(builder.arrays.values())
    facts = count_parameters(builder.scope.model) or 0, find_precision(builder.scope.model)
    calls = improve_calls(builder.calls, scores)
    return Net(shape, scores.shape, scores, calls, arrays, builder.sizes, *facts)


def _find_readers(graph: "GraphProto", signature: Signature) -> "tuple[Counter[str], dict[str, list[NodeProto]]]":  # type: ignore[name-defined]  # noqa: F821
    followers = defaultdict(list)
    for node in graph.node:
        for name in node.input:
            followers[name].append(node)
    uses = Counter({name: len(nodes) for name, nodes in followers.items()})
    uses[signature.output.name] += 1
    return uses, dict(followers)
