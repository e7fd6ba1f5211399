"""What an ONNX file consists of: operators, parameters, precision."""

from collections import Counter
from itertools import chain
from math import prod
from typing import TYPE_CHECKING

from dlmi_bench.instruments.onnx.faults import graph_faults
from dlmi_bench.instruments.onnx.walk import describe_name, list_bodies, list_messages, list_nodes, list_reads

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, TensorProto

NODE_TENSOR = "t"  # the field of a node's attribute
CLASSIC = "ai.onnx.ml"  # domain of trees, linear models and the like, whose parameters are attributes
PRECISIONS = ("int4", "int8", "bfloat16", "float16", "float32", "float64")  # the coarsest first
# In names of operators that compute with integers.
QUANTISED = ("Quantize", "Integer", "QLinear", "MatMulNBits", "QGemm", "QAttention")


def find_opset(model: "ModelProto") -> int:
    """Version of the standard operators; 0 where the file uses none."""
    return next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)


@graph_faults()
def count_operators(model: "ModelProto") -> dict[str, int]:
    """Nodes by type of operator, functions expanded; those of every branch and of loop bodies, once each."""
    from onnx.inliner import inline_local_functions

    return dict(sorted(Counter(node.op_type for node in list_nodes(inline_local_functions(model).graph)).items()))


@graph_faults()
def count_parameters(model: "ModelProto") -> int | None:
    """Elements of the constant tensors, in nodes and nested graphs too, and numbers of trees and linear models.

    Whole numbers of 8 bytes are shapes and indices, a single number in a node is part of its formula: no weights.
    Operators of ai.onnx.ml hold theirs in lists: coefficients, intercepts, thresholds and weights of leaves. None where
    there are such operators and no numbers.
    """
    n_elements = sum(prod(tensor.dims) for tensor in list_parameters(model))
    classic = [node for node in list_nodes(model) if node.domain == CLASSIC]
    n_elements += sum(map(_count_numbers, classic))
    return None if classic and not n_elements else n_elements


def list_parameters(model: "ModelProto") -> "list[TensorProto]":
    """Constant tensors that count as parameters, in the order of the file; see `count_parameters`."""
    found = [(field, t) for field, t in list_messages(model, "TensorProto") if t.data_type != t.INT64]
    return [tensor for field, tensor in found if field != NODE_TENSOR or prod(tensor.dims) > 1]


def _count_numbers(node: "NodeProto") -> int:
    """Numbers in the lists of a node, less those of its tensors, counted elsewhere, that are no parameters."""
    attributes = {attribute.name: attribute for attribute in node.attribute}
    n_numbers = sum(len(a.floats) for name, a in attributes.items() if name != "nodes_hitrates")
    modes = attributes.get("nodes_modes")
    if modes is None:
        return n_numbers
    if modes.HasField("t"):  # whole numbers of 1 byte in TreeEnsemble
        return n_numbers - (n if (n := prod(modes.t.dims)) > 1 else 0)
    return n_numbers - sum(mode == b"LEAF" for mode in modes.strings)  # a leaf has no threshold


@graph_faults()
def count_depth(model: "ModelProto") -> int:
    """Operators on the longest way through the file, functions expanded; a body adds its own, once."""
    from onnx.inliner import inline_local_functions

    return _count_depth(inline_local_functions(model).graph)


def _count_depth(graph: "GraphProto") -> int:
    depths: dict[str, int] = {}
    for node in graph.node:
        inner = max(map(_count_depth, list_bodies(node)), default=0)
        depth = 1 + inner + max((depths.get(name, 0) for name in list_reads(node)), default=0)
        depths |= dict.fromkeys(node.output, depth)
    return max(depths.values(), default=0)


@graph_faults()
def find_precision(model: "ModelProto") -> str:
    """Coarsest type of numbers that the file computes with, one of PRECISIONS.

    Integers where it quantises, else the types of weights and casts, else that of its inputs.
    """
    from onnx import TensorProto, helper

    tensors = [tensor for _, tensor in list_messages(model, "TensorProto")]
    types = {tensor.data_type for tensor in tensors}
    if any(word in describe_name(node) for node in list_nodes(model) for word in QUANTISED):
        return "int4" if types & {TensorProto.INT4, TensorProto.UINT4} else "int8"
    casts = (node for node in list_nodes(model) if node.op_type == "Cast")
    types |= {attribute.i for node in casts for attribute in node.attribute if attribute.name == "to"}
    inputs = {value.type.tensor_type.elem_type for value in model.graph.input}
    order = (TensorProto.BFLOAT16, TensorProto.FLOAT16, TensorProto.FLOAT, TensorProto.DOUBLE)
    found = [kind for kinds in (types, inputs) for kind in order if kind in kinds]
    kind = found[0] if found else TensorProto.FLOAT
    return str(helper.tensor_dtype_to_np_dtype(kind))


def widen(model: "ModelProto") -> "ModelProto":
    """The same model with the same weights, computed in float32 wherever it computes in float16 or bfloat16.

    Args:
        model: With all of its weights in memory.
    """
    from onnx import TensorProto, numpy_helper

    half = (TensorProto.FLOAT16, TensorProto.BFLOAT16)
    wide = type(model)()
    wide.CopyFrom(model)
    for _, tensor in list_messages(wide, "TensorProto"):
        if tensor.data_type in half:
            name = tensor.name
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype("float32"), name))
    for attribute in chain.from_iterable(node.attribute for node in list_nodes(wide)):
        if attribute.name in ("to", "dtype", "output_dtype") and attribute.i in half:
            attribute.i = TensorProto.FLOAT
    for _, port in list_messages(wide, "Tensor"):
        if port.elem_type in half:
            port.elem_type = TensorProto.FLOAT
    return wide
