"""What an ONNX file costs, exactly and on any machine: its operators and its peak of live activations."""

from collections import Counter
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import DataError

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto


def load_graph(path: Path) -> "ModelProto":
    """Parse and check one self-contained file; nothing outside of it is read.

    Raises:
        DataError: not an ONNX file, or one whose weights lie elsewhere.
    """
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load_model(path, load_external_data=False)
        onnx.checker.check_model(model)
    except (DecodeError, onnx.checker.ValidationError, OSError) as error:
        raise DataError(f"{path}: not a usable ONNX file ({error})", "export it again") from error
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in model.graph.initializer):
        raise DataError(f"{path}: weights lie in another file", "export it in one file")
    return model


def find_input_shape(model: "ModelProto") -> tuple[int, ...]:
    """Shape of one example, (channel, height, width)."""
    return tuple(d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim[1:])


def count_operators(model: "ModelProto") -> dict[str, int]:
    """Nodes by type of operator."""
    return dict(sorted(Counter(node.op_type for node in model.graph.node).items()))


def compute_peak_activation_bytes(model: "ModelProto") -> int:
    """Most bytes of activations that are alive at once at batch 1, when nodes run in the order of the file.

    A tensor lives from the node that makes it to the last one that reads it. Weights and what follows from them alone
    do not count. Every element counts 4 bytes where it is float32, else the size of its type.

    Raises:
        DataError: the shape of some tensor cannot be inferred.
    """
    import onnx

    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    fixed.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    graph = onnx.shape_inference.infer_shapes(fixed, data_prop=True).graph
    sizes = _collect_sizes(graph)
    weights = {tensor.name for tensor in graph.initializer}
    alive = {value.name for value in graph.input} - weights
    last_use = {name: i for i, node in enumerate(graph.node) for name in node.input}
    outputs = {value.name for value in graph.output}
    peak = 0
    for i, node in enumerate(graph.node):
        if not alive.isdisjoint(node.input):
            alive |= set(filter(None, node.output))
        peak = max(peak, sum(_find_size(name, sizes) for name in alive))
        alive -= {name for name in alive if last_use.get(name, -1) <= i and name not in outputs}
    return peak


def _collect_sizes(graph: "GraphProto") -> dict[str, int]:
    from onnx import helper

    sizes: dict[str, int] = {}
    for value in (*graph.input, *graph.value_info, *graph.output):
        kind = value.type.tensor_type
        # The free batch size of the file is one here.
        shape = [d.dim_value if d.HasField("dim_value") else 1 for d in kind.shape.dim]
        sizes[value.name] = prod(shape) * helper.tensor_dtype_to_np_dtype(kind.elem_type).itemsize
    return sizes


def _find_size(name: str, sizes: dict[str, int]) -> int:
    if name not in sizes:
        raise DataError(f"ONNX graph: tensor {name!r} has no known shape", "export it with shape inference")
    return sizes[name]
