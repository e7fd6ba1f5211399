"""ResNet-18 for small one-channel images: the original's eight basic blocks, any width.

Source: K. He, X. Zhang, S. Ren, J. Sun, "Deep Residual Learning for Image Recognition", CVPR (2016), table 1 and
option B of its shortcuts. Redefined: the pooling after the first convolution is left out, since 50x50 pixels are few;
its stride of 2 stays, since the cost grows with the area.
"""

from torch import Tensor, nn

# (channels over those of the first stage, stride) of each stage of two blocks
STAGES = ((1, 1), (2, 2), (4, 2), (8, 2))
N_BLOCKS = 2


class ResNet(nn.Module):
    """A 7x7 convolution, four stages of two blocks, the mean over positions, class scores."""

    def __init__(self, input_shape: tuple[int, ...], n_classes: int, width: int) -> None:
        """`width` is the number of channels of the first stage; the original has 64."""
        super().__init__()
        blocks: list[nn.Module] = []
        n_in = width
        for factor, stride in STAGES:
            for block in range(N_BLOCKS):
                blocks.append(Block(n_in, factor * width, stride if block == 0 else 1))
                n_in = factor * width
        self.stem = nn.Sequential(
            nn.Conv2d(input_shape[0], width, 7, stride=2, padding=3, bias=False), nn.BatchNorm2d(width), nn.ReLU()
        )
        self.blocks = nn.Sequential(*blocks)
        self.out = nn.Linear(n_in, n_classes)

    def features(self, x: Tensor) -> Tensor:
        x = self.stem(x)  # (batch, 1, 50, 50) -> (batch, width, 25, 25)
        x = self.blocks(x)  # (batch, 8 width, 4, 4), by way of sides 25, 13, 7
        return x.mean((2, 3))  # (batch, 8 width)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.features(x))  # (batch, n_classes)


class Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut; the shortcut is a 1x1 convolution where the shape changes."""

    def __init__(self, n_in: int, n_out: int, stride: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            nn.Conv2d(n_in, n_out, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(n_out),
            nn.ReLU(),
            nn.Conv2d(n_out, n_out, 3, padding=1, bias=False),
            nn.BatchNorm2d(n_out),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or n_in != n_out:
            self.shortcut = nn.Sequential(nn.Conv2d(n_in, n_out, 1, stride, bias=False), nn.BatchNorm2d(n_out))

    def forward(self, x: Tensor) -> Tensor:
        return (self.residual(x) + self.shortcut(x)).relu()  # (batch, n_out, height / stride, width / stride)


def compute_macs(input_shape: tuple[int, ...], n_classes: int, width: int) -> int:
    """Multiply-accumulates of one example, (channel, height, width)."""
    n_channels, height, length = input_shape
    n_pixels = -(-height // 2) * -(-length // 2)
    macs, n_in, reduction = 49 * n_channels * width * n_pixels, width, 2
    for factor, stride in STAGES:
        n_out, reduction = factor * width, reduction * stride
        n_pixels = -(-height // reduction) * -(-length // reduction)  # a stride of 2 rounds up
        shortcut = n_in * n_out if stride != 1 or n_in != n_out else 0
        macs += (9 * n_in * n_out + (2 * N_BLOCKS - 1) * 9 * n_out * n_out + shortcut) * n_pixels
        n_in = n_out
    return macs + n_in * n_classes
