"""Weights of a few bits: each unit, along the first axis, has a scale, and its weights are whole multiples of it.

Trained with rounding in place (quantisation-aware), the scale too; the gradient passes the rounding as if it were not
there. Scales, biases and all other numbers end as float16.

Sources: B. Jacob et al., CVPR (2018); S. K. Esser et al., "Learned Step Size Quantization", ICLR (2020); for ternary
weights F. Li, B. Liu, "Ternary Weight Networks" (2016).
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

LEAST = 2.0**-24  # of the numbers of float16; a unit without weights has no other scale
N_SCALES = 40  # tried at the start, from a part of the largest weight to all of it


class Grid(nn.Module):
    """Rounds weights to multiples of a scale for each unit, at most `n_largest` of them either way."""

    def __init__(self, weight: Tensor, n_largest: int) -> None:
        super().__init__()
        self.n_largest = n_largest
        self.log_scale = nn.Parameter(_find_scales(weight, n_largest).log())

    def forward(self, weight: Tensor) -> Tensor:
        scale = _pass(self.log_scale.exp().clamp(min=LEAST), lambda x: x.half().float())
        ratio = (weight / scale).clamp(-self.n_largest, self.n_largest)
        return _pass(ratio, torch.round) * scale


def _pass(value: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    """The changed value, with the gradient of the value itself."""
    return value + (change(value) - value).detach()


@torch.no_grad()
def _find_scales(weight: Tensor, n_largest: int) -> Tensor:
    """Scale of each unit, (unit, 1, ..), that leaves the least sum of squares."""
    flat = weight.flatten(1)
    largest = flat.abs().amax(1, keepdim=True).clamp(min=1e-4)
    scales = largest * torch.linspace(1 / N_SCALES, 1, N_SCALES) / n_largest  # (unit, scale)
    rounded = (flat[:, None] / scales[..., None]).round().clamp(-n_largest, n_largest) * scales[..., None]
    best = (rounded - flat[:, None]).square().sum(-1).argmin(1, keepdim=True)
    return scales.gather(1, best).view(-1, *[1] * (weight.ndim - 1))


def attach(network: nn.Module, n_largest: int) -> None:
    """Round all parameters of two or more axes from now on."""
    for module in list(network.modules()):
        for name, weight in list(module.named_parameters(recurse=False)):
            if weight.ndim > 1:
                parametrize.register_parametrization(module, name, Grid(weight, n_largest))


@torch.no_grad()
def bake(network: nn.Module) -> None:
    """Leave the rounded weights in place of what rounds them, and all other numbers as float16 has them."""
    rounded = set()
    for module in list(network.modules()):
        for name in list(getattr(module, "parametrizations", ())):
            parametrize.remove_parametrizations(module, name, leave_parametrized=True)
            rounded.add(id(getattr(module, name)))
    for number in (*network.parameters(), *network.buffers()):
        if id(number) not in rounded and number.is_floating_point():
            number.copy_(number.half().float())
