"""Convolutional nets of a few hundred to a few thousand parameters, whose head is one learnt kernel for each channel.

Source: the separable convolutions of A. G. Howard et al., "MobileNets" (2017), and in place of the mean over places at
the end a depthwise kernel as large as the map, as in S. Chen et al., "MobileFaceNets" (2018).
"""

from torch import Tensor, nn


class CompactCNN(nn.Module):
    """Three 3x3 convolutions with batch normalisation and leaky rectifiers, two poolings, a kernel for each channel."""

    def __init__(
        self,
        input_shape: tuple[int, ...],
        n_classes: int,
        n_channels1: int,
        n_channels2: int,
        n_channels3: int,
        is_separable: int = 0,
    ) -> None:
        super().__init__()
        n_in, height, width = input_shape
        make = separable if is_separable else convolution
        self.features = nn.Sequential(
            *convolution(n_in, n_channels1),  # (batch, n_channels1, 16, 16)
            nn.MaxPool2d(2),
            *make(n_channels1, n_channels2),  # (batch, n_channels2, 8, 8)
            nn.MaxPool2d(2),
            *make(n_channels2, n_channels3),  # (batch, n_channels3, 4, 4)
        )
        sides = (height // 4, width // 4)
        self.head = nn.Conv2d(n_channels3, n_channels3, sides, groups=n_channels3, bias=False)
        self.out = nn.Linear(n_channels3, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(x)  # (batch, n_channels3, 4, 4)
        x = self.head(x).flatten(1)  # (batch, n_channels3)
        return self.out(x)  # (batch, n_classes)


def convolution(n_in: int, n_out: int) -> list[nn.Module]:
    return [nn.Conv2d(n_in, n_out, 3, padding=1, bias=False), nn.BatchNorm2d(n_out), nn.LeakyReLU(0.1)]


def separable(n_in: int, n_out: int) -> list[nn.Module]:
    """One kernel for each channel, then a mixture of channels."""
    kernels = nn.Conv2d(n_in, n_in, 3, padding=1, groups=n_in, bias=False)
    return [kernels, nn.Conv2d(n_in, n_out, 1, bias=False), nn.BatchNorm2d(n_out), nn.LeakyReLU(0.1)]


def compute_macs(
    input_shape: tuple[int, ...],
    n_classes: int,
    n_channels1: int,
    n_channels2: int,
    n_channels3: int,
    is_separable: int = 0,
) -> int:
    """Multiply-accumulates of one example, (channel, height, width)."""
    n_in, height, width = input_shape
    half, quarter = (height // 2) * (width // 2), (height // 4) * (width // 4)  # pixels after each pooling

    def count(a: int, b: int) -> int:
        return 9 * a + a * b if is_separable else 9 * a * b

    first = 9 * n_in * n_channels1 * height * width
    middle = count(n_channels1, n_channels2) * half + count(n_channels2, n_channels3) * quarter
    return first + middle + quarter * n_channels3 + n_channels3 * n_classes
