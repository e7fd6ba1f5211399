"""The guard knows a head that lies elsewhere, and registration puts it back."""

import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK
from scipy.ndimage import affine_transform
from scipy.spatial.transform import Rotation

from dlmi_bench.errors import DataError, UnavailableError
from dlmi_tasks.spect.anatomy.grid import VOXEL_MM
from dlmi_tasks.spect.cohort.cohort import CohortSpec, sample_control, sample_patient
from dlmi_tasks.spect.cohort.imaging import image_patient
from dlmi_tasks.spect.cohort.template import Template
from dlmi_tasks.spect.volumes.guard import MIN_SCORE, compute_score, load_reference
from dlmi_tasks.spect.volumes.read import read_volume
from dlmi_tasks.spect.volumes.register import find_placement
from dlmi_tasks.spect.volumes.resampling import resample
from dlmi_tasks.spect.volumes.stored import GRID, Stored
from spect_dicoms import make_dicom, put, save

STEPS = VOXEL_MM * np.eye(3)


@pytest.fixture(scope="module")
def reference(spect_cache: Path) -> np.ndarray:
    return load_reference(spect_cache)


@pytest.fixture(scope="module")
def heads(templates: list[Template]) -> list[np.ndarray]:
    """People of every stage as they are scanned, none of them in the reference."""
    spec = CohortSpec(seed=5)
    return [
        image_patient(p, templates) for p in (sample_control(spec, 0), *(sample_patient(spec, i) for i in range(3)))
    ]


def move(head: np.ndarray, angles_deg: list[float], shift_mm: list[float]) -> tuple[np.ndarray, np.ndarray]:
    """The head elsewhere, and the placement that finds it: from where it is now to where it was."""
    placement = np.eye(4)
    placement[:3, :3] = Rotation.from_euler("xyz", angles_deg, degrees=True).as_matrix()
    placement[:3, 3] = shift_mm
    stored = Stored(head.transpose(2, 1, 0).astype(np.float32), STEPS, True)
    return resample(stored, placement).transpose(2, 1, 0), placement


def save_head(head: np.ndarray, folder: Path) -> Path:
    dataset = put(make_dicom(head.transpose(2, 1, 0).astype(np.uint16)), "top", PixelSpacing=[2, 2], SliceThickness=2)
    return save(dataset, folder)


def test_reference_is_the_same_left_and_right(reference: np.ndarray) -> None:
    np.testing.assert_array_equal(reference, reference[..., ::-1])


def test_heads_in_place_score_high_and_all_others_low(heads: list[np.ndarray], reference: np.ndarray) -> None:
    """Flipped, 12 slices off, or of another scale: far below the limit. Left and right swapped: as high as before."""
    for head in heads:
        right = compute_score(head, reference)
        assert right > 0.94
        assert compute_score(3.0 * head, reference) == pytest.approx(right, abs=1e-3)
        assert compute_score(head[..., ::-1], reference) == pytest.approx(right, abs=0.01)
        wrong = [head[::-1], head[:, ::-1], head[::-1, ::-1], np.roll(head, 12, 0), np.roll(head, -12, 1)]
        for other in (*wrong, resample_as(head, 2.0), np.swapaxes(head, 0, 2)):
            assert compute_score(other, reference) < MIN_SCORE - 0.05
    assert compute_score(np.zeros_like(reference), reference) == 0


def resample_as(head: np.ndarray, factor: float) -> np.ndarray:
    """The head as it looks where a spacing that is `factor` times as large is believed to be the study's."""
    stored = Stored(head.transpose(2, 1, 0).astype(np.float32), STEPS, True)
    return resample(stored, np.diag([factor, factor, factor, 1])).transpose(2, 1, 0)


def test_a_head_elsewhere_is_refused_with_its_score(
    heads: list[np.ndarray], reference: np.ndarray, tmp_path: Path
) -> None:
    path = save_head(heads[0], tmp_path)
    score = read_volume(path, reference=reference).score
    assert score == compute_score(heads[0].astype(np.float32), reference)
    path = save_head(heads[0][::-1], tmp_path)
    with pytest.raises(DataError, match=r"resembles the reference head by 0\.\d+, less than 0\.87") as caught:
        read_volume(path, reference=reference)
    assert str(path) in caught.value.cause
    assert "--register" in caught.value.remedy


def test_registration_recovers_shift_and_turn(heads: list[np.ndarray], reference: np.ndarray) -> None:
    """15 mm and 10 degrees off along every axis: found within 0.3 of each, against the head in place."""
    moved, placement = move(heads[2], [10, -10, 10], [15, -15, 15])
    found = np.linalg.inv(find_placement(heads[2], reference)) @ placement @ find_placement(moved, reference)
    scale = np.cbrt(np.linalg.det(found[:3, :3]))
    assert np.linalg.norm(found[:3, 3]) < 0.3
    assert np.degrees(Rotation.from_matrix(found[:3, :3] / scale).magnitude()) < 0.3
    assert scale == pytest.approx(1, abs=0.01)


def test_a_scan_of_another_hospital_is_registered(
    heads: list[np.ndarray], reference: np.ndarray, tmp_path: Path
) -> None:
    """128 x 128 x 90 at 2.46 mm and 20 mm too high: refused as it is; aligned, it is the head again."""
    head = heads[1].transpose(2, 1, 0).astype(np.float32)
    matrix, spacing_mm = (128, 128, 90), 2.46
    to_voxels = np.eye(3) * spacing_mm / VOXEL_MM
    offset = (np.array(GRID) - 1) / 2 - to_voxels @ ((np.array(matrix) - 1) / 2) - [0, 0, 20 / VOXEL_MM]
    scan = affine_transform(head, to_voxels, offset, output_shape=matrix, order=1)
    affine = np.diag([spacing_mm, spacing_mm, spacing_mm, 1])  # to the right and forward
    nibabel.save(nibabel.Nifti1Image(scan[::-1, ::-1], affine), tmp_path / "x.nii")
    with pytest.raises(DataError, match="resembles the reference head"):
        read_volume(tmp_path / "x.nii", reference=reference)
    reading = read_volume(tmp_path / "x.nii", reference=reference, register=True)
    assert reading.is_registered
    assert reading.score is not None
    assert reading.score > 0.93


def test_threads_change_no_registration(heads: list[np.ndarray], reference: np.ndarray) -> None:
    """Bit for bit the same where SimpleITK would use one thread and where it would use three, which it does again."""
    n_before, found = SimpleITK.ProcessObject.GetGlobalDefaultNumberOfThreads(), []
    try:
        for n_threads in (1, 3):
            SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(n_threads)
            found.append(find_placement(heads[3], reference))
            assert SimpleITK.ProcessObject.GetGlobalDefaultNumberOfThreads() == n_threads
    finally:
        SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(n_before)
    np.testing.assert_array_equal(*found)


def test_an_empty_grid_is_refused(reference: np.ndarray, tmp_path: Path) -> None:
    """A volume whose content lies outside of the study's grid leaves nothing to align, or to look at."""
    voxels = np.zeros((200, 60, 60), dtype=np.uint16)
    voxels[:9] = 1000
    dataset = put(make_dicom(voxels), "top", PixelSpacing=[2, 2], SliceThickness=2)
    with pytest.raises(DataError, match=r"x.dcm: field PixelData is constant \(0\)"):
        read_volume(save(dataset, tmp_path), reference=reference, register=True)


def test_registration_without_its_package_says_what_to_do(
    heads: list[np.ndarray], reference: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "SimpleITK", None)
    with pytest.raises(UnavailableError, match=r"no package SimpleITK\n.*install dlmi-bench\[register\]"):
        find_placement(heads[0].astype(np.float32), reference)
