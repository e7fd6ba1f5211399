"""EfficientNet-Lite0, whose published weights fit: inverted residual blocks without squeeze-and-excitation.

Sources: M. Tan, Q. V. Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", ICML (2019),
table 1; R. Liu, "Higher accuracy on vision models with EfficientNet-Lite", TensorFlow blog (2020): ReLU6, no squeeze,
first and last convolution of fixed width. Redefined: one channel, a new last layer, no dropout, no dropped blocks.

A stride of 2 pads as TensorFlow's SAME does, so that an even image begins in a corner: the weights were trained so.
"""

from torch import Tensor, nn
from torch.nn import functional as F

# (expansion, channels, blocks, stride, side of the kernel) of each stage
STAGES = (
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)
N_FIRST, N_LAST = 32, 1280
EPSILON = 1e-3  # of the normalisation, as published


class EfficientNetLite(nn.Module):
    """A 3x3 convolution, sixteen inverted residual blocks, a 1x1 convolution, the mean over positions, class scores."""

    def __init__(self, input_shape: tuple[int, ...], n_classes: int, side: int | None = None) -> None:
        """`side`: the image is enlarged to side x side first; None takes it as it is [pixels]."""
        super().__init__()
        blocks: list[nn.Module] = []
        n_in = N_FIRST
        for expansion, n_out, n_blocks, stride, kernel in STAGES:
            for block in range(n_blocks):
                blocks.append(Block(n_in, n_out, expansion, stride if block == 0 else 1, kernel))
                n_in = n_out
        self.side = side
        self.first = convolve(input_shape[0], N_FIRST, 3, stride=2)
        self.blocks = nn.Sequential(*blocks)
        self.last = convolve(n_in, N_LAST, 1)
        self.out = nn.Linear(N_LAST, n_classes)

    def features(self, x: Tensor) -> Tensor:
        if self.side is not None:
            x = F.interpolate(x, size=(self.side, self.side), mode="bilinear", align_corners=False)
        x = self.blocks(self.first(x))  # (batch, 1, 50, 50) -> (batch, 320, 2, 2), by way of sides 25, 13, 7, 4
        return self.last(x).mean((2, 3))  # (batch, 1280)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.features(x))  # (batch, n_classes)


class Block(nn.Module):
    """Widen, convolve each channel by itself, narrow; beside a shortcut where the shape stays."""

    def __init__(self, n_in: int, n_out: int, expansion: int, stride: int, kernel: int) -> None:
        super().__init__()
        n = n_in * expansion
        self.widen = convolve(n_in, n, 1) if expansion > 1 else nn.Identity()
        self.depthwise = convolve(n, n, kernel, stride, groups=n)
        self.narrow = convolve(n, n_out, 1)[:2]  # no rectifier
        self.has_shortcut = stride == 1 and n_in == n_out

    def forward(self, x: Tensor) -> Tensor:
        y = self.narrow(self.depthwise(self.widen(x)))  # (batch, n_out, height / stride, width / stride)
        return x + y if self.has_shortcut else y


class SameConv2d(nn.Conv2d):
    """Convolution with ceil(side / stride) output pixels; an odd pad goes to the far end, as in TensorFlow."""

    def forward(self, x: Tensor) -> Tensor:
        (kernel, _), (stride, _) = self.kernel_size, self.stride
        pads: list[int] = []
        for side in (x.shape[-1], x.shape[-2]):
            n = max((-(-side // stride) - 1) * stride + kernel - side, 0)
            pads += [n // 2, n - n // 2]
        return super().forward(F.pad(x, pads) if any(pads) else x)


def convolve(n_in: int, n_out: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Convolution without bias (the normalisation has one), normalisation, rectifier that ends at 6."""
    convolution = SameConv2d(n_in, n_out, kernel, stride, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(n_out, EPSILON), nn.ReLU6())


def compute_macs(input_shape: tuple[int, ...], n_classes: int, side: int | None = None) -> int:
    """Multiply-accumulates of one example, (channel, height, width)."""
    n_channels, height, length = input_shape if side is None else (input_shape[0], side, side)
    height, length = -(-height // 2), -(-length // 2)  # a stride of 2 rounds up
    macs, n_in = 9 * n_channels * N_FIRST * height * length, N_FIRST
    for expansion, n_out, n_blocks, stage_stride, kernel in STAGES:
        for block in range(n_blocks):
            stride = stage_stride if block == 0 else 1
            n = n_in * expansion
            macs += n_in * n * height * length if expansion > 1 else 0
            height, length = -(-height // stride), -(-length // stride)
            macs += (kernel**2 * n + n * n_out) * height * length
            n_in = n_out
    return macs + n_in * N_LAST * height * length + N_LAST * n_classes
