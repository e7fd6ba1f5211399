"""Fully connected net with one or two hidden layers: with two the course's model.

Source: the course assignment behind this suite; D. E. Rumelhart, G. E. Hinton, R. J. Williams, Nature 323 (1986)
533-536; rectifiers after V. Nair, G. E. Hinton, ICML (2010).
"""

from math import prod

from torch import Tensor, nn


class MLP(nn.Module):
    """Pixels, one or two hidden layers of rectifiers, class scores."""

    def __init__(self, input_shape: tuple[int, ...], n_classes: int, n_hidden1: int, n_hidden2: int = 0) -> None:
        super().__init__()
        self.hidden1 = nn.Linear(prod(input_shape), n_hidden1)
        if n_hidden2:
            self.hidden2 = nn.Linear(n_hidden1, n_hidden2)
        self.out = nn.Linear(n_hidden2 or n_hidden1, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)  # (batch, channel, height, width) -> (batch, input)
        x = self.hidden1(x).relu()  # (batch, n_hidden1)
        if hasattr(self, "hidden2"):
            x = self.hidden2(x).relu()  # (batch, n_hidden2)
        return self.out(x)  # (batch, n_classes)


def compute_macs(input_shape: tuple[int, ...], n_classes: int, n_hidden1: int, n_hidden2: int = 0) -> int:
    """Multiply-accumulates of one example."""
    last = n_hidden1 * n_hidden2 + n_hidden2 * n_classes if n_hidden2 else n_hidden1 * n_classes
    return prod(input_shape) * n_hidden1 + last
