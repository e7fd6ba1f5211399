"""Random affine distortions, for a whole epoch at once.

Source: P. Y. Simard, D. Steinkraus, J. C. Platt, ICDAR (2003), for the idea; the ranges are the task's.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from dlmi_tasks.spec import Distortion


def distort(images: Tensor, ranges: Distortion, generator: torch.Generator) -> Tensor:
    """Each image under an affine map of its own.

    Args:
        images: (n, channel, height, width), or volumes (n, channel, depth, height, width), whose slices move together.
        ranges: How far the maps may go, and what lies outside the image.
        generator: Source of all randomness.

    Returns:
        Same shape, bilinear interpolation, what lay outside filled in.
    """
    if images.ndim == 5:
        n, channels, depth, height, width = images.shape
        return distort(images.reshape(n, channels * depth, height, width), ranges, generator).view(images.shape)
    n, _, height, width = images.shape
    theta = sample_maps(n, (height, width), ranges, generator)  # (n, 2, 3)
    # The grid is linear in theta: one product with the grids of the six unit maps is 4 x faster than n small ones.
    basis = F.affine_grid(torch.eye(6).view(6, 2, 3), [6, 1, height, width], align_corners=False)
    grid = (theta.view(n, 6) @ basis.view(6, -1)).view(n, height, width, 2)
    if ranges.background is None:
        return F.grid_sample(images, grid, padding_mode="border", align_corners=False)
    # Outside the image grid_sample reads 0, so the background is moved there and back.
    return F.grid_sample(images - ranges.background, grid, align_corners=False) + ranges.background


def sample_maps(n: int, sides: tuple[int, int], ranges: Distortion, generator: torch.Generator) -> Tensor:
    """Affine maps (n, 2, 3) in the coordinates of `affine_grid`: rotation and scale, then shear, mirror, then shift."""
    height, width = sides
    aspect = height / width  # the grid runs from -1 to 1 along each side, however long
    u = 2 * torch.rand(n, 6, generator=generator) - 1
    angle = u[:, 0] * ranges.rotation_rad
    cos, sin = angle.cos(), angle.sin()
    sx, sy = 1 + ranges.scale * u[:, 1], 1 + ranges.scale * u[:, 2]
    shear = ranges.shear * u[:, 3]
    shift = ranges.shift_pixels * 2 * u[:, 4:]
    row_x = torch.stack([cos * sx, (shear * cos - sin) * sy * aspect, shift[:, 0] / width], 1)
    row_y = torch.stack([sin * sx / aspect, (shear * sin + cos) * sy, shift[:, 1] / height], 1)
    maps = torch.stack([row_x, row_y], 1)
    if ranges.is_mirrored:
        maps[:, :, 0] *= 1 - 2 * torch.randint(2, (n, 1), generator=generator)
    return maps
