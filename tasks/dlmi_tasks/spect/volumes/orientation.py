"""Turn a stored volume to the study's order of axes without a change of any voxel, and name its own."""

import numpy as np

from dlmi_tasks.spect.anatomy.grid import VOXEL_MM
from dlmi_tasks.spect.volumes.stored import ENDS, GRID, Stored

MAX_TURN_DEG = 1.0  # between axes that count as parallel
MAX_SPACING_SHARE = 0.01  # by which a spacing may differ from the study's


def name_orientation(stored: Stored) -> str:
    """Ends of the patient to which the stored axes run, such as LPS: left, back, up."""
    from nibabel.orientations import aff2axcodes

    return "".join(map(str, aff2axcodes(stored.affine, labels=ENDS)))


def turn(stored: Stored) -> Stored:
    """Flip and swap axes so that each runs as closely as possible to the patient's left, back and up."""
    from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation

    turns = io_orientation(stored.affine)
    voxels = np.ascontiguousarray(apply_orientation(stored.voxels, turns))
    steps = stored.steps @ inv_ornt_aff(turns, stored.voxels.shape)[:3, :3]
    return Stored(voxels, steps, stored.has_orientation)


def is_on_grid(turned: Stored) -> bool:
    """Check that a turned volume has the study's matrix and spacing, and axes within MAX_TURN_DEG of its own."""
    spacing = np.array(turned.spacing_mm)
    cosines = np.diag(turned.steps) / spacing
    is_parallel = bool((cosines >= np.cos(np.deg2rad(MAX_TURN_DEG))).all())
    is_close = bool((abs(spacing / VOXEL_MM - 1) <= MAX_SPACING_SHARE).all())
    return turned.voxels.shape == GRID and is_parallel and is_close
