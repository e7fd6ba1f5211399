"""Read one reconstructed scan, DICOM or NIfTI, onto the study's grid, and refuse any other file."""

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dlmi_bench.files import parsing
from dlmi_tasks.spect.anatomy.grid import Volume
from dlmi_tasks.spect.volumes.dicom import read_dicom
from dlmi_tasks.spect.volumes.guard import check_score, compute_score, load_reference
from dlmi_tasks.spect.volumes.nifti import read_nifti
from dlmi_tasks.spect.volumes.orientation import is_on_grid, name_orientation, turn
from dlmi_tasks.spect.volumes.register import find_placement
from dlmi_tasks.spect.volumes.resampling import resample
from dlmi_tasks.spect.volumes.stored import REMEDY, Stored, check_content

NIFTI_SUFFIXES = (".nii", ".nii.gz")  # DICOM files may have any, or none


@dataclass(frozen=True)
class Reading:
    """A scan on the study's grid, and what its file said.

    Attributes:
        volume: (91, 109, 91) = (slice, row, column) float32: lowest slice first, anterior row first, patient's right on
            the left. In the scan's own unit, rescaled as the header says.
        matrix: Voxels along each stored axis: columns, rows and slices of a DICOM file, i, j and k of a NIfTI file.
        spacing_mm: Distance of voxels along each stored axis.
        orientation: Ends of the patient to which the stored axes run, such as LPS.
        has_orientation: False where the file says nothing of it and the study's own was taken.
        is_resampled: The volume was interpolated. Otherwise every voxel is as stored.
        is_registered: The head was aligned to the reference.
        score: Resemblance to the reference, see `guard.py`; None without one.
    """

    volume: Volume
    matrix: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    orientation: str
    has_orientation: bool
    is_resampled: bool
    is_registered: bool
    score: float | None


def read_volume(path: Path, *, register: bool = False, reference: Volume | None = None) -> Reading:
    """Read, rescale, turn and check one scan; resample it where it is not on the study's grid.

    Args:
        register: Align the head to the reference, which is `load_reference()` where none is given.
        reference: Mean volume that the result has to resemble.

    Raises:
        DataError: names the file and the field that is wrong, or the score that is too low.
        UnavailableError: the package for registration is not installed.
    """
    stored = _read(path)
    turned = turn(stored)
    if register and reference is None:
        reference = load_reference()
    is_resampled = register or not is_on_grid(turned)
    voxels = resample(turned) if is_resampled else turned.voxels
    if is_resampled:
        check_content(path, voxels)  # the part of the scan that lies on the grid may hold nothing
    if register and reference is not None:
        with parsing(f"{path}: cannot be registered", "leave this scan out"):
            placement = find_placement(_to_slices(voxels), reference)
        voxels = resample(turned, placement)
    volume = _to_slices(voxels)
    score = None if reference is None else compute_score(volume, reference)
    if score is not None:
        check_score(path, score, is_registered=register)
    return Reading(
        volume=volume,
        matrix=stored.matrix,
        spacing_mm=stored.spacing_mm,
        orientation=name_orientation(stored),
        has_orientation=stored.has_orientation,
        is_resampled=is_resampled,
        is_registered=register,
        score=score,
    )


def _read(path: Path) -> Stored:
    with parsing(f"{path}: cannot be read", REMEDY), warnings.catch_warnings():
        # Old headers have cosmetic flaws that the readers warn about; what matters is checked here.
        warnings.simplefilter("ignore")
        stored = read_nifti(path) if path.name.lower().endswith(NIFTI_SUFFIXES) else read_dicom(path)
    check_content(path, stored.voxels)
    return stored


def _to_slices(voxels: Volume) -> Volume:
    """Turn (column, row, slice) into (slice, row, column)."""
    return np.ascontiguousarray(voxels.transpose(2, 1, 0))
