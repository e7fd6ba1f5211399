"""Random affine distortions, for a whole epoch at once.

Source: P. Y. Simard, D. Steinkraus, J. C. Platt, ICDAR (2003), for the idea; the ranges are those that were tried on
these digits (METHOD.md).
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

ROTATION_RAD = math.radians(10)
SCALE = 0.10
SHEAR = 0.15
SHIFT_PIXELS = 1.0
BACKGROUND = -1.0


def distort(images: Tensor, generator: torch.Generator) -> Tensor:
    """Each image under an affine map of its own.

    Args:
        images: (n, 1, height, width) in [-1, 1], background -1.
        generator: Source of all randomness.

    Returns:
        Same shape, bilinear interpolation, background filled in.
    """
    n, _, height, width = images.shape
    theta = sample_maps(n, width, generator)  # (n, 2, 3)
    # The grid is linear in theta: one product with the grids of the six unit maps is 4 x faster than n small ones.
    basis = F.affine_grid(torch.eye(6).view(6, 2, 3), [6, 1, height, width], align_corners=False)
    grid = (theta.view(n, 6) @ basis.view(6, -1)).view(n, height, width, 2)
    # Outside the image grid_sample reads 0, so the background is moved there and back.
    return F.grid_sample(images - BACKGROUND, grid, align_corners=False) + BACKGROUND


def sample_maps(n: int, side: int, generator: torch.Generator) -> Tensor:
    """Affine maps (n, 2, 3) in the coordinates of `affine_grid`: rotation and scale, then shear, then shift."""
    u = 2 * torch.rand(n, 6, generator=generator) - 1
    angle = u[:, 0] * ROTATION_RAD
    cos, sin = angle.cos(), angle.sin()
    sx, sy = 1 + SCALE * u[:, 1], 1 + SCALE * u[:, 2]
    shear = SHEAR * u[:, 3]
    shift = SHIFT_PIXELS * 2 / side * u[:, 4:]  # the grid runs from -1 to 1
    row_x = torch.stack([cos * sx, (shear * cos - sin) * sy, shift[:, 0]], 1)
    row_y = torch.stack([sin * sx, (shear * sin + cos) * sy, shift[:, 1]], 1)
    return torch.stack([row_x, row_y], 1)
