"""The 1989 zip-code net: 1 256 units, 64 660 connections, 9 760 free parameters.

Source: Y. LeCun et al., "Backpropagation Applied to Handwritten Zip Code Recognition", Neural Computation 1 (1989)
541-551. Feature maps share their kernels but every unit has a bias of its own. Each map of the second layer sees eight
of the twelve maps below; the paper does not print which eight, so here three groups of four maps see the maps 0-7,
4-11 and 8-11 with 0-3.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

BACKGROUND = -1.0  # "the region beyond the boundaries of the input has the background level"
GROUPS = ((0, 1), (1, 2), (2, 0))  # which quarters-of-twelve (four maps each) feed each group of four maps


class LeCun1989(nn.Module):
    """Two layers of shared 5x5 kernels with stride 2, a hidden layer of 30, ten outputs; scaled tanh throughout."""

    def __init__(self, input_shape: tuple[int, ...], n_classes: int) -> None:
        """`input_shape` is (1, 16, 16): the biases of the units belong to that grid."""
        super().__init__()
        self.h1 = nn.Conv2d(1, 12, 5, stride=2, bias=False)
        self.h1_bias = nn.Parameter(torch.zeros(12, 8, 8))
        groups = [nn.Conv2d(8, 4, 5, stride=2, bias=False) for _ in GROUPS]
        self.h2 = nn.ModuleList(groups)
        self.h2_bias = nn.Parameter(torch.zeros(12, 4, 4))
        self.h3 = nn.Linear(192, 30)
        self.out = nn.Linear(30, n_classes)
        for weights in (self.h1.weight, *(conv.weight for conv in groups), self.h3.weight, self.out.weight):
            bound = 2.4 / weights[0].numel()  # "between -2.4/F_i and 2.4/F_i", F_i the number of inputs
            # The paper's uniform range shrinks with the fan-in; its square root keeps the signal under AdamW.
            nn.init.uniform_(weights, -(bound**0.5), bound**0.5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.pad(x, (2, 2, 2, 2), value=BACKGROUND)  # (batch, 1, 20, 20)
        x = squash(self.h1(x) + self.h1_bias)  # (batch, 12, 8, 8)
        x = F.pad(x, (2, 2, 2, 2), value=BACKGROUND)  # (batch, 12, 12, 12)
        parts = x.split(4, dim=1)  # 3 x (batch, 4, 12, 12)
        maps = [conv(torch.cat([parts[a], parts[b]], 1)) for conv, (a, b) in zip(self.h2, GROUPS, strict=True)]
        x = squash(torch.cat(maps, 1) + self.h2_bias)  # (batch, 12, 4, 4)
        x = squash(self.h3(x.flatten(1)))  # (batch, 30)
        return self.out(x)  # (batch, 10); cross-entropy takes the place of the paper's tanh and squared error


def squash(x: Tensor) -> Tensor:
    """The paper's scaled hyperbolic tangent A tanh(S x), A = 1.7159, S = 2/3."""
    return 1.7159 * torch.tanh(2 / 3 * x)


def compute_macs(input_shape: tuple[int, ...], n_classes: int) -> int:
    """Multiply-accumulates of one example: its connections, less those of the biases."""
    first = 25 * 12 * 8 * 8
    second = 25 * 8 * 12 * 4 * 4  # each map sees eight maps
    return first + second + 192 * 30 + 30 * n_classes
