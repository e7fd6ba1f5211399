"""Small networks in the ways of well-known ones, and their products by hooks on modules, for tests of counts."""

from collections.abc import Callable
from math import prod

import torch
from torch import Tensor, nn

Shape = tuple[int, ...]
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


class Residual(nn.Module):
    """What it holds, and its input."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class SqueezeExcite(nn.Module):
    """Channels weighted by what their means say."""

    def __init__(self, n: int, squeezed: int) -> None:
        super().__init__()
        self.gate = nn.Sequential(
            *(nn.AdaptiveAvgPool2d(1), nn.Conv2d(n, squeezed, 1), nn.SiLU()),
            *(nn.Conv2d(squeezed, n, 1), nn.Hardsigmoid()),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(x)


class Transpose(nn.Module):
    """Tokens and channels exchanged."""

    def forward(self, x: Tensor) -> Tensor:
        return x.transpose(1, 2)


class Patches(nn.Module):
    """An image as tokens, (batch, tokens, n)."""

    def __init__(self, n: int, side: int) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, n, side, stride=side)

    def forward(self, x: Tensor) -> Tensor:
        return self.embed(x).flatten(2).transpose(1, 2)


class Attention(nn.Module):
    """Attention of several heads in one of three spellings."""

    def __init__(self, n: int, n_heads: int, spelling: str) -> None:
        super().__init__()
        self.n_heads, self.spelling = n_heads, spelling
        self.qkv, self.out = nn.Linear(n, 3 * n), nn.Linear(n, n)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = self.qkv(x).unflatten(2, (3, self.n_heads, -1)).permute(2, 0, 3, 1, 4)
        if self.spelling == "fused":
            mixed = nn.functional.scaled_dot_product_attention(query, key, value)
        elif self.spelling == "einsum":
            mixed = torch.einsum("bhij,bhjd->bhid", torch.einsum("bhid,bhjd->bhij", query, key).softmax(3), value)
        else:
            mixed = (query @ key.transpose(2, 3)).softmax(3) @ value
        return self.out(mixed.transpose(1, 2).flatten(2))


class Recurrent(nn.Module):
    """Scores of the last state of a recurrent layer."""

    def __init__(self, layer: nn.LSTM | nn.GRU) -> None:
        super().__init__()
        self.layer = layer
        width = layer.hidden_size * (2 if layer.bidirectional else 1)
        self.head = nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layer(x)[0][:, -1])


class UNet(nn.Module):
    """Down and up again by grouped transposed convolutions, with a skip."""

    def __init__(self) -> None:
        super().__init__()
        self.down1, self.down2 = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 16, 3, stride=2, padding=1)
        self.up, self.out = nn.ConvTranspose2d(16, 8, 2, stride=2, groups=4), nn.Conv2d(16, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        wide = self.down1(x).relu()
        return self.out(torch.cat([wide, self.up(self.down2(wide).relu())], 1))


def separable(n_in: int, n: int, stride: int = 1) -> list[nn.Module]:
    """Depthwise and pointwise, as in MobileNet."""
    depthwise = nn.Conv2d(n_in, n_in, 3, stride, 1, groups=n_in, bias=False)
    return [depthwise, nn.BatchNorm2d(n_in), nn.ReLU6(), nn.Conv2d(n_in, n, 1, bias=False), nn.BatchNorm2d(n)]


def inverted(n_in: int, n: int, kernel: int) -> list[nn.Module]:
    """Widened, depthwise, squeezed and excited, narrowed, as in EfficientNet."""
    wide = 4 * n_in
    return [
        *(nn.Conv2d(n_in, wide, 1, bias=False), nn.BatchNorm2d(wide), nn.SiLU()),
        *(nn.Conv2d(wide, wide, kernel, padding=kernel // 2, groups=wide, bias=False), nn.BatchNorm2d(wide)),
        *(SqueezeExcite(wide, n_in), nn.Conv2d(wide, n, 1, bias=False), nn.BatchNorm2d(n)),
    ]


def block_convnext(n: int) -> nn.Module:
    """Depthwise 7 x 7, norm, perceptron, as in ConvNeXt."""
    depthwise = nn.Conv2d(n, n, 7, padding=3, groups=n)
    return Residual(depthwise, nn.GroupNorm(1, n), nn.Conv2d(n, 4 * n, 1), nn.GELU(), nn.Conv2d(4 * n, n, 1))


def block_mixer(tokens: int, n: int) -> nn.Module:
    """Perceptrons over tokens and over channels, as in MLP-Mixer."""
    over_tokens = [nn.LayerNorm(n), Transpose(), nn.Linear(tokens, 9), nn.GELU(), nn.Linear(9, tokens), Transpose()]
    over_channels = [nn.LayerNorm(n), nn.Linear(n, 40), nn.GELU(), nn.Linear(40, n)]
    return nn.Sequential(Residual(*over_tokens), Residual(*over_channels))


def make_vit(spelling: str) -> nn.Module:
    """16 patches of 6 x 6, a block of attention in two heads and a perceptron, scores of every token."""
    attention = Residual(nn.LayerNorm(16), Attention(16, 2, spelling))
    perceptron = Residual(nn.LayerNorm(16), nn.Linear(16, 32), nn.GELU(), nn.Linear(32, 16))
    return nn.Sequential(Patches(16, 6), attention, perceptron, nn.Linear(16, 3))


def head(n: int) -> list[nn.Module]:
    """Scores of three classes from the mean of all places."""
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(n, 3)]


IMAGE = (3, 24, 24)
# Without products outside of convolutions and linear layers, so that hooks on these see all.
LAYERS: dict[str, tuple[Callable[[], list[nn.Module]], Shape]] = {
    "mobilenet-like": (lambda: [nn.Conv2d(3, 8, 3), *separable(8, 16, 2), *separable(16, 8), *head(8)], IMAGE),
    "efficientnet-like": (lambda: [nn.Conv2d(3, 8, 3, 2), *inverted(8, 12, 3), *inverted(12, 8, 5), *head(8)], IMAGE),
    "convnext-like": (lambda: [nn.Conv2d(3, 8, 4, 4), block_convnext(8), block_convnext(8), *head(8)], IMAGE),
    "resnext-like": (
        lambda: [nn.Conv2d(3, 8, 3), Residual(nn.Conv2d(8, 8, 3, padding=1, groups=4)), nn.PReLU(8), *head(8)],
        IMAGE,
    ),
    "mlp-mixer-like": (lambda: [Patches(16, 6), block_mixer(16, 16), block_mixer(16, 16), nn.Linear(16, 3)], IMAGE),
    "unet-like": (lambda: [UNet()], IMAGE),
    "dilated, padding in words": (
        lambda: [
            nn.Conv2d(3, 8, 3, padding="same", dilation=2),
            nn.Conv2d(8, 8, 3, padding="valid", groups=8),
        ],
        IMAGE,
    ),
    "3-d, depthwise": (
        lambda: [
            *(nn.Conv3d(1, 6, 3, 2), nn.Conv3d(6, 6, 3, padding=1, groups=6), nn.Conv3d(6, 8, 1)),
            *(nn.AdaptiveMaxPool3d(2), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(8, 3)),
        ],
        (1, 9, 10, 11),
    ),
    "1-d, depthwise and transposed": (
        lambda: [nn.Conv1d(2, 8, 5), nn.Conv1d(8, 8, 5, groups=8), nn.ConvTranspose1d(8, 4, 4, 2, groups=4)],
        (2, 40),
    ),
    "partly frozen": (
        lambda: [
            *(nn.Conv2d(3, 8, 3).requires_grad_(requires_grad=False), nn.ReLU(), nn.Conv2d(8, 8, 3, groups=2)),
            *(nn.Conv2d(8, 4, 1).requires_grad_(requires_grad=False), nn.Flatten(), nn.LazyLinear(3)),
        ],
        IMAGE,
    ),
}
OTHERS: dict[str, tuple[Callable[[], nn.Module], Shape]] = {
    "vit-like, fused": (lambda: make_vit("fused"), IMAGE),
    "vit-like, einsum": (lambda: make_vit("einsum"), IMAGE),
    "vit-like, matmul": (lambda: make_vit("matmul"), IMAGE),
    "lstm, two layers and ways": (lambda: Recurrent(nn.LSTM(4, 5, 2, batch_first=True, bidirectional=True)), (7, 4)),
    "gru": (lambda: Recurrent(nn.GRU(4, 5, batch_first=True)), (7, 4)),
}


def count_by_hooks(network: nn.Module, shape: Shape) -> int:
    """Flops of a training step for one example: each layer's products, once more for each gradient that it forms."""
    macs = 0

    def hook(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal macs
        places = inputs[0] if isinstance(layer, TRANSPOSED) else output
        n = places.numel() * prod(layer.weight.shape[1:])
        macs += n * (1 + layer.weight.requires_grad + inputs[0].requires_grad)

    network.eval()(torch.zeros(1, *shape))  # makes lazy layers
    for layer in network.modules():
        if isinstance(layer, (*CONVOLUTIONS, *TRANSPOSED, nn.Linear)):
            layer.register_forward_hook(hook)
    network(torch.zeros(1, *shape))
    return 2 * macs
