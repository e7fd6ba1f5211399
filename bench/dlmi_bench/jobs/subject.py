"""Models to count or profile: a registered one, an ONNX file, or a factory of the user's."""

import copy
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dlmi_bench.errors import DataError, UsageError, describe_fault
from dlmi_bench.instruments.onnx.faults import graph_faults
from dlmi_bench.jobs.plugins import Place, adopt_model, find_model
from dlmi_bench.records import Plain
from dlmi_bench.search_path import append_user_path
from dlmi_models import MODELS

if TYPE_CHECKING:
    from torch import nn

    from dlmi_bench.instruments.onnx.ports import Signature


class Subject(Plain):
    """One model and the shape of one example, (channel, height, width); a model of a task has its classes too.

    Attributes:
        input_shape: Of an ONNX file with several inputs that of the first.
        input_shapes: Of an ONNX file with several inputs all of them, by name.
        output: Output of an ONNX file that holds the scores; empty where it is found by itself.
        batch_axis: Axis of the examples in the inputs of an ONNX file; None where it is found by itself.
        examples: Path of an .npz file with examples for an ONNX file; empty for random ones.
    """

    kind: Literal["model", "factory", "file", "object"]
    name: str
    input_shape: tuple[int, ...]
    batch: int = 1
    n_classes: int | None = None
    input_shapes: dict[str, tuple[int, ...]] = {}
    output: str = ""
    batch_axis: int | None = None
    examples: str = ""

    @property
    def shape_text(self) -> str:
        """Shape of one example for a reader, for instance 1x28x28; by name where there are several inputs."""
        shapes = self.input_shapes or {"": self.input_shape}
        return ", ".join(f"{name} {'x'.join(map(str, shape))}".strip() for name, shape in shapes.items())

    @property
    def choices(self) -> dict[str, Any]:
        """Choices for `BackendEntry.load` and `read_signature`: only those that were made."""
        return ({"output": self.output} if self.output else {}) | (
            {} if self.batch_axis is None else {"batch_axis": self.batch_axis}
        )

    def name_shapes(self, signature: "Signature") -> dict[str, tuple[int, ...]]:
        """Shape of one example by input of the file."""
        return self.input_shapes or {signature.inputs[0].name: self.input_shape}


def parse_subject(
    text: str, inputs: str | Sequence[str] | None, *, output: str = "", batch_axis: int | None = None
) -> Subject:
    """A subject from the words of the command line; no module of the user's is imported here.

    Args:
        inputs: Shape of the input, batch first; of a file with several inputs one NAME=SHAPE for each. For an ONNX
            file also the path of an .npz file with examples.
        output, batch_axis: See `Subject`.

    Raises:
        UsageError: no such model or file, or the shape is missing or not a shape.
        DataError: the file is no ONNX file.
    """
    words = [inputs] if isinstance(inputs, str) else [*(inputs or ())]
    if text.endswith(".onnx") and text not in MODELS:
        return _parse_file(text, words, output, batch_axis)
    if output or batch_axis is not None or len(words) > 1:
        raise UsageError(f"{text}: several --input, --output and --batch-axis are for ONNX files", "leave them out")
    given = _parse_shape(words[0]) if words else None
    if text in MODELS:
        batch, *shape = given or (1, *MODELS[text].usual.input_shape)
        return Subject(kind="model", name=text, input_shape=tuple(shape), batch=batch)
    find_model(text)
    if given is None:
        raise UsageError(f"{text}: the shape of its input is not known", "name it: --input 1,3,224,224")
    return Subject(kind="factory", name=text, input_shape=given[1:], batch=given[0])


def adopt_subject(network: object, input_text: str | None) -> Subject:
    """Make a subject of a network, or of what makes one, that lives in this process.

    Raises:
        UsageError: it is neither, or the shape is missing or not a shape.
    """
    from torch import nn

    from dlmi_models.own import Model, as_model

    is_network = isinstance(network, nn.Module)
    name = type(network).__name__ if is_network else getattr(network, "__name__", type(network).__name__)
    if input_text is None:
        raise UsageError(f"{name}: the shape of its input is not known", "name it: input_shape=(1, 3, 224, 224)")
    batch, *shape = _parse_shape(input_text)
    name = f"{name} of this process"
    adopt_model(name, Model(lambda: copy.deepcopy(network)) if is_network else as_model(network, name))  # type: ignore[arg-type,return-value]
    return Subject(kind="object", name=name, input_shape=tuple(shape), batch=batch)


def _parse_shape(text: str, n_least: int = 2) -> tuple[int, ...]:
    is_shape = re.fullmatch(r" *[0-9]{1,9}( *, *[0-9]{1,9})* *", text)
    shape = tuple(int(part) for part in text.split(",")) if is_shape else ()
    if len(shape) < n_least or min(shape) < 1:
        raise UsageError(f"--input {text[:80]}: not a shape", "batch first, for instance --input 1,1,50,50")
    return shape


def _parse_file(text: str, words: list[str], output: str, batch_axis: int | None) -> Subject:
    """An ONNX file, with the shapes that it states or, where it leaves one open, the words."""
    from dlmi_bench.backends.examples import get_arrays
    from dlmi_bench.instruments.onnx.external import locate_model
    from dlmi_bench.instruments.onnx.loading import load_graph
    from dlmi_bench.instruments.onnx.ports import read_signature
    from dlmi_bench.jobs.inputs import read_examples

    if not Path(text).is_file():
        raise UsageError(f"no file {text}", "name an ONNX file that exists")
    path = locate_model(Path(text))
    if not str(path).isprintable():
        raise UsageError(f"{text!r}: its path is not printable text", "give the file and its folders names in UTF-8")
    with graph_faults(Path(text)):
        signature = read_signature(load_graph(Path(text), is_whole=False), output=output, batch_axis=batch_axis)
        examples = words[0] if len(words) == 1 and words[0].endswith(".npz") else ""
        if examples:
            arrays = get_arrays(read_examples(Path(examples)), signature)
            batch = signature.batch or 1
            shapes = {name: arrays[name].shape[1:] for name in signature.types}
            signature.check({name: (batch, *shape) for name, shape in shapes.items()})
        else:
            batch, shapes = _fill_shapes(text, signature, words)
    return Subject(
        kind="file",
        name=str(path),
        input_shape=shapes[signature.inputs[0].name],
        batch=batch,
        input_shapes=shapes if len(shapes) > 1 else {},
        output=output,
        batch_axis=batch_axis,
        examples=examples and str(Path(examples).resolve()),
    )


def _fill_shapes(text: str, signature: "Signature", words: list[str]) -> tuple[int, dict[str, tuple[int, ...]]]:
    """The batch, 1 where it is free, and the shape of one example by input."""
    shapes = {name: (signature.batch or 1, *shape) for name, shape in signature.example_shapes.items()}
    shapes |= _parse_shapes(words, [*signature.types])
    for port in signature.inputs:
        if min(shapes[port.name][1:], default=1) < 1:
            name = f"{port.name}=" if len(shapes) > 1 else ""
            raise UsageError(
                f"{text}: the shape of its input is stated as {signature.format_shape(port)}",
                f"name a number for each axis, batch first: --input {name}1,3,224,224",
            )
    batches = {shape[0] for shape in shapes.values()}
    if len(batches) > 1:
        raise UsageError(f"--input: batches of {sorted(batches)}", "give every input the same first number")
    return batches.pop(), {name: shape[1:] for name, shape in shapes.items()}


def _parse_shapes(words: list[str], names: list[str]) -> dict[str, tuple[int, ...]]:
    """Shapes by input, batch first; without a name that of the only input."""
    shapes = {}
    for word in words:
        name, equals, shape = word.rpartition("=")
        if not equals and len(names) > 1:
            cause = f"--input {word[:80]}: the file has the inputs {', '.join(names)}"
            raise UsageError(cause, "name each of them: --input NAME=1,3,224,224, repeated")
        if equals and name not in names:
            raise UsageError(f"--input {word[:80]}: no such input", f"use one of {', '.join(names)}")
        shapes[name or names[0]] = _parse_shape(shape, n_least=1 if len(names) > 1 else 2)
    return shapes


def register(subject: Subject) -> None:
    """Let a factory join the registry of this process, so that every runtime finds it that looks up a name.

    The name is the word of the command line; the word of a file that was written with it is looked up and never run.
    """
    if subject.kind == "factory":
        append_user_path(str(Path.cwd()))
        place = find_model(subject.name)
        assert isinstance(place, Place)
        MODELS[subject.name] = place.make_entry(subject.name)


def build(subject: Subject) -> "nn.Module":
    """The network of a model or factory, freshly initialised from a fixed seed.

    Raises:
        UsageError: the factory cannot be imported or called, or what it makes is not a module.
    """
    import torch

    register(subject)
    if subject.kind == "file":
        raise DataError(f"{subject.name}: an ONNX file has no torch module", "name a model or a factory")
    torch.manual_seed(0)
    try:
        return MODELS[subject.name].build(subject.input_shape, subject.n_classes)
    except UsageError:
        raise
    except BaseException as error:  # an exit, or an interrupt of its own: nobody else sends one to a worker
        said = f"{subject.name}: {describe_fault(error, subject.name)}"
        raise UsageError(said, "import it in Python from this folder first") from error


def compute_closed_form(subject: Subject) -> int | None:
    """Multiply-accumulates by the formula of a registered architecture; None where there is none."""
    if subject.kind != "model":
        return None
    return MODELS[subject.name].compute_macs(subject.input_shape, subject.n_classes)
