"""A fully connected layer that is shared by all windows of an image, and one of all their answers.

It is the nearest to a fully connected net that knows of places. Source: the shared weights of Y. LeCun,
"Generalization and Network Design Strategies" (1989); in torch a convolution with a stride.
"""

from torch import Tensor, nn

SIDE, STRIDE = 6, 2  # of a window [pixels]


class WindowNet(nn.Module):
    """Windows of 6x6 pixels, units that all windows share, a hidden layer, class scores."""

    def __init__(self, input_shape: tuple[int, ...], n_classes: int, n_units: int, n_hidden: int) -> None:
        super().__init__()
        self.window = nn.Conv2d(input_shape[0], n_units, SIDE, STRIDE)
        self.hidden = nn.Linear(n_units * _count_windows(input_shape), n_hidden)
        self.out = nn.Linear(n_hidden, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.window(x).relu()  # (batch, n_units, windows down, windows across)
        x = self.hidden(x.flatten(1)).relu()  # (batch, n_hidden)
        return self.out(x)  # (batch, n_classes)


def _count_windows(input_shape: tuple[int, ...]) -> int:
    down, across = ((side - SIDE) // STRIDE + 1 for side in input_shape[1:])
    return down * across


def compute_macs(input_shape: tuple[int, ...], n_classes: int, n_units: int, n_hidden: int) -> int:
    """Multiply-accumulates of one example."""
    n = _count_windows(input_shape) * n_units
    return n * input_shape[0] * SIDE * SIDE + n * n_hidden + n_hidden * n_classes
