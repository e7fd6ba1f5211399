"""Volumes on another grid: a head that is computed where each voxel lies comes out as on the study's own."""

from pathlib import Path

import nibabel
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from dlmi_tasks.spect.volumes.read import read_volume
from dlmi_tasks.spect.volumes.stored import GRID
from spect_dicoms import make_dicom, put, save

TO_NIFTI = np.diag([-1.0, -1.0, 1.0])


def compute_head(matrix: tuple[int, ...], steps: np.ndarray) -> np.ndarray:
    """A smooth head around the centre of the volume, computed where each voxel lies, (i, j, k), up to 1000."""
    centred = [np.arange(n) - (n - 1) / 2 for n in matrix]
    x, y, z = np.einsum("pa,aijk->pijk", steps, np.array(np.meshgrid(*centred, indexing="ij")))
    head = np.exp(-((x / 60) ** 2 + (y / 75) ** 2 + (z / 55) ** 2))
    nuclei = sum(np.exp(-(((x - 25 * side) / 14) ** 2 + ((y + 15) / 22) ** 2 + (z / 14) ** 2)) for side in (-0.8, 1))
    return np.asarray(500 * (head + nuclei))


def assert_is_head(volume: np.ndarray, tolerance: float = 0.02) -> None:
    """Each voxel is within a share of the brightest of what is computed on the study's own grid."""
    expected = compute_head(GRID, 2 * np.eye(3)).transpose(2, 1, 0)
    inside = expected > 150
    assert abs(volume - expected)[inside].max() < tolerance * expected.max()


TURN = Rotation.from_rotvec(np.array([0.6, -0.48, 0.64]) * 10, degrees=True)


@pytest.mark.parametrize("form", ["dicom", "nifti"])
def test_oblique_axes_are_resampled(tmp_path: Path, form: str) -> None:
    """A head stored along axes that are turned by 10 degrees is read upright, within 2 % inside the head."""
    steps = 2 * TURN.as_matrix()
    voxels = compute_head(GRID, steps).round().astype(np.uint16)
    if form == "dicom":
        row, column, _ = TURN.as_matrix().T
        dataset = put(make_dicom(voxels), "detector", ImageOrientationPatient=[*row.round(5), *column.round(5)])
        path = save(put(dataset, "top", PixelSpacing=[2, 2], SpacingBetweenSlices=2), tmp_path)
    else:
        affine = np.eye(4)
        affine[:3, :3], path = TO_NIFTI @ steps, tmp_path / "x.nii"
        nibabel.save(nibabel.Nifti1Image(voxels, affine), path)
    reading = read_volume(path)
    assert (reading.is_resampled, reading.orientation) == (True, "LPS")
    assert_is_head(reading.volume)


def test_a_turn_of_less_than_a_degree_is_none(tmp_path: Path) -> None:
    """Rounding of headers interpolates nothing."""
    turned = Rotation.from_euler("z", 0.8, degrees=True).as_matrix()
    voxels = compute_head(GRID, 2 * np.eye(3)).round().astype(np.uint16)
    dataset = put(make_dicom(voxels), "top", ImageOrientationPatient=[*turned[:, 0].round(5), *turned[:, 1].round(5)])
    reading = read_volume(save(put(dataset, "top", PixelSpacing=[2.01, 2], SliceThickness=2), tmp_path))
    assert not reading.is_resampled
    np.testing.assert_array_equal(reading.volume, voxels.transpose(2, 1, 0))


@pytest.mark.parametrize(
    ("matrix", "spacing_mm", "tolerance"),
    [
        (GRID, 4.0, 0.03),
        ((128, 128, 90), 2.46, 0.02),
        ((128, 128, 90), 3.9, 0.03),
        ((150, 180, 150), 1.2, 0.02),
        ((79, 95, 79), 2.0, 0.01),
        ((64, 64, 40), 4.8, 0.05),
    ],
)
def test_other_grids_are_resampled(
    tmp_path: Path, matrix: tuple[int, int, int], spacing_mm: float, tolerance: float
) -> None:
    """Whatever its matrix and spacing, also the study's matrix at 4 mm, the head comes out at its size."""
    voxels = compute_head(matrix, spacing_mm * np.eye(3)).round().astype(np.uint16)
    dataset = put(make_dicom(voxels), "top", PixelSpacing=[spacing_mm] * 2, SpacingBetweenSlices=spacing_mm)
    reading = read_volume(save(dataset, tmp_path))
    assert (reading.matrix, reading.is_resampled, reading.has_orientation) == (matrix, True, False)
    assert_is_head(reading.volume, tolerance)


def test_what_is_finer_than_the_grid_is_averaged(tmp_path: Path) -> None:
    """Slices of 1 mm that are 0 and 1000 by turns: each second one alone would make them all dark, or all bright.

    The Gaussian is the difference of the voxels' sizes as widths at half maximum. Sampled, it leaves twice
    exp(-(pi sigma)^2 / 2) of a wave of two voxels, in whose frequency both ends of its spectrum meet.
    """
    voxels = np.zeros((65, 65, 65), dtype=np.uint16)
    voxels[..., ::2] = 1000
    dataset = put(make_dicom(voxels), "top", PixelSpacing=[1, 1], SpacingBetweenSlices=1)
    inside = read_volume(save(dataset, tmp_path)).volume[38:53, 47:62, 38:53]
    sigma_squared = (2**2 - 1**2) / (8 * np.log(2))
    np.testing.assert_allclose(inside, 500 + 1000 * np.exp(-(np.pi**2) * sigma_squared / 2), rtol=1e-3)
