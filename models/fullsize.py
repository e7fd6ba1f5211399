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

if TYPE_CHECKING:
    from torchvision.models import VGG

VIT_SIDE = 224  # [pixels]


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


def vgg16(n_channels: int = 1, n_classes: int = 3) -> FullSize:
    """With the published head: 25 088 x 4 096 x 4 096 x n_classes."""
    trunk = _build_vgg16(n_channels)
    trunk.classifier[6] = nn.Identity()
    return FullSize(trunk, 4096, n_classes)


def vgg16_small_head(n_channels: int = 1, n_classes: int = 3) -> FullSize:
    """Its convolutions, the mean over positions, one linear layer."""
    trunk = _build_vgg16(n_channels)
    trunk.avgpool = nn.AdaptiveAvgPool2d(1)
    trunk.classifier = nn.Sequential()
    return FullSize(trunk, 512, n_classes)


def resnet18(n_channels: int = 1, n_classes: int = 3) -> FullSize:
    return _build_resnet("resnet18", 512, n_channels, n_classes)


def resnet50(n_channels: int = 1, n_classes: int = 3) -> FullSize:
    return _build_resnet("resnet50", 2048, n_channels, n_classes)


def vit_b16(n_channels: int = 1, n_classes: int = 3) -> FullSize:
    from torchvision.models import vit_b_16

    trunk = vit_b_16(image_size=VIT_SIDE)
    trunk.conv_proj = adapt(trunk.conv_proj, n_channels)
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
