"""Walks through an ONNX file: fields, messages and nodes, at any depth."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from onnx import GraphProto, NodeProto, TensorProto


def list_fields(message: "Message", where: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Every field that is set, at any depth: its place for a reader, its descriptor, its value."""
    for field, value in message.ListFields():
        place = f"{where}{field.name}"
        yield place, field, value
        if field.message_type is not None:
            if hasattr(value, "ListFields"):
                yield from list_fields(value, f"{place}.")
            else:
                for i, part in enumerate(value):
                    yield from list_fields(part, f"{place}[{i}].")


def list_messages(message: "Message", kind: str) -> Iterator[tuple[str, Any]]:
    """Wherever they are, with the field that holds them: in attributes, subgraphs, functions, sparse tensors."""
    for _, field, value in list_fields(message):
        if field.message_type is not None and field.message_type.name == kind:
            yield from ((field.name, part) for part in ([value] if hasattr(value, "ListFields") else value))


def list_nodes(message: "Message") -> "Iterator[NodeProto]":
    """Every node, those in branches, loop bodies and functions too."""
    return (node for _, node in list_messages(message, "NodeProto"))


def list_bodies(node: "NodeProto") -> "list[GraphProto]":
    """Graphs that the node runs: the branches of `If`, the body of `Loop` or `Scan`."""
    return [attribute.g for attribute in node.attribute if attribute.HasField("g")]


def list_reads(node: "NodeProto") -> set[str]:
    """Names of the tensors that the node reads, those that its bodies take from the graph around them too."""
    return {name for name in node.input if name}.union(*(_list_captured(body) for body in list_bodies(node)))


def _list_captured(body: "GraphProto") -> set[str]:
    made = {value.name for value in body.input} | {tensor.name for tensor in body.initializer}
    made |= {name for node in body.node for name in node.output}
    read = {value.name for value in body.output}.union(*(list_reads(node) for node in body.node))
    return read - made


def is_external(tensor: "TensorProto") -> bool:
    """Check whether the values of the tensor lie in another file."""
    return bool(tensor.data_location == tensor.EXTERNAL or tensor.external_data)


def describe_name(node: "NodeProto") -> str:
    """Name of the operator, with its domain where that is not the standard one."""
    return f"{node.domain}.{node.op_type}" if node.domain not in ("", "ai.onnx") else node.op_type
