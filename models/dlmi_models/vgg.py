"""VGG16 for small one-channel images: the original's thirteen convolutions, any width, one linear layer on top.

Source: K. Simonyan, A. Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", ICLR (2015),
configuration D. Redefined: batch normalisation after S. Ioffe, C. Szegedy, ICML (2015), without which so deep a net
hardly starts from scratch; and for the original's three fully connected layers, which hold 89 % of its weights, the
mean over positions and one linear layer, after M. Lin et al., "Network in Network", ICLR (2014).
"""

from torch import Tensor, nn

# (convolutions, channels over those of the first stage) of each stage; a pooling ends it
STAGES = ((2, 1), (2, 2), (3, 4), (3, 8), (3, 8))


class VGG(nn.Module):
    """Five stages of 3x3 convolutions, each halving the image; the mean over what is left of it; class scores."""

    def __init__(self, input_shape: tuple[int, ...], n_classes: int, width: int) -> None:
        """`width` is the number of channels of the first stage; the original has 64."""
        super().__init__()
        layers: list[nn.Module] = []
        n_in = input_shape[0]
        for n_convolutions, factor in STAGES:
            n_out = factor * width
            for _ in range(n_convolutions):
                layers += [nn.Conv2d(n_in, n_out, 3, padding=1, bias=False), nn.BatchNorm2d(n_out), nn.ReLU()]
                n_in = n_out
            layers.append(nn.MaxPool2d(2))
        self.trunk = nn.Sequential(*layers)
        self.out = nn.Linear(8 * width, n_classes)

    def features(self, x: Tensor) -> Tensor:
        x = self.trunk(x)  # (batch, 1, 50, 50) -> (batch, 8 width, 1, 1), by way of sides 25, 12, 6, 3
        return x.mean((2, 3))  # (batch, 8 width)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.features(x))  # (batch, n_classes)


def compute_macs(input_shape: tuple[int, ...], n_classes: int, width: int) -> int:
    """Multiply-accumulates of one example, (channel, height, width)."""
    n_in, height, length = input_shape
    macs = 0
    for n_convolutions, factor in STAGES:
        for _ in range(n_convolutions):
            macs += 9 * n_in * factor * width * height * length
            n_in = factor * width
        height, length = height // 2, length // 2
    return macs + n_in * n_classes
