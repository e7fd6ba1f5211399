"""Softmax regression: the linear floor every network has to clear.

Source: D. R. Cox, J. R. Stat. Soc. B 20 (1958) 215-242; any textbook since.
"""

from torch import Tensor, nn


class Softmax(nn.Module):
    """One linear layer from pixels to class scores."""

    def __init__(self, n_inputs: int = 256, n_classes: int = 10) -> None:
        super().__init__()
        self.out = nn.Linear(n_inputs, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)  # (batch, 1, 16, 16) -> (batch, 256)
        return self.out(x)  # (batch, 10)


def compute_macs(input_shape: tuple[int, ...], n_inputs: int = 256, n_classes: int = 10) -> int:
    """Multiply-accumulates of one example."""
    return n_inputs * n_classes
