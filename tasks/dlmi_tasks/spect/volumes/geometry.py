"""Where a DICOM header says that its frames lie: their order, and the step along each axis in the patient."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dlmi_bench.errors import DataError
from dlmi_tasks.spect.anatomy.grid import VOXEL_MM
from dlmi_tasks.spect.volumes.fields import find_common, find_number, find_numbers
from dlmi_tasks.spect.volumes.stored import GRID, MAX_COSINE, REMEDY, Matrix, check_spacing

if TYPE_CHECKING:
    from pydicom import Dataset

Order = NDArray[np.intp]

# Directions of a row and of a column where only the position on the table is known: the camera looks from the feet.
POSITIONS = {
    "HFS": (1, 0, 0, 0, 1, 0),
    "FFS": (-1, 0, 0, 0, 1, 0),
    "HFP": (-1, 0, 0, 0, -1, 0),
    "FFP": (1, 0, 0, 0, -1, 0),
}
MAX_GAP_SHARE = 0.05  # by which a distance between frames may differ from the mean


def read_geometry(path: Path, dataset: "Dataset", matrix: tuple[int, int, int]) -> tuple[Order, Matrix, bool]:
    """Read the frames' order, the steps as in `Stored`, and whether the header says anything of the orientation.

    ImageOrientationPatient is in the patient's own axes, so PatientPosition counts only where it is missing. Positions
    of single frames count before SpacingBetweenSlices, and that before SliceThickness.

    Args:
        matrix: Columns, rows, frames.

    Raises:
        DataError: fields that contradict themselves or each other.
    """
    axes, is_stated = _read_axes(path, dataset)
    axes[:, :2] *= _read_pixel_spacing(path, dataset, matrix)
    positions = find_numbers(path, dataset, "ImagePositionPatient", 3)
    if len(positions) > 1:
        order, spacing = _order_by_position(path, positions, axes[:, 2])
    else:
        order, spacing = _read_slice_vector(path, dataset, matrix[2]), _read_slice_spacing(path, dataset, matrix)
    axes[:, 2] *= spacing
    return order, axes, is_stated


def _read_axes(path: Path, dataset: "Dataset") -> tuple[Matrix, bool]:
    """Directions along a row, along a column and from slice to slice as columns, and whether they are stated."""
    words = find_common(path, dataset, "ImageOrientationPatient", 6)
    position = dataset.get("PatientPosition") or None
    if words is None and position is not None and position not in POSITIONS:
        cause = f"{path}: field PatientPosition is {position!r:.80}, without ImageOrientationPatient"
        raise DataError(cause, f"expected one of {', '.join(POSITIONS)}; or {REMEDY}")
    row, column = np.reshape(POSITIONS[position or "HFS"] if words is None else words, (2, 3)).astype(float)
    lengths = np.linalg.norm([row, column], axis=1)
    if abs(lengths - 1).max() > MAX_COSINE or abs(row @ column) > MAX_COSINE:
        cause = f"{path}: field ImageOrientationPatient holds no two unit vectors at right angles"
        raise DataError(cause, REMEDY)
    row, column = row / lengths[0], column / lengths[1]
    return np.column_stack([row, column, np.cross(row, column)]), words is not None or position is not None


def _read_pixel_spacing(path: Path, dataset: "Dataset", matrix: tuple[int, int, int]) -> tuple[float, float]:
    """Distance of columns, then of rows; the header has rows first."""
    spacing = find_common(path, dataset, "PixelSpacing", 2)
    if spacing is None:
        return _assume_spacing(path, "PixelSpacing", matrix), VOXEL_MM
    rows, columns = spacing.tolist()
    for value in (rows, columns):
        check_spacing(path, value, "PixelSpacing")
        if value < 0:
            raise DataError(f"{path}: field PixelSpacing is negative ({value:g})", REMEDY)
    return columns, rows


def _read_slice_spacing(path: Path, dataset: "Dataset", matrix: tuple[int, int, int]) -> float:
    """Distance of slices along the normal; negative where they run the other way, as some cameras write."""
    for field in ("SpacingBetweenSlices", "SliceThickness"):
        if (value := find_number(path, dataset, field)) is not None:
            check_spacing(path, value, field)
            return value if field == "SpacingBetweenSlices" else abs(value)
    return _assume_spacing(path, "SpacingBetweenSlices", matrix)


def _assume_spacing(path: Path, field: str, matrix: tuple[int, int, int]) -> float:
    """The study's spacing, where the matrix is the study's too."""
    if matrix != GRID:
        raise DataError(f"{path}: field {field} is missing", REMEDY)
    return VOXEL_MM


def _read_slice_vector(path: Path, dataset: "Dataset", n_frames: int) -> Order:
    """Frames by the number of their slice, which may run backwards."""
    vector = dataset.get("SliceVector")
    if not vector:
        return np.arange(n_frames)
    numbers = np.atleast_1d(np.array(vector, dtype=np.int64))
    order = np.argsort(numbers, kind="stable")
    if len(numbers) != n_frames or (np.diff(numbers[order]) != 1).any():
        cause = f"{path}: field SliceVector does not number {n_frames} slices, each once"
        raise DataError(cause, "use one reconstructed volume a file, without gates, phases or energy windows")
    return order


def _order_by_position(path: Path, positions: Matrix, normal: Matrix) -> tuple[Order, float]:
    """Frames along the normal, and their mean distance."""
    order = np.argsort(positions @ normal, kind="stable")
    steps = np.diff(positions[order], axis=0)
    mean = float((steps @ normal).mean())
    check_spacing(path, mean, "ImagePositionPatient, from frame to frame,")
    if abs(steps - mean * normal).max() > MAX_GAP_SHARE * mean:
        cause = f"{path}: field ImagePositionPatient does not place the frames evenly along their normal"
        raise DataError(cause, REMEDY)
    return order, mean
