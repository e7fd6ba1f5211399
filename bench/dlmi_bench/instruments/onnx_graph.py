"""Costs of an ONNX file that are exact on any machine: its operators and its peak of live activations."""

from collections import Counter
from collections.abc import Iterator, Sequence
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from dlmi_bench.errors import DataError

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from onnx import GraphProto, ModelProto, TensorProto, TensorShapeProto, ValueInfoProto


NODE_TENSOR = "t"  # the field of a node's attribute


def load_graph(path: Path, *, is_whole: bool = True) -> "ModelProto":
    """Parse and check one file; of other files at most the sizes are looked at.

    Args:
        is_whole: Refuse weights in other files; else they must lie in the folder of the file, or below.

    Raises:
        DataError: cannot be read, not an ONNX file, or one whose weights lie elsewhere.
    """
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load_model(path, load_external_data=False)
        others = list_external_files(model, path)
        if others and is_whole:
            raise DataError(f"{path}: weights lie in another file", "export it in one file")
        onnx.checker.check_model(str(path))
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}", "name a file that can be read") from error
    except (DecodeError, onnx.checker.ValidationError) as error:
        raise DataError(f"{path}: not a usable ONNX file ({error})", "export it again") from error
    return model


def list_external_files(model: "ModelProto", path: Path) -> list[Path]:
    """Files beside the model that hold its weights, each once.

    Raises:
        DataError: one that is missing, or whose path or link leaves the folder of the model.
    """
    folder = path.resolve().parent
    found: dict[Path, None] = {}
    for tensor in (tensor for _, tensor in _list_tensors(model) if _is_external(tensor)):
        location = next((entry.value for entry in tensor.external_data if entry.key == "location"), "")
        file = (folder / location).resolve()
        if not location or Path(location).is_absolute() or not file.is_relative_to(folder):
            raise DataError(
                f"{path}: tensor {tensor.name!r}: external data {location!r} leaves the folder of the file",
                "export the model in one file, or with its weights beside it; nothing outside its folder is read",
            )
        if not file.is_file():
            raise DataError(f"{path}: tensor {tensor.name!r}: no file {location!r}", "put it beside the model")
        found[file] = None
    return list(found)


def _is_external(tensor: "TensorProto") -> bool:
    return bool(tensor.data_location == tensor.EXTERNAL or tensor.external_data)


def _list_tensors(message: "Message") -> "Iterator[tuple[str, TensorProto]]":
    """Wherever they are, with the field that holds them: weights, constants, subgraphs, functions, sparse tensors."""
    import onnx

    for field, value in message.ListFields():
        if field.message_type is not None:
            for part in [value] if hasattr(value, "ListFields") else value:
                if isinstance(part, onnx.TensorProto):
                    yield field.name, part
                else:
                    yield from _list_tensors(part)


def infer_shapes(model: "ModelProto", input_shape: tuple[int, ...]) -> "tuple[GraphProto, dict[str, list[int]]]":
    """The graph with its functions inlined, and the shapes of those of its tensors that are known in every axis.

    Args:
        input_shape: Of the input, batch first; in place of the sizes that the file leaves free.

    Raises:
        DataError: the file's input has another shape, or shapes that the file states contradict each other.
    """
    import onnx
    from onnx.inliner import inline_local_functions

    check_input_shape(model, input_shape)
    fixed = inline_local_functions(model)
    for dim, size in zip(find_input(fixed).type.tensor_type.shape.dim, input_shape, strict=True):
        dim.dim_value = size
    for output in fixed.graph.output:
        output.type.tensor_type.ClearField("shape")  # what is stated for another batch would stay
    try:
        graph = onnx.shape_inference.infer_shapes(fixed, data_prop=True).graph
    except onnx.shape_inference.InferenceError as error:
        raise DataError(f"shapes in the ONNX file contradict each other ({error})", "export it again") from error
    shapes = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        kind = value.type.tensor_type
        sizes = [dim.dim_value for dim in kind.shape.dim]
        if kind.HasField("shape") and all(size > 0 for size in sizes):
            shapes.setdefault(value.name, sizes)
    return graph, shapes


def check_input_shape(model: "ModelProto", wanted: tuple[int, ...]) -> None:
    """Hold `wanted`, batch first, against what the file states.

    Raises:
        DataError: the file's input has another shape, or no axis beside the batch.
    """
    dims = _find_axes(model)
    if len(dims) != len(wanted) or any(d.dim_value > 0 and d.dim_value != n for d, n in zip(dims, wanted, strict=True)):
        raise DataError(
            f"the ONNX file takes inputs of {format_input_shape(model)}, not {'x'.join(map(str, wanted))}",
            "name that shape with --input, a number in place of each word",
        )


def format_input_shape(model: "ModelProto") -> str:
    """Batch first, as the file states it, for instance Nx1x28x28."""
    dims = _find_axes(model)
    return "x".join(str(d.dim_value) if d.HasField("dim_value") else d.dim_param or "?" for d in dims)


def _find_axes(model: "ModelProto") -> "Sequence[TensorShapeProto.Dimension]":
    dims = find_input(model).type.tensor_type.shape.dim
    if len(dims) < 2:
        cause = f"the input of the ONNX file has no axis beside the batch ({len(dims)} in all)"
        raise DataError(cause, "export it with a batch axis first")
    return dims


def find_input(model: "ModelProto") -> "ValueInfoProto":
    """The one input that examples go into.

    Raises:
        DataError: there is none, or there are several.
    """
    weights = {tensor.name for tensor in model.graph.initializer}  # old files list them among the inputs
    inputs = [value for value in model.graph.input if value.name not in weights]
    if len(inputs) != 1:
        stated = ", ".join(value.name for value in inputs) or "none"
        raise DataError(f"inputs of the ONNX file: {stated}; it must have one", "export the part that has one input")
    return inputs[0]


def find_batch(model: "ModelProto") -> int | None:
    """The only batch size that the file takes; None where it is free."""
    return next((dim.dim_value for dim in find_input(model).type.tensor_type.shape.dim[:1] if dim.dim_value > 0), None)


def find_input_shape(model: "ModelProto") -> tuple[int, ...]:
    """Shape of one example, (channel, height, width).

    Raises:
        DataError: the input has no axis beside the batch.
    """
    return tuple(dim.dim_value for dim in _find_axes(model)[1:])


def find_opset(model: "ModelProto") -> int:
    """Version of the standard operators; 0 where the file uses none."""
    return next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)


def count_operators(model: "ModelProto") -> dict[str, int]:
    """Nodes by type of operator."""
    return dict(sorted(Counter(node.op_type for node in model.graph.node).items()))


def count_parameters(model: "ModelProto") -> int:
    """Elements of the constant tensors, in nodes and nested graphs too.

    Whole numbers of 8 bytes are shapes and indices, a single number in a node is part of its formula: no weights.
    """
    sizes = [(field, prod(t.dims)) for field, t in _list_tensors(model) if t.data_type != t.INT64]
    return sum(size for field, size in sizes if field != NODE_TENSOR or size > 1)


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
