"""The voxel grid of PPMI's reconstructed scans: (slice, row, column), 2 mm, anterior up, right on the left."""

import numpy as np
from numpy.typing import NDArray

Volume = NDArray[np.float32]  # (91, 109, 91) = (slice, row, column)
Mask = NDArray[np.bool_]

SHAPE = (91, 109, 91)
VOXEL_MM = 2.0
# PPMI's brains sit about 3 slices above the MNI brain in its own grid, whose lowest slice is at -72 mm.
LOWEST_MM = -72.0 - 3 * VOXEL_MM

# Voxel (slice, row, column, 1) -> MNI position (x to the right, y forward, z up, 1) [mm].
TO_MNI = np.array([[0, 0, -2, 90], [0, -2, 0, 90], [2, 0, 0, LOWEST_MM], [0, 0, 0, 1]], dtype=float)

CROP = 50
FWHM_PER_SIGMA = 2.0 * np.sqrt(2.0 * np.log(2.0))


def make_positions() -> tuple[Volume, Volume, Volume]:
    """MNI x, y and z of each voxel [mm], as arrays that broadcast to SHAPE."""
    slices, rows, columns = np.ogrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    x = TO_MNI[0, 2] * columns + TO_MNI[0, 3]
    y = TO_MNI[1, 1] * rows + TO_MNI[1, 3]
    z = TO_MNI[2, 0] * slices + TO_MNI[2, 3]
    return x.astype(np.float32), y.astype(np.float32), z.astype(np.float32)


def compute_sigma(fwhm_mm: float) -> float:
    """Standard deviation [voxels] of a Gaussian with this full width at half maximum [mm]."""
    return float(fwhm_mm / FWHM_PER_SIGMA / VOXEL_MM)


def crop_center(images: NDArray[np.float32], size: int = CROP) -> NDArray[np.float32]:
    """Central `size` x `size` pixels of (..., height, width): of 109x91 rows 29-78 and columns 20-69."""
    height, width = images.shape[-2:]
    top, left = (height - size) // 2, (width - size) // 2
    return images[..., top : top + size, left : left + size]


def find_box(mask: Mask, margin: int = 0) -> tuple[slice, slice, slice]:
    """The smallest box (slices of each axis) that holds all of `mask`, with a margin inside the array [voxels]."""
    ends = [(int(positions.min()), int(positions.max()) + 1) for positions in np.nonzero(mask)]
    a, b, c = (slice(max(low - margin, 0), high + margin) for low, high in ends)
    return a, b, c
