"""Shapes of the tensors of an ONNX graph, those in branches and loop bodies too."""

from collections import ChainMap
from collections.abc import MutableMapping
from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING

from dlmi_bench.errors import DataError
from dlmi_bench.instruments.onnx.faults import graph_faults, infer_graph
from dlmi_bench.instruments.onnx.loading import MAX_ELEMENTS
from dlmi_bench.instruments.onnx.ports import Signature
from dlmi_bench.instruments.onnx.walk import is_external, list_bodies, list_messages, list_reads

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, TensorProto

Shape = tuple[int, ...]
MAX_COPIED = 1024  # elements of a tensor that may be a shape
MAX_LOOPS = 4  # within each other
MAX_PASSES = 16  # for as many loops one after the other; what is still unknown then stays so
LOOP_INPUTS = 2  # number of rounds, condition; then what it carries from round to round


@dataclass(frozen=True)
class Scope:
    """A graph without functions, or a body in it, and what is known of the tensors that it can read.

    Attributes:
        shapes: Of those tensors that are known in every axis.
        types: Type of the elements by tensor, as ONNX numbers them.
        constants: Tensors whose values the file holds.
        model: Model that the graph belongs to.
        n_loops: Loops around it.
    """

    graph: "GraphProto"
    shapes: MutableMapping[str, Shape]
    types: MutableMapping[str, int]
    constants: "MutableMapping[str, TensorProto]"
    model: "ModelProto"
    n_loops: int = 0

    def list_bodies(self, node: "NodeProto") -> "list[Scope]":
        """Bodies of a node of this graph; what a loop carries has the shape that it begins with, or none."""
        if node.op_type == "Loop":
            return [_infer_loop(self, node)]
        return [_collect(body, self.model, self) for body in list_bodies(node)]

    def find_trip_count(self, node: "NodeProto") -> int | None:
        """Most rounds of a `Loop`; None where the file does not hold their number."""
        from onnx import numpy_helper

        limit = self.constants.get(node.input[0])
        if limit is None or is_external(limit) or prod(limit.dims) != 1:
            return None
        return max(0, int(numpy_helper.to_array(limit).item()))


@graph_faults()
def infer_shapes(model: "ModelProto", signature: Signature, shapes: dict[str, Shape]) -> Scope:
    """Find the shapes of all tensors for inputs of these shapes, functions expanded.

    Args:
        shapes: Of each input, batch first; in place of the sizes that the file leaves free.

    Raises:
        DataError: the file's inputs have other shapes, or shapes that the file states contradict each other.
    """
    from onnx.inliner import inline_local_functions

    signature.check(shapes)
    fixed = inline_local_functions(model)
    named: dict[str, int] = {}
    for value in fixed.graph.input:
        if value.name in signature.axes:
            (size, *rest), axis = shapes[value.name], signature.axes[value.name]
            for dim, n in zip(value.type.tensor_type.shape.dim, (*rest[:axis], size, *rest[axis:]), strict=True):
                named.setdefault(dim.dim_param, n)
                dim.dim_value = n
    for output in fixed.graph.output:
        if not any(dim.dim_param and dim.dim_param in named for dim in output.type.tensor_type.shape.dim):
            output.type.tensor_type.ClearField("shape")  # what is stated for another batch would stay
    for _, dim in list_messages(fixed, "Dimension"):  # stated where inference does not reach
        if dim.dim_param and dim.dim_param in named:
            dim.dim_value = named[dim.dim_param]
    return _infer(fixed)


def _infer(model: "ModelProto", outer: Scope | None = None) -> Scope:
    """Inference by onnx, again after each loop whose results have the shapes that it begins with."""
    import onnx

    for _ in range(MAX_PASSES):
        try:
            model.graph.CopyFrom(infer_graph(model))
        except onnx.shape_inference.InferenceError as error:
            cause = f"shapes in the ONNX file contradict each other ({error})"
            raise DataError(cause, "export it again") from error
        scope = _collect(model.graph, model, outer)
        if not sum(_settle_loop(scope, node) for node in model.graph.node if node.op_type == "Loop"):
            break
    return scope


def _settle_loop(scope: Scope, node: "NodeProto") -> bool:
    """State the shapes of what a loop carries out of its last round; True where one was not known before."""
    from onnx import helper

    body = _infer_loop(scope, node)
    made = [
        helper.make_tensor_value_info(name, body.types[port.name], body.shapes[port.name])
        for name, port in zip(node.output, body.graph.output[1:], strict=False)
        if name and name not in scope.shapes and port.name in body.shapes
    ][: len(node.input) - LOOP_INPUTS]
    for value in made:
        for known in (*scope.graph.value_info, *scope.graph.output):
            if known.name == value.name:
                known.CopyFrom(value)
                break
        else:
            scope.graph.value_info.append(value)
    return bool(made)


def _infer_loop(scope: Scope, node: "NodeProto") -> Scope:
    """The body of a loop as a model of its own, which knows what it carries and takes from the graph around it.

    Where a round changes the shape of what is carried, nothing is known of the body.
    """
    from onnx import helper

    if scope.n_loops == MAX_LOOPS:  # each level is inferred twice and more
        raise DataError(f"more than {MAX_LOOPS} loops within each other", "export it with fewer")
    (body,) = list_bodies(node)
    model = type(scope.model)(ir_version=scope.model.ir_version, opset_import=scope.model.opset_import)
    model.graph.CopyFrom(body)
    carried = [(port, name) for port, name in zip(model.graph.input, node.input, strict=False) if name]
    for port, name in carried:
        port.CopyFrom(helper.make_tensor_value_info(port.name, scope.types.get(name, 0), scope.shapes.get(name)))
    for name in list_reads(node) - set(node.input):
        if (constant := scope.constants.get(name)) and prod(constant.dims) <= MAX_COPIED:
            model.graph.initializer.add().CopyFrom(constant)
            model.graph.initializer[-1].name = name
        elif name in scope.types:
            model.graph.value_info.append(
                helper.make_tensor_value_info(name, scope.types[name], scope.shapes.get(name))
            )
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    inner = _infer(model, replace(scope, n_loops=scope.n_loops + 1))
    rounds = zip(model.graph.input[LOOP_INPUTS:], model.graph.output[1:], strict=False)
    is_steady = all(inner.shapes.get(port.name, ()) == inner.shapes.get(made.name) for port, made in rounds)
    return inner if is_steady else replace(inner, shapes={})


def _collect(graph: "GraphProto", model: "ModelProto", outer: Scope | None) -> Scope:
    """What the graph states, over what is known around it."""
    shapes, types = dict[str, Shape](), dict[str, int]()
    for value in (*graph.input, *graph.value_info, *graph.output):
        kind = value.type.tensor_type
        sizes = tuple(dim.dim_value if dim.HasField("dim_value") else -1 for dim in kind.shape.dim)
        types[value.name] = kind.elem_type
        if kind.HasField("shape") and min(sizes, default=0) >= 0 and prod(sizes) <= MAX_ELEMENTS:
            shapes[value.name] = sizes
    held = {t.name: t for t in graph.initializer}
    held |= {n.output[0]: a.t for n in graph.node if n.op_type == "Constant" for a in n.attribute if a.name == "value"}
    for name, tensor in held.items():
        shapes[name], types[name] = tuple(tensor.dims), tensor.data_type
    if outer is None:
        return Scope(graph, shapes, types, held, model)
    return Scope(
        graph,
        ChainMap(shapes, outer.shapes),
        ChainMap(types, outer.types),
        ChainMap(held, outer.constants),
        model,
        outer.n_loops,
    )
