"""ONNX files from outside: parsed and checked before anything else reads them."""

from functools import cache
from math import prod
from pathlib import Path
from stat import S_ISREG
from typing import TYPE_CHECKING, Any

from dlmi_bench.errors import DataError
from dlmi_bench.files import is_lfs_pointer, make_lfs_error
from dlmi_bench.instruments.onnx.external import list_external_files, strip_weights
from dlmi_bench.instruments.onnx.faults import graph_faults, limited_memory
from dlmi_bench.instruments.onnx.walk import list_fields, list_nodes

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from onnx import ModelProto

MAX_BYTES = 2**31 - 1  # protobuf reads no longer message
MAX_ELEMENTS = 2**63 - 1  # what ONNX's own sizes, of 8 bytes, can say
MAX_FIELDS = 5 * 10**6  # a network of 100 000 operators has a fifth of them
MAX_NODES = 10**6  # after functions are expanded, which doubles them with each level where each calls two


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
        if is_lfs_pointer(path):
            raise make_lfs_error(path)
        with limited_memory(found.st_size):
            model = onnx.load_model(path, format="protobuf", load_external_data=False)
        _check_fields(model)
        others = list_external_files(model, path)
        if others and is_whole:
            raise DataError("weights lie in another file", "export it in one file")
        with limited_memory(found.st_size):
            onnx.checker.check_model(strip_weights(model) if others else model)
        _check_functions(model)
        if not model.graph.output:
            raise DataError("graph.output: none", "export it with an output")
    return model


def parse_graph(file: str | bytes) -> "ModelProto":
    """Parse the path or the content of a file that a runtime has loaded, unchecked and without its other files.

    Raises:
        DataError: it has changed meanwhile.
    """
    import onnx

    with graph_faults(file if isinstance(file, str) else ""):
        return onnx.load_model_from_string(file if isinstance(file, bytes) else Path(file).read_bytes())


def _check_fields(model: "ModelProto") -> None:
    """Refuse what a reader of the graph would stumble over; the parser and the checker let it pass."""
    from onnx import TensorProto

    kinds: Any = TensorProto.DataType
    for n, (place, field, value) in enumerate(list_fields(model)):
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
        return sum(count((node.domain, node.op_type)) for node in list_nodes(message))

    if bodies and count_all(model.graph) > MAX_NODES:
        raise DataError(f"functions: expanded, they are more than {MAX_NODES} operators", "export it without functions")
