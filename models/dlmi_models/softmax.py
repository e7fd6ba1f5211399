"""Softmax regression: the linear floor every network has to clear.

Source: D. R. Cox, J. R. Stat. Soc. B 20 (1958) 215-242; any textbook since.
"""

from math import prod

from torch import Tensor, nn


class Softmax(nn.Module):
    """One linear layer from pixels to class scores."""

    def __init__(self, input_shape: tuple[int, ...], n_classes: int) -> None:
        super().__init__()
        self.out = nn.Linear(prod(input_shape), n_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)  # (batch, channel, height, width) -> (batch, input)
        return self.out(x)  # (batch, n_classes)


def compute_macs(input_shape: tuple[int, ...], n_classes: int) -> int:
    """Multiply-accumulates of one example."""
    return prod(input_shape) * n_classes
