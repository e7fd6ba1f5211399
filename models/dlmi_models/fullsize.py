"""The published architectures at their full size, from torchvision, with head and first layer redefined.

Sources: those of vgg.py, resnet.py and vit.py; S. Marcel, Y. Rodriguez, "Torchvision" (2010), whose weights fit
`trunk`. Each becomes a trunk that gives features and a linear layer `out` that scores the classes. The first
convolution takes one channel: its kernels are summed over the three, which gives what three equal channels would.

The convolutional nets take 50x50 pixels as they are (VGG16 with the published head repeats its last position 49 times).
ViT-B/16 has positions for 14x14 patches of 16 pixels; of 50x50 pixels it would make nine patches. It enlarges its input
to 224x224 first, so that its pretrained weights fit and each patch covers 3.6 of our pixels, at 17.5 GMAC an image.
"""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dlmi_models import vgg

if TYPE_CHECKING:
    from torchvision.models import VGG

VIT_SIDE = 224  # [pixels]
VIT_PATCH, VIT_DIM, VIT_DEPTH, VIT_HIDDEN = 16, 768, 12, 3072
VGG_FLAT, VGG_HIDDEN = 512 * 7 * 7, 4096  # what enters the published head, and the width of its two hidden layers
# Blocks of the four stages, and how many times wider a block's output is than its 3x3 convolution.
RESNET18, RESNET50 = ((2, 2, 2, 2), 1), ((3, 4, 6, 3), 4)


class FullSize(nn.Module):
    """A published trunk, the input enlarged to `side` x `side` where it asks for that, and a new last layer."""

    def __init__(self, trunk: nn.Module, n_features: int, n_classes: int, side: int | None = None) -> None:
        super().__init__()
        self.trunk = trunk
        self.side = side
        self.out = nn.Linear(n_features, n_classes)

    def features(self, x: Tensor) -> Tensor:
        if self.side is not None:
            x = F.interpolate(x, size=(self.side, self.side), mode="bilinear", align_corners=False)
        return self.trunk(x)  # (batch, n_features)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.features(x))  # (batch, n_classes)


def vgg16(input_shape: tuple[int, ...], n_classes: int) -> FullSize:
    """Build VGG16 with the published head: 25 088 x 4 096 x 4 096 x n_classes."""
    trunk = _build_vgg16(input_shape[0])
    trunk.classifier[6] = nn.Identity()
    return FullSize(trunk, 4096, n_classes)


def vgg16_small_head(input_shape: tuple[int, ...], n_classes: int) -> FullSize:
    """Build VGG16 with its convolutions, the mean over positions and one linear layer."""
    trunk = _build_vgg16(input_shape[0])
    trunk.avgpool = nn.AdaptiveAvgPool2d(1)
    trunk.classifier = nn.Sequential()
    return FullSize(trunk, 512, n_classes)


def resnet18(input_shape: tuple[int, ...], n_classes: int) -> FullSize:
    return _build_resnet("resnet18", 512, input_shape[0], n_classes)


def resnet50(input_shape: tuple[int, ...], n_classes: int) -> FullSize:
    return _build_resnet("resnet50", 2048, input_shape[0], n_classes)


def vit_b16(input_shape: tuple[int, ...], n_classes: int) -> FullSize:
    from torchvision.models import vit_b_16

    trunk = vit_b_16(image_size=VIT_SIDE)
    trunk.conv_proj = adapt(trunk.conv_proj, input_shape[0])
    trunk.heads = nn.Sequential()
    return FullSize(trunk, 768, n_classes, VIT_SIDE)


def adapt(first: nn.Conv2d, n_channels: int) -> nn.Conv2d:
    """The first convolution for one channel in place of three; for three, as it is."""
    if n_channels == first.in_channels:
        return first
    with torch.no_grad():
        first.weight = nn.Parameter(first.weight.sum(1, keepdim=True))
    first.in_channels = 1
    return first


def _build_vgg16(n_channels: int) -> "VGG":
    from torchvision.models import vgg16

    trunk = vgg16()
    first = trunk.features[0]
    assert isinstance(first, nn.Conv2d)
    trunk.features[0] = adapt(first, n_channels)
    return trunk


def _build_resnet(name: str, n_features: int, n_channels: int, n_classes: int) -> FullSize:
    from torchvision.models import get_model

    trunk: Any = get_model(name)
    trunk.conv1 = adapt(trunk.conv1, n_channels)
    trunk.fc = nn.Identity()
    return FullSize(trunk, n_features, n_classes)


def compute_vgg16_macs(input_shape: tuple[int, ...], n_classes: int) -> int:
    """Multiply-accumulates of one example, (channel, height, width), like all formulas here."""
    return vgg.compute_macs(input_shape, 0, 64) + VGG_HIDDEN * (VGG_FLAT + VGG_HIDDEN + n_classes)


def compute_vgg16_small_head_macs(input_shape: tuple[int, ...], n_classes: int) -> int:
    return vgg.compute_macs(input_shape, n_classes, 64)


def compute_resnet18_macs(input_shape: tuple[int, ...], n_classes: int) -> int:
    return _compute_resnet_macs(input_shape, n_classes, *RESNET18)


def compute_resnet50_macs(input_shape: tuple[int, ...], n_classes: int) -> int:
    return _compute_resnet_macs(input_shape, n_classes, *RESNET50)


def compute_vit_b16_macs(input_shape: tuple[int, ...], n_classes: int) -> int:
    """Multiply-accumulates of one example of any size. It is enlarged first, which is no product and not counted."""
    n_patches = (VIT_SIDE // VIT_PATCH) ** 2
    n = n_patches + 1  # tokens: the class has one of its own
    embedding = n_patches * VIT_PATCH**2 * input_shape[0] * VIT_DIM
    projections = n * 4 * VIT_DIM**2  # queries, keys, values, and back
    attention = 2 * n**2 * VIT_DIM  # Q K', and its softmax on V
    perceptron = n * 2 * VIT_HIDDEN * VIT_DIM
    return embedding + VIT_DEPTH * (projections + attention + perceptron) + VIT_DIM * n_classes


def _compute_resnet_macs(input_shape: tuple[int, ...], n_classes: int, stages: tuple[int, ...], expansion: int) -> int:
    n_channels, height, length = input_shape

    def count_pixels(reduction: int) -> int:
        return -(-height // reduction) * -(-length // reduction)  # a stride of 2 rounds up

    macs, n_in, reduction = 49 * n_channels * 64 * count_pixels(2), 64, 4  # the first convolution; a pooling follows
    for stage, n_blocks in enumerate(stages):
        n = 64 * 2**stage
        for block in range(n_blocks):
            before = count_pixels(reduction)
            reduction *= 2 if stage and block == 0 else 1
            after = count_pixels(reduction)
            if expansion == 1:  # two 3x3 convolutions, the first with the stride
                macs += 9 * (n_in * n + n * n) * after
            else:  # 1x1, 3x3 with the stride, 1x1
                macs += n_in * n * before + (9 * n * n + n * expansion * n) * after
            macs += n_in * expansion * n * after if n_in != expansion * n else 0  # the shortcut
            n_in = expansion * n
    return macs + n_in * n_classes
