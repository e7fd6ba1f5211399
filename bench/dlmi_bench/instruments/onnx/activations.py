"""Peak of live activations of an ONNX file: a cost that is exact on any machine."""

from collections.abc import Mapping
from math import prod
from typing import TYPE_CHECKING

from dlmi_bench.errors import DataError
from dlmi_bench.instruments.onnx.faults import graph_faults
from dlmi_bench.instruments.onnx.ports import Signature, read_signature
from dlmi_bench.instruments.onnx.shapes import Scope, infer_shapes
from dlmi_bench.instruments.onnx.walk import list_reads

if TYPE_CHECKING:
    from onnx import ModelProto


@graph_faults()
def compute_peak_activation_bytes(
    model: "ModelProto",
    signature: Signature | None = None,
    example_shapes: Mapping[str, tuple[int, ...]] | None = None,
) -> int:
    """Most bytes of activations that are alive at once, when nodes run in the order of the file.

    At batch 1, or the only batch that the file takes. A tensor lives from the node that makes it to the last one that
    reads it. Weights and what follows from them alone do not count. While a branch runs, its tensors are alive beside
    those around it: the larger branch counts; of a loop, one round. Every element counts the size of its type.

    Args:
        example_shapes: Of one example, by input, where the file leaves axes open.

    Raises:
        DataError: the shape of some tensor cannot be inferred.
    """
    signature = signature or read_signature(model)
    batch = signature.batch or 1
    shapes = {name: (batch, *shape) for name, shape in (example_shapes or signature.example_shapes).items()}
    return _find_peak(infer_shapes(model, signature, shapes), set())


def _find_peak(scope: Scope, outside: set[str]) -> int:
    """Most bytes of tensors of this graph, or body.

    Args:
        outside: Activations of the graphs around it, which are counted there.
    """
    graph = scope.graph
    own = {value.name for value in graph.input} - {tensor.name for tensor in graph.initializer}
    active = own | outside  # follows from an input
    held = {name: _find_size(name, scope) for name in own}
    last_use = {name: i for i, node in enumerate(graph.node) for name in list_reads(node)}
    outputs, total = {value.name for value in graph.output}, sum(held.values())
    peak, unread = total, set(own)
    for i, node in enumerate(graph.node):
        reads = list_reads(node)
        inner = max((_find_peak(body, active) for body in scope.list_bodies(node)), default=0)
        made = set(filter(None, node.output)) if not active.isdisjoint(reads) else set()
        active |= made
        held |= {name: _find_size(name, scope) for name in made}
        peak = max(peak, total + inner, total := total + sum(held[name] for name in made))
        for name in (reads | made | unread) & held.keys() - outputs:
            if last_use.get(name, -1) <= i:
                total -= held.pop(name)
        unread.clear()
    return peak


def _find_size(name: str, scope: Scope) -> int:
    from onnx import helper

    if not (kind := scope.types.get(name)):
        raise DataError(f"ONNX graph: tensor {name!r} has no known type", "export it with shape inference")
    if name not in scope.shapes:
        raise DataError(f"ONNX graph: tensor {name!r} has no known shape", "export it with shape inference")
    return prod(scope.shapes[name]) * helper.tensor_dtype_to_np_dtype(kind).itemsize
