"""Geometry of volumes: every way to store one is read as the same one; contradictions are refused."""

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from pydicom import Dataset

from dlmi_bench.errors import DataError
from dlmi_tasks.spect.anatomy.grid import SHAPE
from dlmi_tasks.spect.volumes.dicom import read_dicom
from dlmi_tasks.spect.volumes.nifti import read_nifti
from dlmi_tasks.spect.volumes.orientation import name_orientation, turn
from dlmi_tasks.spect.volumes.read import read_volume
from dlmi_tasks.spect.volumes.stored import GRID
from spect_dicoms import TURNS, Place, make_dicom, make_directions, put, save, store

SMALL = (16, 18, 17)  # columns, rows, slices of the truth: to the left, back, up
TO_NIFTI = np.diag([-1.0, -1.0, 1.0])
IOP = [1, 0, 0, 0, 1, 0]


@pytest.fixture(scope="module")
def truth() -> np.ndarray:
    """A small volume, (left, back, up), in which no two voxels are equal."""
    return np.random.default_rng(0).permutation(np.prod(SMALL)).reshape(SMALL).astype(np.uint16)


def read_turned(path: Path) -> np.ndarray:
    return turn(read_dicom(path)).voxels


def name_ends(axes: tuple[int, ...], signs: tuple[int, ...]) -> str:
    return "".join(("LPS" if sign > 0 else "RAI")[axis] for axis, sign in zip(axes, signs, strict=True))


def make_turned(truth: np.ndarray, axes: tuple[int, ...], signs: tuple[int, ...]) -> tuple[Dataset, list[float], int]:
    """The stored truth without geometry, its ImageOrientationPatient, and the sign of the slices along the normal."""
    row, column, up = make_directions(axes, signs)
    return make_dicom(store(truth, axes, signs)), [*row, *column], round(np.cross(row, column) @ up)


@pytest.mark.parametrize(("axes", "signs"), TURNS, ids=[name_ends(*turn) for turn in TURNS])
def test_all_48_orientations_are_the_truth(
    truth: np.ndarray, tmp_path: Path, axes: tuple[int, ...], signs: tuple[int, ...]
) -> None:
    """As DICOM, by negative spacings, by SliceVector and by positions of frames, and as NIfTI: no voxel differs."""
    dataset, iop, sign = make_turned(truth, axes, signs)
    put(dataset, "top", PixelSpacing=[3, 2], SpacingBetweenSlices=4 * sign)
    put(dataset, "detector", ImageOrientationPatient=iop)
    stored = read_dicom(save(dataset, tmp_path))
    np.testing.assert_array_equal(turn(stored).voxels, truth)
    assert name_orientation(stored) == name_ends(axes, signs)
    assert stored.spacing_mm == pytest.approx((2, 3, 4))
    n = int(dataset.NumberOfFrames)
    put(dataset, "top", SpacingBetweenSlices=4, SliceVector=list(range(1, n + 1))[::sign])
    np.testing.assert_array_equal(read_turned(save(dataset, tmp_path)), truth)
    up = make_directions(axes, signs)[2]
    put(dataset, "frames", ImagePositionPatient=[list(up * 4 * i - 90) for i in range(n)])
    np.testing.assert_array_equal(read_turned(save(dataset, tmp_path)), truth)

    affine = np.eye(4)
    affine[:3, :3] = TO_NIFTI @ make_directions(axes, signs).T @ np.diag([2, 3, 4])
    nibabel.save(nibabel.Nifti1Image(store(truth, axes, signs), affine), tmp_path / "x.nii")
    nifti = read_nifti(tmp_path / "x.nii")
    np.testing.assert_array_equal(turn(nifti).voxels, truth)
    assert name_orientation(nifti) == name_ends(axes, signs)
    assert nifti.spacing_mm == pytest.approx((2, 3, 4))


@pytest.mark.parametrize(("axes", "signs"), [TURNS[5], TURNS[26], TURNS[47]])
def test_a_turned_file_of_the_study_is_not_interpolated(
    tmp_path: Path, axes: tuple[int, ...], signs: tuple[int, ...]
) -> None:
    """The whole way: (slice, row, column), every voxel as stored, and the facts of the file."""
    whole = np.random.default_rng(1).integers(0, 3000, GRID, dtype=np.uint16)
    dataset, iop, sign = make_turned(whole, axes, signs)
    put(dataset, "top", ImageOrientationPatient=iop, PixelSpacing=[2, 2], SpacingBetweenSlices=2 * sign)
    reading = read_volume(save(dataset, tmp_path))
    np.testing.assert_array_equal(reading.volume, whole.transpose(2, 1, 0))
    assert reading.volume.shape == SHAPE
    assert reading.matrix == tuple(GRID[axis] for axis in axes)
    assert reading.orientation == name_ends(axes, signs)
    assert (reading.has_orientation, reading.is_resampled, reading.is_registered, reading.score) == (
        True, False, False, None,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("position", "axes", "signs"),
    [
        ("HFS", (0, 1, 2), (1, 1, 1)),
        ("FFS", (0, 1, 2), (-1, 1, -1)),
        ("HFP", (0, 1, 2), (-1, -1, 1)),
        ("FFP", (0, 1, 2), (1, -1, -1)),
    ],
)
def test_position_on_the_table_counts_without_orientation(
    truth: np.ndarray, tmp_path: Path, position: str, axes: tuple[int, ...], signs: tuple[int, ...]
) -> None:
    """Feet first turns about the vertical axis, face down about the long one; an orientation needs neither."""
    dataset, iop, _ = make_turned(truth, axes, signs)
    put(dataset, "top", PatientPosition=position, PixelSpacing=[2, 2], SliceThickness=2)
    np.testing.assert_array_equal(read_turned(save(dataset, tmp_path)), truth)
    put(dataset, "detector", ImageOrientationPatient=iop)
    np.testing.assert_array_equal(read_turned(save(dataset, tmp_path)), truth)


@pytest.mark.parametrize("place", ["top", "detector", "shared", "frames"])
def test_geometry_is_found_in_every_place(truth: np.ndarray, tmp_path: Path, place: Place) -> None:
    """At top level, with the detector, in shared groups and in those of each frame."""
    dataset, iop, sign = make_turned(truth, (2, 0, 1), (-1, 1, 1))
    fields = {"ImageOrientationPatient": iop, "PixelSpacing": [3, 2], "SpacingBetweenSlices": 4 * sign}
    many = {name: [value] * dataset.NumberOfFrames for name, value in fields.items()}
    put(dataset, place, **(many if place == "frames" else fields))
    stored = read_dicom(save(dataset, tmp_path))
    np.testing.assert_array_equal(turn(stored).voxels, truth)
    assert stored.spacing_mm == pytest.approx((2, 3, 4))


@pytest.mark.parametrize(
    "names", [("RescaleSlope", "RescaleIntercept"), ("RealWorldValueSlope", "RealWorldValueIntercept")]
)
@pytest.mark.parametrize("place", ["top", "shared", "frames"])
def test_rescaling_is_found_in_every_place(
    truth: np.ndarray, tmp_path: Path, place: Place, names: tuple[str, str]
) -> None:
    """One slope and intercept for all, or one a frame, which then counts for its frame wherever its slice lies."""
    dataset = put(
        make_dicom(truth[..., ::-1]), "top", PixelSpacing=[2, 2], SliceThickness=2, SliceVector=[*range(17, 0, -1)]
    )
    slopes, intercepts = np.arange(17) * 0.5 + 1, np.arange(17.0)
    if place == "frames":
        values = {names[0]: slopes.tolist(), names[1]: intercepts.tolist()}
        expected = truth * slopes[::-1] + intercepts[::-1]
    else:
        values, expected = {names[0]: 2.5, names[1]: 4.0}, truth * 2.5 + 4
    if place == "top" and names[0].startswith("Real"):
        dataset.RealWorldValueMappingSequence = [put(Dataset(), "top", **values)]
    else:
        put(dataset, place, **values)
    np.testing.assert_array_equal(read_turned(save(dataset, tmp_path)), expected)


def test_frames_are_ordered_by_their_positions(truth: np.ndarray, tmp_path: Path) -> None:
    """Frames that are stored in any order are put where the header says that they lie."""
    order = np.random.default_rng(2).permutation(17)
    dataset = put(make_dicom(truth[..., order]), "top", ImageOrientationPatient=IOP, PixelSpacing=[2, 2])
    put(dataset, "frames", ImagePositionPatient=[[-90, -100, 2.5 * i] for i in order])
    stored = read_dicom(save(dataset, tmp_path))
    np.testing.assert_array_equal(stored.voxels, truth)
    assert stored.spacing_mm == pytest.approx((2, 2, 2.5))


def move_frame(index: int, *by: float) -> dict[str, Any]:
    places = [[0.0, 0.0, 2.0 * i] for i in range(17)]
    places[index] = [a + b for a, b in zip(places[index], by, strict=True)]
    return {"ImagePositionPatient": places}


@pytest.mark.parametrize(
    ("place", "fields", "message"),
    [
        ("top", {"ImageOrientationPatient": [1, 0, 0, 0, 0.9, 0]}, "ImageOrientationPatient holds no two unit vectors"),
        ("top", {"ImageOrientationPatient": [1, 0, 0, 0.1, 1, 0]}, "ImageOrientationPatient holds no two unit vectors"),
        ("detector", {"ImageOrientationPatient": [1, 0, 0]}, "ImageOrientationPatient has 3 numbers, expected 6"),
        ("top", {"PixelSpacing": [0, 2]}, "PixelSpacing is 0 mm, expected 0.5 to 10"),
        ("top", {"PixelSpacing": [2, -2]}, r"PixelSpacing is negative \(-2\)"),
        ("top", {"PixelSpacing": None}, "PixelSpacing is missing"),
        ("top", {"SpacingBetweenSlices": 0}, "SpacingBetweenSlices is 0 mm"),
        ("top", {"SpacingBetweenSlices": 91}, "SpacingBetweenSlices is 91 mm"),
        ("top", {"SliceThickness": None}, "SpacingBetweenSlices is missing"),
        ("top", {"PatientPosition": "HFDR"}, "PatientPosition is 'HFDR', without ImageOrientationPatient"),
        ("top", {"SliceVector": [1] * 17}, "SliceVector does not number 17 slices"),
        ("top", {"SliceVector": [1, 2]}, "SliceVector does not number 17 slices"),
        ("frames", {"PixelSpacing": [[2, 2]] * 16 + [[3, 3]]}, "PixelSpacing differs from frame to frame"),
        ("frames", move_frame(5, 0, 0, 0.5), "ImagePositionPatient does not place the frames evenly"),
        ("frames", move_frame(5, 1, 0, 0), "ImagePositionPatient does not place the frames evenly"),
        ("frames", {"ImagePositionPatient": [[0, 0, 0]] * 17}, "ImagePositionPatient, from frame to frame, is 0 mm"),
    ],
)
def test_contradictions_are_refused_by_field(
    truth: np.ndarray, tmp_path: Path, place: Place, fields: dict[str, Any], message: str
) -> None:
    dataset = put(make_dicom(truth), "top", PixelSpacing=[2, 2], SliceThickness=2)
    if place == "frames" and "PixelSpacing" in fields:
        del dataset.PixelSpacing
    put(dataset, place, **{name: value for name, value in fields.items() if value is not None})
    for name in (name for name, value in fields.items() if value is None):
        delattr(dataset, name)
    path = save(dataset, tmp_path)
    with pytest.raises(DataError, match=message) as caught:
        read_dicom(path)
    assert str(path) in caught.value.cause


def test_a_field_of_some_frames_is_refused(truth: np.ndarray, tmp_path: Path) -> None:
    dataset = put(make_dicom(truth), "top", PixelSpacing=[2, 2], SliceThickness=2)
    put(dataset, "frames", RescaleSlope=[2] * 17)
    del dataset.PerFrameFunctionalGroupsSequence[3].PixelValueTransformationSequence
    with pytest.raises(DataError, match="field RescaleSlope is stated for 16 of 17 frames"):
        read_dicom(save(dataset, tmp_path))


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"ImageType": ["ORIGINAL", "PRIMARY", "TOMO", "EMISSION"]}, r"ImageType is ORIGINAL PRIMARY TOMO EMISSION"),
        ({"ImageType": ["ORIGINAL", "PRIMARY"], "AngularViewVector": [1, 2]}, "AngularViewVector is there"),
        ({"ImageType": ["ORIGINAL", "PRIMARY"], "NumberOfEnergyWindows": 2}, "NumberOfEnergyWindows is there"),
        ({"ImageType": None, "RotationInformationSequence": [Dataset()]}, "RotationInformationSequence is there"),
    ],
)
def test_projections_are_refused_in_one_sentence(tmp_path: Path, fields: dict[str, Any], field: str) -> None:
    """120 views of 64 x 64, as a plain download of PPMI holds them, are told by their header."""
    dataset = put(make_dicom(np.ones((64, 64, 120), dtype=np.uint16)), "top", **fields)
    with pytest.raises(DataError, match=rf"holds raw projections, not slices \(field {field}\)") as caught:
        read_volume(save(dataset, tmp_path))
    assert "Reconstructed DaTSCAN" in caught.value.remedy


def test_a_reconstruction_may_keep_how_it_was_acquired(truth: np.ndarray, tmp_path: Path) -> None:
    dataset = put(make_dicom(truth), "top", RotationInformationSequence=[Dataset()], PixelSpacing=[2, 2])
    put(dataset, "top", SliceThickness=2, NumberOfEnergyWindows=2)
    assert read_dicom(save(dataset, tmp_path)).matrix == SMALL


def test_nifti_without_codes_is_taken_as_the_study_stores_it(truth: np.ndarray, tmp_path: Path) -> None:
    """Neither sform nor qform: from the right, from the back, up; the spacing is still the header's."""
    image = nibabel.Nifti1Image(store(truth, (0, 1, 2), (1, -1, 1)), None)
    image.header.set_zooms((2, 3, 4))
    image.set_sform(None, code=0)
    image.set_qform(None, code=0)
    nibabel.save(image, tmp_path / "x.nii")
    stored = read_nifti(tmp_path / "x.nii")
    assert not stored.has_orientation
    assert stored.spacing_mm == pytest.approx((2, 3, 4))
    np.testing.assert_array_equal(turn(stored).voxels, truth)


@pytest.mark.parametrize(
    ("column", "message"),
    [((0, 0, 0), "sform/qform is 0 mm"), ((2, 2, 0), "at right angles"), ((np.nan, 0, 0), "sform/qform is nan mm")],
)
def test_nifti_axes_that_cannot_be_are_refused(
    truth: np.ndarray, tmp_path: Path, column: tuple[float, ...], message: str
) -> None:
    image = nibabel.Nifti1Image(truth, np.diag([2.0, 2, 2, 1]))
    for i, row in enumerate("xyz"):
        image.header[f"srow_{row}"] = [column[i], 2 * (i == 1), 2 * (i == 2), 0]
    image.header["sform_code"], image.header["vox_offset"] = 1, 352
    (tmp_path / "x.nii").write_bytes(image.header.binaryblock + bytes(4) + truth.tobytes(order="F"))
    with pytest.raises(DataError, match=message):
        read_volume(tmp_path / "x.nii")
