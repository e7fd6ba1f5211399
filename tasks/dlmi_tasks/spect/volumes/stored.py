"""A volume as its file stores it, with what the header says of its place, and the checks that all formats share."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dlmi_bench.errors import DataError
from dlmi_tasks.spect.anatomy.grid import SHAPE, Volume

Matrix = NDArray[np.float64]

GRID = SHAPE[::-1]  # the study's grid as (column, row, slice)
N_SIDE = (16, 512)  # voxels along an axis
MAX_VOXELS = 256**3
SPACING_MM = (0.5, 10.0)  # what a camera for the brain can have
# Filtered back-projection leaves negative rings, a few per cent of the content; more of it means something else.
MAX_NEGATIVE_SHARE = 0.05
# Cosine between stored axes that should be at right angles; what rounding of a header leaves.
MAX_COSINE = 0.01
# The ends of the patient's axes that point to the left, back and up, as DICOM counts: low end, high end.
ENDS = (("R", "L"), ("A", "P"), ("I", "S"))
REMEDY = "download the image again, or leave it out; the other images are read all the same"


@dataclass(frozen=True)
class Stored:
    """Voxels in the order of their file, fastest axis first.

    Attributes:
        voxels: (column, row, slice) of a DICOM file, (i, j, k) of a NIfTI file.
        steps: Column n is the step from one voxel to the next along axis n, to the patient's left, back and up [mm],
            (3, 3).
        has_orientation: False where the file says nothing of it, and the study's order was taken.
    """

    voxels: Volume
    steps: Matrix
    has_orientation: bool

    @property
    def matrix(self) -> tuple[int, int, int]:
        a, b, c = self.voxels.shape
        return a, b, c

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        a, b, c = np.linalg.norm(self.steps, axis=0).tolist()
        return a, b, c

    @property
    def affine(self) -> Matrix:
        """Voxel to patient [mm], (4, 4); the first voxel is at 0, as no place but the direction counts."""
        affine = np.eye(4)
        affine[:3, :3] = self.steps
        return affine


def check_matrix(path: Path, shape: tuple[float, ...], field: str) -> tuple[int, int, int]:
    """Refuse sizes that no reconstructed brain has, before anything is made of them."""
    low, high = N_SIDE
    if len(shape) != 3 or any(n != round(n) or not low <= n <= high for n in shape) or math.prod(shape) > MAX_VOXELS:
        found = "x".join(f"{n:g}" for n in shape)
        raise DataError(
            f"{path}: field {field} is {found}, expected a volume of {low} to {high} voxels a side",
            "use a reconstructed scan of the whole head, one file a scan",
        )
    a, b, c = map(round, shape)
    return a, b, c


def check_spacing(path: Path, spacing_mm: float, field: str) -> None:
    low, high = SPACING_MM
    if not low <= abs(spacing_mm) <= high:
        raise DataError(f"{path}: field {field} is {spacing_mm:g} mm, expected {low:g} to {high:g}", REMEDY)


def check_content(path: Path, voxels: Volume) -> None:
    """Refuse voxels that hold no image."""
    if not np.isfinite(voxels.sum(dtype=np.float64)):  # a float64 holds the sum of any finite float32 values
        n_bad = int(voxels.size - np.isfinite(voxels).sum())
        raise DataError(f"{path}: field PixelData holds {n_bad} voxels that are not finite", REMEDY)
    lowest = voxels.min()
    if lowest == voxels.max():
        raise DataError(f"{path}: field PixelData is constant ({voxels.flat[0]:g})", REMEDY)
    if lowest >= 0:
        return
    negative = -float(np.minimum(voxels, 0).sum(dtype=np.float64))
    positive = float(np.maximum(voxels, 0).sum(dtype=np.float64))
    if negative > MAX_NEGATIVE_SHARE * positive:
        share = negative / (negative + positive)
        raise DataError(f"{path}: field PixelData is negative ({100 * share:.0f} % of its content)", REMEDY)
