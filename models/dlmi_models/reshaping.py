"""What a way of compactness does to the modules of a network, trained or not; its forward stays as it is.

Sources: truncated singular value decomposition for low rank, after E. Denton et al., NeurIPS (2014), and for
convolutions M. Jaderberg, A. Vedaldi, A. Zisserman, BMVC (2014); folding after B. Jacob et al., CVPR (2018).
"""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from dlmi_models.arms import Step

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
NORMALISATIONS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
LAYERS = (nn.Linear, *CONVOLUTIONS)


def reshape(network: nn.Module, steps: Iterable[Step]) -> nn.Module:
    """Give the network, in place, the modules that it has after these steps."""
    for step in steps:
        if step.kind == "lowrank":
            factorise(network, int(step.amount))
        elif step.kind in ("folded", "bits"):
            fold(network)
    return network


@torch.no_grad()
def fold(network: nn.Module) -> None:
    """Put each batch normalisation into the convolution whose output it alone reads; then it is computed no more.

    A network that torch.fx cannot trace keeps its normalisations.
    """
    network.eval()
    try:
        graph = fx.symbolic_trace(network).graph
    except Exception:  # noqa: BLE001 - a forward with branches on values; the tracer raises whatever it meets
        return
    modules = dict(network.named_modules())
    calls = [node for node in graph.nodes if node.op == "call_module"]
    n_calls = Counter(node.target for node in calls)
    for node in calls:
        first = node.args[0]
        if first not in calls or len(first.users) > 1 or n_calls[first.target] + n_calls[node.target] > 2:
            continue
        norm, layer = modules[node.target], modules[first.target]
        if isinstance(norm, NORMALISATIONS) and isinstance(layer, CONVOLUTIONS):
            _fuse(layer, norm)
            network.set_submodule(node.target, nn.Identity())


def _fuse(layer: Any, norm: Any) -> None:
    statistics = norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
    is_trained = layer.weight.requires_grad
    layer.weight, layer.bias = fuse_conv_bn_weights(layer.weight, layer.bias, *statistics)
    layer.bias.requires_grad_(is_trained)  # where there was none, torch makes one that is not trained


@torch.no_grad()
def factorise(network: nn.Module, rank: int) -> None:
    """Replace each layer by two of this rank, the nearest in the sum of squares, where that saves weights."""
    for name, layer in list(network.named_modules()):
        # Those of a derived class may be read by the module that holds them, as the last one of torch's attention is.
        is_plain = name and type(layer) in LAYERS and getattr(layer, "groups", 1) == 1
        if is_plain and _saves(layer.weight, rank):
            network.set_submodule(name, _split(layer, rank))


def _saves(weight: Tensor, rank: int) -> bool:
    n_out, n_in = weight.flatten(1).shape
    return rank * (n_out + n_in) < n_out * n_in


def _split(layer: Any, rank: int) -> nn.Sequential:
    """Two layers: the first keeps the kernel, the second mixes its outputs."""
    weight, bias = layer.weight, layer.bias
    left, values, right = torch.linalg.svd(weight.flatten(1), full_matrices=False)
    root = values[:rank].sqrt()
    first: Any
    second: Any
    if isinstance(layer, nn.Linear):
        first = nn.Linear(layer.in_features, rank, bias=False)
        second = nn.Linear(rank, layer.out_features, bias=bias is not None)
    else:
        kept = {name: getattr(layer, name) for name in ("kernel_size", "stride", "padding", "dilation", "padding_mode")}
        first = type(layer)(layer.in_channels, rank, bias=False, **kept)
        second = type(layer)(rank, layer.out_channels, 1, bias=bias is not None)
    first.weight.copy_((root[:, None] * right[:rank]).view(first.weight.shape))
    second.weight.copy_((left[:, :rank] * root).view(second.weight.shape))
    if bias is not None:
        second.bias.copy_(bias)
    return nn.Sequential(first, second)
