"""Small convolutional net for volumes: the plain net of cnn.py with kernels of three axes.

Source: the pattern of K. Simonyan, A. Zisserman (2015), and batch normalisation after S. Ioffe, C. Szegedy (2015);
three axes after D. Tran et al., "Learning spatiotemporal features with 3D convolutional networks" (2015).
"""

import math

from torch import Tensor, nn


class CNN3D(nn.Module):
    """Three 3x3x3 convolutions with batch normalisation, a pooling after each, a linear head."""

    def __init__(self, input_shape: tuple[int, ...], n_classes: int, n_channels: int) -> None:
        super().__init__()
        c, (n_in, *sides) = n_channels, input_shape
        self.features = nn.Sequential(
            *convolution(n_in, c),  # (batch, c, 14, 50, 50)
            nn.MaxPool3d(2),  # (batch, c, 7, 25, 25)
            *convolution(c, 2 * c),  # (batch, 2c, 7, 25, 25)
            nn.MaxPool3d(2),  # (batch, 2c, 3, 12, 12)
            *convolution(2 * c, 4 * c),  # (batch, 4c, 3, 12, 12)
            nn.MaxPool3d((1, 2, 2)),  # (batch, 4c, 3, 6, 6)
        )
        self.out = nn.Linear(4 * c * math.prod(_pool(sides)), n_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(x)  # (batch, 4c, 3, 6, 6)
        return self.out(x.flatten(1))  # (batch, n_classes)


def _pool(sides: list[int]) -> list[int]:
    """Sides after all poolings; the last one keeps the depth, which is short."""
    depth, height, width = sides
    return [depth // 4, height // 8, width // 8]


def convolution(n_in: int, n_out: int) -> list[nn.Module]:
    """Convolution without bias (the normalisation has one), normalisation, rectifier; the size is kept."""
    return [nn.Conv3d(n_in, n_out, 3, padding=1, bias=False), nn.BatchNorm3d(n_out), nn.ReLU()]


def compute_macs(input_shape: tuple[int, ...], n_classes: int, n_channels: int) -> int:
    """Multiply-accumulates of one example, (channel, depth, height, width)."""
    c, (n_in, *sides) = n_channels, input_shape
    voxels = [math.prod(side // divisor for side in sides) for divisor in (1, 2, 4)]
    layers = (n_in * c, c * 2 * c, 2 * c * 4 * c)
    convolutions = sum(27 * weights * n for weights, n in zip(layers, voxels, strict=True))
    return convolutions + 4 * c * math.prod(_pool(sides)) * n_classes
