"""Small plain convolutional net: the modern alternative to the fully connected one.

Source: the pattern of K. Simonyan, A. Zisserman (2015), 3x3 kernels with doubling channels, and batch normalisation
after S. Ioffe, C. Szegedy (2015), at the scale of 16x16 digits.
"""

from torch import Tensor, nn


class CNN(nn.Module):
    """Three 3x3 convolutions with batch normalisation, two poolings, a linear head."""

    def __init__(self, input_shape: tuple[int, ...], n_classes: int, n_channels: int) -> None:
        super().__init__()
        c, (n_in, height, width) = n_channels, input_shape
        self.features = nn.Sequential(
            *convolution(n_in, c),  # (batch, c, 16, 16)
            nn.MaxPool2d(2),  # (batch, c, 8, 8)
            *convolution(c, 2 * c),  # (batch, 2c, 8, 8)
            nn.MaxPool2d(2),  # (batch, 2c, 4, 4)
            *convolution(2 * c, 2 * c),  # (batch, 2c, 4, 4)
        )
        self.out = nn.Linear(2 * c * (height // 4) * (width // 4), n_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(x)  # (batch, 2c, 4, 4)
        return self.out(x.flatten(1))  # (batch, n_classes)


def convolution(n_in: int, n_out: int) -> list[nn.Module]:
    """Convolution without bias (the normalisation has one), normalisation, rectifier; the size is kept."""
    return [nn.Conv2d(n_in, n_out, 3, padding=1, bias=False), nn.BatchNorm2d(n_out), nn.ReLU()]


def compute_macs(input_shape: tuple[int, ...], n_classes: int, n_channels: int) -> int:
    """Multiply-accumulates of one example, (channel, height, width)."""
    c, (n_in, height, width) = n_channels, input_shape
    half, quarter = (height // 2) * (width // 2), (height // 4) * (width // 4)  # pixels after each pooling
    first = 9 * n_in * c * height * width
    second = 9 * c * 2 * c * half
    third = 9 * 2 * c * 2 * c * quarter
    return first + second + third + 2 * c * quarter * n_classes
