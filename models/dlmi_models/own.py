"""Models of the user's: a factory of torch modules and how to ask what it makes, or files of finished weights.

A factory is given what it has parameters for: `input_shape`, `n_classes`, and what torchvision, timm and MONAI call the
same.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from inspect import Parameter, signature
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NoReturn
from weakref import WeakSet

from dlmi_bench.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor, nn

Factory = Callable[..., "nn.Module"]
Adapter = Callable[["nn.Module", "Tensor"], "Tensor"]  # (network, images) -> scores (batch, class)

_MADE: "WeakSet[nn.Module]" = WeakSet()  # networks that this process has handed out

# What functions that take **kwargs pass on to the class behind them.
PASSED_ON = {"torchvision": ("num_classes",), "timm": ("num_classes", "in_chans")}
ADAPTER = 'Model(factory, adapter=lambda network, x: network(x)["logits"]), or whatever picks the scores'


@dataclass(frozen=True, eq=False)
class Model:
    """A model of the user's.

    Attributes:
        factory: Makes a new network at each call; None where the checkpoints are ONNX files.
        adapter: Asks a network that takes more than the images, or answers with more than scores.
        fit: Trains the network in place of the recipe; see dlmi_tasks/training/own.py.
        checkpoints: Files of finished weights by seed index.
    """

    factory: Factory | None
    adapter: Adapter | None = None
    fit: Callable[..., Any] | None = None
    checkpoints: Mapping[int, Path] = field(default_factory=dict)

    @classmethod
    def from_checkpoints(
        cls,
        files: Mapping[int, str | Path] | Sequence[str | Path],
        factory: Factory | None = None,
        *,
        adapter: Adapter | None = None,
    ) -> "Model":
        """Take finished weights: accuracy and costs are measured, training is not.

        Args:
            files: By seed index, from 0 on, or in their order: safetensors or state dicts for `factory`, or ONNX files
                without one.
            factory: Makes the network of the weights.
            adapter: See `Model`.

        Raises:
            UsageError: a file is missing, or its kind and the factory do not go together.
        """
        numbered = files if isinstance(files, Mapping) else dict(enumerate(files))
        paths = {int(index): Path(file).absolute() for index, file in numbered.items()}
        if sorted(paths) != list(range(len(paths))) or not paths:
            raise UsageError(f"checkpoints for the seeds {sorted(paths)}", "number them from 0 on, one file each")
        for path in paths.values():
            if not path.is_file():
                raise UsageError(f"no file {path}", "name a file of weights that exists")
            if (path.suffix == ".onnx") != (factory is None):
                raise UsageError(
                    f"{path}: {'an ONNX file needs no factory' if factory else 'weights need a factory'}",
                    "hand over ONNX files alone, or state dicts (.safetensors, .pt, .pth) with factory=",
                )
        return cls(factory, adapter=adapter, checkpoints=paths)

    def build(self, name: str, input_shape: tuple[int, ...], n_classes: int | None) -> "nn.Module":
        """Build a network and try it on two empty examples; without `n_classes` any number of scores will do.

        Raises:
            UsageError: the factory cannot be called so, or the network does not answer with scores; says what to write.
        """
        from torch import nn

        if self.factory is None:
            raise UsageError(f"{name}: an ONNX file has no torch module", "use runtimes that load ONNX files")
        arguments = choose_arguments(name, self.factory, input_shape, n_classes)
        try:
            network = self.factory(**arguments)
        except BaseException as error:  # an exit, or an interrupt of its own: nobody else sends one to a worker
            said = f"{name}: {type(error).__name__}: {error}"
            raise UsageError(said, "call the factory in Python from this folder first") from error
        if not isinstance(network, nn.Module):
            raise UsageError(f"{name} is not a module: it made a {type(network).__name__}", "return a nn.Module")
        _check_new(name, network)
        if self.adapter:
            network = adapt(network, self.adapter)
        if n_classes is not None:
            check_scores(name, network, input_shape, n_classes)
        return network


def _check_new(name: str, network: "nn.Module") -> None:
    """Refuse a network that was handed out before: its weights would be those of another seed."""
    if network in _MADE:
        raise UsageError(
            f"{name}: the factory returned the same network twice", "make a new one at each call: lambda: Net()"
        )
    _MADE.add(network)


def as_model(value: Any, name: str) -> Model:
    """Take a model as the user wrote it: a Model, a factory, a class or the path of an ONNX file.

    Raises:
        UsageError: it is none of them.
    """
    if isinstance(value, Model):
        return value
    if isinstance(value, str) and value.endswith(".onnx"):
        return Model.from_checkpoints({0: value})
    if hasattr(value, "state_dict") and not isinstance(value, type):
        raise UsageError(
            f"model {name!r} is a network, which would be trained once and then again from there",
            "hand over what makes it: the class, or lambda: Net()",
        )
    if not callable(value):
        raise UsageError(f"model {name!r} is a {type(value).__name__}", "hand over a function or class that makes it")
    return Model(value)


def refuse_missing(module: ModuleType, factory: str) -> NoReturn:
    """Refuse a name that a module does not have.

    Raises:
        UsageError: always; lists what it has.
    """
    own = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
    where = getattr(module, "__file__", None) or module.__name__
    raise UsageError(f"{where} has no {factory!r}", f"use one of {', '.join(own[:MAX_SHOWN]) or 'none'}")


def choose_arguments(
    name: str, factory: Factory, input_shape: tuple[int, ...], n_classes: int | None
) -> dict[str, object]:
    """Arguments that the factory has parameters for.

    Raises:
        UsageError: it needs others.
    """
    offers: dict[str, object] = {
        "input_shape": tuple(input_shape),
        "in_channels": input_shape[0],
        "in_chans": input_shape[0],
        "spatial_dims": len(input_shape) - 1,
    }
    if n_classes is not None:
        offers |= dict.fromkeys(("n_classes", "num_classes"), n_classes)
    try:
        parameters = signature(factory).parameters
    except (TypeError, ValueError):  # of a builtin
        return {}
    taken = {key: value for key, value in offers.items() if key in parameters}
    needed = [key for key, p in parameters.items() if p.default is Parameter.empty and p.kind not in VARIADIC]
    if "out_channels" in needed and n_classes is not None:  # MONAI's word; elsewhere it is one with a default
        taken["out_channels"] = n_classes
    if any(p.kind is Parameter.VAR_KEYWORD for p in parameters.values()):
        root = getattr(factory, "__module__", "").partition(".")[0]
        taken |= {key: offers[key] for key in PASSED_ON.get(root, ()) if key in offers}
    if lacking := [key for key in needed if key not in taken]:
        if n_classes is None and set(lacking) <= {"n_classes", "num_classes", "out_channels"}:
            raise UsageError(f"{name}: the number of classes is not known", "name it: --classes 10, or n_classes=10")
        shown = getattr(factory, "__name__", "Net").replace("<lambda>", "Net")
        call = f"lambda: {shown}({', '.join(f'{key}=...' for key in lacking)})"
        raise UsageError(
            f"{name}: the factory needs {', '.join(lacking)}, which nobody gives it",
            f"hand over a function without arguments: {call}",
        )
    return taken


MAX_SHOWN = 20  # names in a message
VARIADIC = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)


def adapt(network: "nn.Module", adapter: Adapter) -> "nn.Module":
    """Wrap the network in a module that takes images and answers with scores."""
    from torch import Tensor, nn

    class Adapted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, x: Tensor) -> Tensor:
            return adapter(self.network, x)

    return Adapted()


def check_scores(name: str, network: "nn.Module", input_shape: tuple[int, ...], n_classes: int) -> None:
    """Check that two examples get two rows of scores; the network stays as it is.

    Raises:
        UsageError: they do not.
    """
    import torch

    is_training, state = network.training, torch.get_rng_state()
    try:
        with torch.inference_mode():
            scores = network.eval()(torch.zeros(2, *input_shape))
    except Exception as error:
        raise UsageError(
            f"{name} does not take images of {'x'.join(map(str, input_shape))}: {type(error).__name__}: {error}",
            _advise(error, input_shape),
        ) from error
    finally:
        network.train(is_training)
        torch.set_rng_state(state)
    if not isinstance(scores, torch.Tensor):
        held = f" with {', '.join(map(repr, scores))}" if isinstance(scores, Mapping) else ""
        raise UsageError(f"{name} answers with a {type(scores).__name__}{held}, not with scores", ADAPTER)
    if tuple(scores.shape) != (2, n_classes) or scores.dtype != torch.float32:
        raise UsageError(
            f"{name} answers two images with {tuple(scores.shape)} of {str(scores.dtype).removeprefix('torch.')}, "
            f"not with {(2, n_classes)} of float32: the task has {n_classes} classes",
            "answer in float32: scores.float()"
            if scores.dtype != torch.float32
            else "let the factory take n_classes, or write an adapter: " + ADAPTER,
        )


def _advise(error: Exception, input_shape: tuple[int, ...]) -> str:
    """Say what to do about an error of a network's forward."""
    if input_shape[0] == 1 and "channels" in str(error):
        return "take one channel, or repeat it: adapter=lambda network, x: network(x.expand(-1, 3, -1, -1))"
    if isinstance(error, KeyError | IndexError | AttributeError):
        return (
            "correct the adapter or the forward; an adapter takes (network, images) and returns scores (batch, class)"
        )
    return (
        "let the factory take input_shape and n_classes; a network of several inputs needs an adapter: "
        "Model(factory, adapter=lambda network, x: network(x, x.mean(1)))"
    )
