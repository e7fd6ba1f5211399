"""Inputs and outputs of an ONNX file: which hold examples, along which axis, and which output holds the scores.

The axis of the examples is, from the first of these that applies,
1. the one that the caller names, of every input;
2. that of a size which every input has by a name like `batch`, `batch_size`;
3. that of a size which every input and the scores have by the name N, B or BS;
4. that of a size which every input has by the name of the scores' first size;
5. the first.
The axis of the scores is that of the same name, else the first.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dlmi_bench.errors import DataError, UsageError
from dlmi_bench.instruments.onnx.faults import graph_faults

if TYPE_CHECKING:
    from onnx import ModelProto, ValueInfoProto

Sizes = tuple[int | str, ...]
FLOATS = ("float32", "float16", "bfloat16", "float64")
MAPS = "maps"  # what ZipMap makes: a sequence with a map from class to score for each example
SCORES = (*FLOATS, MAPS, "int8", "uint8")
SHORT_NAMES = ("n", "b", "bs")  # of a batch


@dataclass(frozen=True)
class Port:
    """One input or output.

    Attributes:
        type: Of its elements, as numpy spells it; MAPS, or empty for all else that is no tensor.
        sizes: By axis, a word where the file leaves it free; none where it does not state them.
    """

    name: str
    type: str
    sizes: Sizes


@dataclass(frozen=True)
class Signature:
    """What a file takes and answers.

    Attributes:
        inputs: Those that examples go into.
        axes: Axis of the examples by input.
        output: The scores.
        output_axis: Axis of the examples in the scores.
        is_first: Whether the scores are the first output.
    """

    inputs: tuple[Port, ...]
    axes: dict[str, int]
    output: Port
    output_axis: int = 0
    is_first: bool = True

    @property
    def batch(self) -> int | None:
        """The only batch size that the file takes; None where it is free."""
        sizes = (self.list_sizes(port)[0] for port in self.inputs)
        return next((size for size in sizes if isinstance(size, int)), None)

    @property
    def types(self) -> dict[str, str]:
        """Type of the elements by input."""
        return {port.name: port.type for port in self.inputs}

    @property
    def example_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of one example by input; 0 for a size that the file leaves free."""
        shapes = {port.name: self.list_sizes(port)[1:] for port in self.inputs}
        return {name: tuple(n if isinstance(n, int) else 0 for n in sizes) for name, sizes in shapes.items()}

    @property
    def conditions(self) -> dict[str, str | int]:
        """What is not as in most files: another output than the first, examples along another axis than the first."""
        axis = max(self.axes.values())
        return ({} if self.is_first else {"output": self.output.name}) | ({"batch_axis": axis} if axis else {})

    def list_sizes(self, port: Port) -> Sizes:
        """Sizes of an input as the file states them, the batch first."""
        axis = self.axes[port.name]
        return (port.sizes[axis], *port.sizes[:axis], *port.sizes[axis + 1 :])

    def format_shape(self, port: Port) -> str:
        """Batch first, as the file states it, for instance Nx1x28x28."""
        return "x".join(str(size) or "?" for size in self.list_sizes(port))

    def check(self, shapes: dict[str, tuple[int, ...]]) -> None:
        """Compare shapes by input, batch first, with what the file states.

        Raises:
            DataError: the file takes others.
        """
        named: dict[int | str, int] = {}
        for port in self.inputs:
            stated, wanted = self.list_sizes(port), shapes.get(port.name)
            if wanted is None:
                said = f"no shape for its input {port.name!r}: it takes {', '.join(self.types)}"
                raise DataError(said, "name each, batch first: --input NAME=1,3,224,224, repeated")
            if len(stated) == len(wanted) and all(
                n == m if isinstance(n, int) else not n or named.setdefault(n, m) == m
                for n, m in zip(stated, wanted, strict=True)
            ):
                continue
            name = f" for {port.name!r}" if len(self.inputs) > 1 else ""
            is_turned = stated != wanted and sorted(map(str, stated[1:])) == sorted(map(str, wanted[1:]))
            hint = "; its channels stand on another axis (NHWC or NCHW)" if is_turned else ""
            given = "x".join(map(str, wanted))
            raise DataError(
                f"the ONNX file takes inputs of {self.format_shape(port)}{name}, not {given}{hint}",
                "name that shape with --input, a number in place of each word",
            )


def make_signature(
    inputs: Sequence[Port], outputs: Sequence[Port], *, output: str = "", batch_axis: int | None = None
) -> Signature:
    """Find scores and axes among all inputs and outputs of a file.

    Args:
        output: Name of the output that holds the scores; see `_choose_output` without one.
        batch_axis: Axis of the examples in every input; see the head of this module without one.

    Raises:
        UsageError: there is no such output or axis.
        DataError: no input, or one without an axis for the examples or of no numbers.
    """
    if not inputs:
        raise DataError("the ONNX file has no input", "export it with one for the examples")
    for port in inputs:
        if len(port.sizes) < (2 if len(inputs) == 1 else 1):
            cause = f"the input {port.name!r} of the ONNX file has no axis beside the batch ({len(port.sizes)} in all)"
            raise DataError(cause, "export it with a batch axis first")
        if port.type in ("", "string"):
            raise DataError(f"the input {port.name!r} of the ONNX file takes no numbers", "export the part behind it")
    chosen = _choose_output(outputs, output)
    if batch_axis is None:
        name = _find_batch_name(inputs, chosen)
        axes = {port.name: port.sizes.index(name) if name else 0 for port in inputs}
    else:
        if any(batch_axis >= len(port.sizes) for port in inputs):
            raise UsageError(f"--batch-axis {batch_axis}: an input has fewer axes", "count them from 0")
        axes = dict.fromkeys((port.name for port in inputs), batch_axis)
        name = str(inputs[0].sizes[batch_axis])
    output_axis = chosen.sizes.index(name) if name in chosen.sizes else 0
    return Signature(tuple(inputs), axes, chosen, output_axis, chosen == outputs[0])


def _choose_output(outputs: Sequence[Port], wanted: str) -> Port:
    """The named output, else the first of floats or maps, else the first of 8-bit integers, else the first.

    Classifiers of scikit-learn answer with labels first, whole numbers or words; their scores come second.
    """
    names = ", ".join(port.name for port in outputs)
    if wanted:
        if not (named := [port for port in outputs if port.name == wanted]):
            raise UsageError(f"--output {wanted}: the ONNX file has no such output", f"use one of {names}")
        outputs = named
    found = sorted((port for port in outputs if port.type in SCORES), key=lambda port: port.type in ("int8", "uint8"))
    return [*found, *outputs][0]


def _find_batch_name(inputs: Sequence[Port], output: Port) -> str:
    """Name of the size that counts examples; empty where there is none."""
    first = [size for size in inputs[0].sizes if isinstance(size, str) and size]
    shared = [name for name in first if all(name in port.sizes for port in inputs)]
    long = [name for name in shared if name.lower().startswith("batch")]
    short = [name for name in shared if name.lower() in SHORT_NAMES and name in output.sizes]
    scored = [name for name in shared if output.sizes[:1] == (name,)]
    return next(iter((*long, *short, *scored)), "")


@graph_faults()
def read_signature(model: "ModelProto", *, output: str = "", batch_axis: int | None = None) -> Signature:
    """Read what a file takes and answers; see `make_signature`. Weights listed among the inputs are no inputs.

    Raises:
        UsageError, DataError: see `make_signature`.
    """
    weights = {tensor.name for tensor in model.graph.initializer}  # old files list them
    weights |= {tensor.values.name for tensor in model.graph.sparse_initializer}
    inputs = [_read_port(value) for value in model.graph.input if value.name not in weights]
    outputs = [_read_port(value) for value in model.graph.output]
    return make_signature(inputs, outputs, output=output, batch_axis=batch_axis)


def find_input_shape(model: "ModelProto") -> tuple[int, ...]:
    """Shape of one example of the first input, (channel, height, width); 0 for a size that is free.

    Raises:
        DataError: see `make_signature`.
    """
    return next(iter(read_signature(model).example_shapes.values()))


def _read_port(value: "ValueInfoProto") -> Port:
    from onnx import helper

    kind, tensor = value.type, value.type.tensor_type
    if kind.HasField("sequence_type") and kind.sequence_type.elem_type.HasField("map_type"):
        return Port(value.name, MAPS, ())
    if not tensor.elem_type:
        return Port(value.name, "", ())
    name = helper.tensor_dtype_to_string(tensor.elem_type).removeprefix("TensorProto.").lower()
    type_ = {"float": "float32", "double": "float64"}.get(name, name)
    dims = tensor.shape.dim
    return Port(value.name, type_, tuple(d.dim_value if d.dim_value > 0 else d.dim_param for d in dims))
