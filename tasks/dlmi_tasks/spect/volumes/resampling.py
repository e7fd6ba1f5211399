"""Resample a volume to the study's grid, centre to centre or where a registration has found the head."""

import numpy as np

from dlmi_tasks.spect.anatomy.grid import FWHM_PER_SIGMA, VOXEL_MM, Volume
from dlmi_tasks.spect.volumes.stored import GRID, Matrix, Stored


def resample(turned: Stored, placement: Matrix | None = None) -> Volume:
    """Interpolate linearly at the voxels of the study's grid; 0 outside of what was scanned.

    A source that is finer than the grid is smoothed first, by the difference of the voxels' sizes.

    Args:
        placement: Position on the grid to position in the source, both from the centre to the patient's left, back
            and up [mm], (4, 4). Without it the centres coincide, which places the head only roughly.

    Returns:
        (column, row, slice) of the study's grid.
    """
    from scipy.ndimage import affine_transform

    placement = np.eye(4) if placement is None else placement
    to_voxels = np.linalg.inv(turned.steps)
    matrix = to_voxels @ placement[:3, :3] * VOXEL_MM
    centre, source_centre = (np.array(GRID) - 1) / 2, (np.array(turned.voxels.shape) - 1) / 2
    offset = source_centre + to_voxels @ placement[:3, 3] - matrix @ centre
    return np.asarray(affine_transform(_smooth(turned), matrix, offset, output_shape=GRID, order=1), dtype=np.float32)


def _smooth(turned: Stored) -> Volume:
    from scipy.ndimage import gaussian_filter

    spacing = np.array(turned.spacing_mm)
    sigma = np.sqrt(np.maximum(VOXEL_MM**2 - spacing**2, 0)) / FWHM_PER_SIGMA / spacing
    # Below a tenth of a voxel there is nothing to smooth.
    return np.asarray(gaussian_filter(turned.voxels, np.where(sigma < 0.1, 0, sigma), mode="nearest"))
