"""Vision transformer for small one-channel images: patches as tokens, pre-norm encoder.

Source: A. Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR (2021). Redefined: the class scores come from the
mean over tokens instead of a class token, after X. Zhai et al., "Scaling Vision Transformers", CVPR (2022), and the
hidden layer of a block is `ratio` times as wide as a token. Positions are learnt on the grid of a 50x50 image and
interpolated for any other, as the first paper does (section 3.2).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SIDE = 50  # of the image whose grid the positions are learnt on [pixels]
POSITION_SD = 0.02


class ViT(nn.Module):
    """Patches to tokens, `depth` blocks of attention and perceptron, the mean over tokens, class scores."""

    def __init__(
        self,
        input_shape: tuple[int, ...],
        n_classes: int,
        dim: int,
        depth: int,
        n_heads: int,
        patch: int = 10,
        ratio: int = 2,
    ) -> None:
        """`dim` is the width of a token, `patch` the side of a patch [pixels]."""
        super().__init__()
        self.embed = nn.Conv2d(input_shape[0], dim, patch, stride=patch)
        grid = SIDE // patch
        self.position = nn.Parameter(POSITION_SD * torch.randn(1, dim, grid, grid))
        self.blocks = nn.Sequential(*(Block(dim, n_heads, ratio) for _ in range(depth)))
        self.norm = nn.LayerNorm(dim)
        self.out = nn.Linear(dim, n_classes)

    def features(self, x: Tensor) -> Tensor:
        x = self.embed(x)  # (batch, 1, 50, 50) -> (batch, dim, 5, 5)
        position: Tensor = self.position
        if x.shape[2:] != position.shape[2:]:
            position = F.interpolate(position, size=x.shape[2:], mode="bilinear", align_corners=False)
        x = (x + position).flatten(2).transpose(1, 2)  # (batch, 25, dim)
        x = self.norm(self.blocks(x))  # (batch, 25, dim)
        return x.mean(1)  # (batch, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.features(x))  # (batch, n_classes)


class Block(nn.Module):
    """Attention between tokens, then a perceptron on each; both normalise what they read and add to it."""

    def __init__(self, dim: int, n_heads: int, ratio: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.norm1 = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.project = nn.Linear(dim, dim)
        self.norm2 = nn.LayerNorm(dim)
        self.perceptron = nn.Sequential(nn.Linear(dim, ratio * dim), nn.GELU(), nn.Linear(ratio * dim, dim))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attend(self.norm1(x))  # (batch, n_tokens, dim)
        return x + self.perceptron(self.norm2(x))  # (batch, n_tokens, dim)

    def attend(self, x: Tensor) -> Tensor:
        split = self.qkv(x).unflatten(2, (3, self.n_heads, -1))  # (batch, n_tokens, 3, n_heads, dim / n_heads)
        query, key, value = split.permute(2, 0, 3, 1, 4).unbind(0)  # each (batch, n_heads, n_tokens, dim / n_heads)
        x = F.scaled_dot_product_attention(query, key, value)  # (batch, n_heads, n_tokens, dim / n_heads)
        return self.project(x.transpose(1, 2).flatten(2))  # (batch, n_tokens, dim)


def compute_macs(
    input_shape: tuple[int, ...],
    n_classes: int,
    dim: int,
    depth: int,
    n_heads: int,
    patch: int = 10,
    ratio: int = 2,
) -> int:
    """Multiply-accumulates of one example, (channel, height, width). The number of heads does not change them."""
    n_channels, height, width = input_shape
    n = (height // patch) * (width // patch)  # tokens
    embedding = n * patch * patch * n_channels * dim
    projections = n * 4 * dim * dim  # queries, keys, values, and back
    attention = 2 * n * n * dim  # Q K', and its softmax on V
    perceptron = n * 2 * ratio * dim * dim
    return embedding + depth * (projections + attention + perceptron) + dim * n_classes
