"""Two hidden layers on the lowest cosine coefficients of an image: a front end that is fixed, and no weights of it.

Source: the discrete cosine transform of N. Ahmed, T. Natarajan, K. R. Rao, IEEE Trans. Computers C-23 (1974) 90-93.
"""

from math import pi, prod

import torch
from torch import Tensor, nn

from dlmi_models.mlp import MLP


class CosineMLP(nn.Module):
    """Cosine coefficients of lowest frequency, two hidden layers, class scores."""

    basis: Tensor

    def __init__(
        self, input_shape: tuple[int, ...], n_classes: int, n_coefficients: int, n_hidden1: int, n_hidden2: int
    ) -> None:
        super().__init__()
        self.register_buffer("basis", make_basis(input_shape, n_coefficients))
        self.net = MLP((n_coefficients,), n_classes, n_hidden1, n_hidden2)

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1) @ self.basis  # (batch, n_coefficients)
        return self.net(x)  # (batch, n_classes)


def make_basis(input_shape: tuple[int, ...], n_coefficients: int) -> Tensor:
    """Orthonormal cosines of the lowest frequencies, (pixel, coefficient); by the sum of both indices, rows first.

    The product of two cosines is smooth and large, so each is scaled to answer an image of unit variance with a half.
    """
    n_channels, height, width = input_shape
    if n_channels != 1:
        raise ValueError(f"images of one channel, not {n_channels}")
    rows, columns = _list_cosines(height), _list_cosines(width)
    order = sorted((i + j, i, j) for i in range(height) for j in range(width))[:n_coefficients]
    waves = [torch.outer(rows[i], columns[j]).flatten() for _, i, j in order]
    return (torch.stack(waves, 1) / 2).float()


def _list_cosines(n: int) -> Tensor:
    """Cosines on n points, (frequency, point), orthonormal."""
    k, x = torch.meshgrid(torch.arange(n).double(), torch.arange(n).double(), indexing="ij")
    waves = torch.cos(pi * k * (2 * x + 1) / (2 * n)) * (2 / n) ** 0.5
    waves[0] *= 0.5**0.5
    return waves


def count_fixed(input_shape: tuple[int, ...], n_coefficients: int, **_: int) -> int:
    """Numbers of the front end."""
    return prod(input_shape) * n_coefficients


def compute_macs(
    input_shape: tuple[int, ...], n_classes: int, n_coefficients: int, n_hidden1: int, n_hidden2: int
) -> int:
    """Multiply-accumulates of one example, those of the front end as a matrix product."""
    _, height, width = input_shape
    learnt = n_coefficients * n_hidden1 + n_hidden1 * n_hidden2 + n_hidden2 * n_classes
    return height * width * n_coefficients + learnt
