"""Models to count or profile: a registered one, an ONNX file, or a factory of the user's."""

import copy
import re
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from dlmi_bench.errors import DataError, UsageError, describe_fault
from dlmi_bench.instruments.onnx_faults import graph_faults
from dlmi_bench.jobs.plugins import Place, adopt_model, find_model
from dlmi_bench.records import Plain
from dlmi_bench.search_path import append_user_path
from dlmi_models import MODELS

if TYPE_CHECKING:
    from torch import nn


class Subject(Plain):
    """One model and the shape of one example, (channel, height, width); a model of a task has its classes too."""

    kind: Literal["model", "factory", "file", "object"]
    name: str
    input_shape: tuple[int, ...]
    batch: int = 1
    n_classes: int | None = None


def parse_subject(text: str, input_text: str | None) -> Subject:
    """A subject from the words of the command line; no module of the user's is imported here.

    Raises:
        UsageError: no such model or file, or the shape is missing or not a shape.
        DataError: the file is no ONNX file.
    """
    given = _parse_shape(input_text) if input_text else None
    if text in MODELS:
        batch, *shape = given or (1, *MODELS[text].usual.input_shape)
        return Subject(kind="model", name=text, input_shape=tuple(shape), batch=batch)
    if text.endswith(".onnx"):
        if not Path(text).is_file():
            raise UsageError(f"no file {text}", "name an ONNX file that exists")
        if not str(Path(text).resolve()).isprintable():
            raise UsageError(
                f"{text!r}: its path is not printable text", "give the file and its folders names in UTF-8"
            )
        batch, *shape = given or _read_shape(Path(text))
        return Subject(kind="file", name=str(Path(text).resolve()), input_shape=tuple(shape), batch=batch)
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


def _parse_shape(text: str) -> tuple[int, ...]:
    is_shape = re.fullmatch(r" *[0-9]{1,9}( *, *[0-9]{1,9})+ *", text)
    shape = tuple(int(part) for part in text.split(",")) if is_shape else ()
    if not shape or min(shape) < 1:
        raise UsageError(f"--input {text[:80]}: not a shape", "batch first, for instance --input 1,1,50,50")
    return shape


def _read_shape(path: Path) -> tuple[int, ...]:
    """Batch first: the only one that the file takes, else 1."""
    from dlmi_bench.instruments.onnx_graph import find_batch, find_input_shape, format_input_shape, load_graph

    with graph_faults(path):
        graph = load_graph(path, is_whole=False)
        shape = find_input_shape(graph)
        if min(shape) < 1:
            raise UsageError(
                f"{path}: the shape of its input is stated as {format_input_shape(graph)}",
                "name a number for each axis, batch first: --input 1,3,224,224",
            )
        return (find_batch(graph) or 1, *shape)


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
