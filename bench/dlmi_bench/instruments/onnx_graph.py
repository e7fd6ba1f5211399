"""Costs of an ONNX file that are exact on any machine: its operators and its peak of live activations."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from math import prod
from pathlib import Path
from stat import S_ISREG
from typing import TYPE_CHECKING, Any

from dlmi_bench.errors import DataError
from dlmi_bench.instruments.onnx_faults import graph_faults, infer_graph, limited_memory

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from onnx import GraphProto, ModelProto, TensorProto, TensorShapeProto, ValueInfoProto

NODE_TENSOR = "t"  # the field of a node's attribute
MAX_BYTES = 2**31 - 1  # protobuf reads no longer message
MAX_ELEMENTS = 2**63 - 1  # what ONNX's own sizes, of 8 bytes, can say
MAX_FIELDS = 5 * 10**6  # a network of 100 000 operators has a fifth of them
MAX_NODES = 10**6  # after functions are expanded, which doubles them with each level where each calls two
NUMBER = re.compile(r"[0-9]{1,19}")


def load_graph(path: Path, *, is_whole: bool = True) -> "ModelProto":
    """Parse and check one file; of other files at most the sizes are looked at.

    Args:
        is_whole: Refuse weights in other files; else they must lie in the folder of the file, or below.

    Raises:
        DataError: cannot be read, not an ONNX file, or one whose weights lie elsewhere.
    """
    import onnx

    with graph_faults(path):
        found = path.stat()
        if not S_ISREG(found.st_mode) or found.st_size > MAX_BYTES:  # a pipe would never end
            raise DataError(f"not a regular file of at most {MAX_BYTES} bytes", "name a file that can be read")
        with limited_memory(found.st_size):
            model = onnx.load_model(path, format="protobuf", load_external_data=False)
        _check_fields(model)
        others = list_external_files(model, path)
        if others and is_whole:
            raise DataError("weights lie in another file", "export it in one file")
        with limited_memory(found.st_size):
            onnx.checker.check_model(str(path))
        _check_functions(model)
        if not model.graph.output:
            raise DataError("graph.output: none", "export it with an output")
    return model


def _check_fields(model: "ModelProto") -> None:
    """Refuse what a reader of the graph would stumble over; the parser and the checker let it pass."""
    from onnx import TensorProto

    kinds: Any = TensorProto.DataType
    for n, (place, field, value) in enumerate(_list_fields(model)):
        if n > MAX_FIELDS:
            raise DataError(f"{place}: more than {MAX_FIELDS} fields", "export a smaller model")
        if field.type == field.TYPE_STRING:  # bytes where it cannot be decoded
            if any(isinstance(text, bytes) for text in ([value] if isinstance(value, str | bytes) else value)):
                raise DataError(f"{place}: text that is not UTF-8", "export it again")
        elif field.name in ("data_type", "elem_type") and field.message_type is None:
            if value not in kinds.values():
                raise DataError(f"{place}: no type of elements has the number {value}", "export it again")
        elif field.name == "dims" and (min(value, default=0) < 0 or prod(value) > MAX_ELEMENTS):
            raise DataError(f"{place}: no tensor has this size", "export it again")


def _check_functions(model: "ModelProto") -> None:
    """Refuse functions that call each other so often that nobody can expand them."""
    bodies = {(function.domain, function.name): function for function in model.functions}

    @cache
    def count(key: tuple[str, str]) -> int:
        return 1 + (count_all(bodies[key]) if key in bodies else 0)

    def count_all(message: "Message") -> int:
        return sum(count((node.domain, node.op_type)) for _, node in _list_messages(message, "NodeProto"))

    if bodies and count_all(model.graph) > MAX_NODES:
        raise DataError(f"functions: expanded, they are more than {MAX_NODES} operators", "export it without functions")


def list_external_files(model: "ModelProto", path: Path) -> list[Path]:
    """Files beside the model that hold its weights, each once.

    Raises:
        DataError: one that is missing, whose path or link leaves the folder of the model, or that is too short.
    """
    found: dict[Path, None] = {}
    for tensor in (tensor for _, tensor in _list_messages(model, "TensorProto") if _is_external(tensor)):
        where = f"tensor {tensor.name!r}: external data"
        with graph_faults(f"{path}: {where}"):
            found[_find_external(path, {entry.key: entry.value for entry in tensor.external_data})] = None
    return list(found)


def _find_external(path: Path, entries: dict[str, str]) -> Path:
    folder, location = path.resolve().parent, entries.get("location", "")
    file = (folder / location).resolve()
    if not location or Path(location).is_absolute() or not file.is_relative_to(folder):
        remedy = "export the model in one file, or with its weights beside it; nothing outside its folder is read"
        raise DataError(f"{location!r} leaves the folder of the file", remedy)
    if not file.is_file():
        raise DataError(f"no file {location!r}", "put it beside the model")
    extent = [entries.get(name, "0") for name in ("offset", "length")]
    if not all(map(NUMBER.fullmatch, extent)) or sum(map(int, extent)) > file.stat().st_size:
        raise DataError(f"offset or length lies outside {location!r}", "export it again, with its weights beside it")
    return file


def _is_external(tensor: "TensorProto") -> bool:
    return bool(tensor.data_location == tensor.EXTERNAL or tensor.external_data)


def _list_fields(message: "Message", where: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Every field that is set, at any depth: its place for a reader, its descriptor, its value."""
    for field, value in message.ListFields():
        place = f"{where}{field.name}"
        yield place, field, value
        if field.message_type is not None:
            if hasattr(value, "ListFields"):
                yield from _list_fields(value, f"{place}.")
            else:
                for i, part in enumerate(value):
                    yield from _list_fields(part, f"{place}[{i}].")


def _list_messages(message: "Message", kind: str) -> Iterator[tuple[str, Any]]:
    """Wherever they are, with the field that holds them: in attributes, subgraphs, functions, sparse tensors."""
    for _, field, value in _list_fields(message):
        if field.message_type is not None and field.message_type.name == kind:
            yield from ((field.name, part) for part in ([value] if hasattr(value, "ListFields") else value))


@graph_faults()
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
        graph = infer_graph(fixed)
    except onnx.shape_inference.InferenceError as error:
        raise DataError(f"shapes in the ONNX file contradict each other ({error})", "export it again") from error
    shapes = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        kind = value.type.tensor_type
        sizes = [dim.dim_value for dim in kind.shape.dim]
        if kind.HasField("shape") and all(size > 0 for size in sizes) and prod(sizes) <= MAX_ELEMENTS:
            shapes.setdefault(value.name, sizes)
    return graph, shapes


@graph_faults()
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


@graph_faults()
def count_parameters(model: "ModelProto") -> int:
    """Elements of the constant tensors, in nodes and nested graphs too.

    Whole numbers of 8 bytes are shapes and indices, a single number in a node is part of its formula: no weights.
    """
    sizes = [(field, prod(t.dims)) for field, t in _list_messages(model, "TensorProto") if t.data_type != t.INT64]
    return sum(size for field, size in sizes if field != NODE_TENSOR or size > 1)


@graph_faults()
def compute_peak_activation_bytes(model: "ModelProto") -> int:
    """Most bytes of activations that are alive at once at batch 1, when nodes run in the order of the file.

    A tensor lives from the node that makes it to the last one that reads it. Weights and what follows from them alone
    do not count. Every element counts 4 bytes where it is float32, else the size of its type.

    Raises:
        DataError: the shape of some tensor cannot be inferred.
    """
    fixed = type(model)()
    fixed.CopyFrom(model)
    _find_axes(fixed)[0].dim_value = 1
    graph = infer_graph(fixed)
    sizes = _collect_sizes(graph)
    weights = {tensor.name for tensor in graph.initializer}
    alive = {value.name for value in graph.input} - weights
    last_use = {name: i for i, node in enumerate(graph.node) for name in node.input}
    outputs = {value.name for value in graph.output}
    peak, total, unread = 0, sum(_find_size(name, sizes) for name in alive), set(alive)
    for i, node in enumerate(graph.node):
        made = set(filter(None, node.output)) - alive if not alive.isdisjoint(node.input) else set()
        alive |= made
        total += sum(_find_size(name, sizes) for name in made)
        peak = max(peak, total)
        read = alive & {*node.input, *made, *unread}
        gone = {name for name in read if last_use.get(name, -1) <= i and name not in outputs}
        alive -= gone
        total, unread = total - sum(_find_size(name, sizes) for name in gone), set()
    return peak


def _collect_sizes(graph: "GraphProto") -> dict[str, int]:
    from onnx import helper

    sizes: dict[str, int] = {}
    for value in (*graph.input, *graph.value_info, *graph.output):
        kind = value.type.tensor_type
        # The free batch size of the file is one here.
        n_elements = prod(d.dim_value if d.HasField("dim_value") else 1 for d in kind.shape.dim)
        if kind.elem_type and 0 <= n_elements <= MAX_ELEMENTS:  # a sequence or a map has no size
            sizes[value.name] = n_elements * helper.tensor_dtype_to_np_dtype(kind.elem_type).itemsize
    return sizes


def _find_size(name: str, sizes: dict[str, int]) -> int:
    if name not in sizes:
        raise DataError(f"ONNX graph: tensor {name!r} has no known shape", "export it with shape inference")
    return sizes[name]
