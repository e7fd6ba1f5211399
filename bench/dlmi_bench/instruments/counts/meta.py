"""Running a network on the meta device, where nothing is computed and shapes are all."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from dlmi_bench.errors import UsageError


class OnMeta(TorchDispatchMode):
    """Record every operator, and move the tensors that meet one on the meta device there.

    `Module.to` leaves those behind that are plain attributes, and networks make others on a device that they name.
    """

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[torch._ops.OpOverload] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.calls.append(func)
        given = (args, kwargs or {})
        if any(isinstance(value, Tensor) and value.is_meta for value in tree_leaves(given)):
            given = tree_map(_move, given)
        return func(*given[0], **given[1])


def _move(value: Any) -> Any:
    if isinstance(value, torch.device):
        return torch.device("meta")
    return value.to("meta") if isinstance(value, Tensor) else value


def list_tensors(output: Any) -> Iterator[Tensor]:
    """List the tensors of an output, also those in tuples, dictionaries and dataclasses."""
    for leaf in tree_leaves(output):
        if isinstance(leaf, Tensor):
            yield leaf
        elif is_dataclass(leaf) and not isinstance(leaf, type):
            yield from list_tensors([getattr(leaf, field.name) for field in fields(leaf)])


def train(network: nn.Module) -> None:
    """Put `network` into training mode, but for batch normalisation, which refuses a batch of one there.

    It multiplies no two tensors to sum over in either mode.
    """
    network.train()
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()


def list_roots(output: Any) -> list[Tensor]:
    """List the tensors of an output from which gradients flow back.

    Raises:
        UsageError: there is none, so that the network cannot be trained by this output.
    """
    roots = [tensor for tensor in list_tensors(output) if tensor.requires_grad]
    if not roots:
        remedy = "return scores that depend on the parameters, outside of no_grad and before argmax"
        raise UsageError("no tensor of the output carries a gradient of a trainable parameter", remedy)
    return roots
