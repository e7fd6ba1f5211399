"""Reading one scan: both formats, orientation, rescaling, and every way in which a file can be wrong."""

import gzip
import struct
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEGLosslessSV1,
    RLELossless,
)

from dlmi_bench.errors import DataError
from dlmi_tasks.spect.anatomy.grid import SHAPE
from dlmi_tasks.spect.cohort.cohort import CohortSpec, sample_patient
from dlmi_tasks.spect.cohort.synthesis import Visit
from dlmi_tasks.spect.ppmi.writer import NIFTI_AFFINE, Scan, write_dicom, write_nifti
from dlmi_tasks.spect.volumes.read import read_volume


@pytest.fixture(scope="module")
def volume() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 3000, SHAPE, dtype=np.uint16)


@pytest.fixture
def dicom(volume: np.ndarray, tmp_path: Path) -> Path:
    path = tmp_path / "scan_I1.dcm"
    write_dicom(path, volume, Scan(Visit(sample_patient(CohortSpec(), 0)), 0))
    return path


@pytest.fixture(scope="module")
def pristine(volume: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Sound files by suffix."""
    folder = tmp_path_factory.mktemp("pristine")
    write_dicom(folder / "x.dcm", volume, Scan(Visit(sample_patient(CohortSpec(), 0)), 0))
    write_nifti(folder / "x.nii", volume)
    return {path.suffix: path.read_bytes() for path in folder.iterdir()}


def edit(path: Path, **fields: Any) -> Path:
    """Set header fields of a DICOM file; None deletes the field."""
    dataset = pydicom.dcmread(path)
    for name, value in fields.items():
        if value is None:
            delattr(dataset, name)
        else:
            setattr(dataset, name, value)
    dataset.save_as(path)
    return path


def test_dicom_comes_back(volume: np.ndarray, dicom: Path) -> None:
    """What was written is read, voxel for voxel, as (slice, row, column)."""
    np.testing.assert_array_equal(read_volume(dicom).volume, volume)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_nifti_comes_back(volume: np.ndarray, tmp_path: Path, suffix: str) -> None:
    """NIfTI, plain or compressed, gives the same array as DICOM."""
    path = tmp_path / f"scan{suffix}"
    write_nifti(path, volume)
    np.testing.assert_array_equal(read_volume(path).volume, volume)


def test_nifti_orientation_comes_from_the_header(volume: np.ndarray, tmp_path: Path) -> None:
    """Stored from the patient's left instead of the right, the scan is read the same."""
    path = tmp_path / "scan.nii"
    affine = NIFTI_AFFINE.copy()
    affine[0] = [2, 0, 0, -90]
    nibabel.save(nibabel.Nifti1Image(volume.transpose(2, 1, 0)[::-1, ::-1], affine), path)
    np.testing.assert_array_equal(read_volume(path).volume, volume)


def test_rescale_is_applied(volume: np.ndarray, dicom: Path) -> None:
    """Stored values are multiplied by RescaleSlope, then RescaleIntercept is added."""
    edit(dicom, RescaleSlope="2.5", RescaleIntercept="4")
    np.testing.assert_array_equal(read_volume(dicom).volume, volume * np.float32(2.5) + 4)


def test_nifti_scaling_is_applied(volume: np.ndarray, tmp_path: Path) -> None:
    """The NIfTI header's slope and intercept, bytes 112-119, are applied too."""
    path = tmp_path / "scan.nii"
    write_nifti(path, volume)
    content = bytearray(path.read_bytes())
    content[112:120] = struct.pack("<ff", 0.5, 3.0)
    path.write_bytes(content)
    np.testing.assert_array_equal(read_volume(path).volume, volume * np.float32(0.5) + 3)


@pytest.mark.filterwarnings("ignore:.* VR .*IS")
@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"RescaleSlope": "0"}, "RescaleSlope is 0"),
        ({"Modality": "CT"}, "field Modality is 'CT'"),
        ({"PixelData": None}, "field PixelData is missing"),
        ({"NumberOfFrames": 90}, "PixelData cannot be read .it has 1805258 bytes, expected 1785420"),
        (
            {"NumberOfFrames": 9},
            "Columns/Rows/NumberOfFrames is 91x109x9, expected a volume of 16 to 512",
        ),
        ({"NumberOfFrames": 512, "Rows": 512}, "Columns/Rows/NumberOfFrames is 91x512x512, expected a volume"),
        ({"NumberOfFrames": "91.5"}, "Columns/Rows/NumberOfFrames is 91x109x91.5, expected a volume"),
        ({"NumberOfFrames": 120, "Rows": 128, "Columns": 128}, "it has 1805258 bytes, expected 3932160"),
        ({"RescaleIntercept": "-1500"}, "field PixelData is negative"),
        ({"PhotometricInterpretation": "MONOCHROME1"}, "'MONOCHROME1', expected 'MONOCHROME2'; an inverted grey scale"),
        ({"PhotometricInterpretation": None}, "PhotometricInterpretation is None"),
        ({"SamplesPerPixel": 3}, "SamplesPerPixel is 3, expected 1"),
        ({"PixelRepresentation": 2}, "PixelRepresentation is 2, expected 0 to 1"),
        ({"BitsAllocated": 64}, "BitsAllocated is 64, expected 8 to 32"),
        ({"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}, "it has 1805258 bytes, expected 902629"),
        ({"BitsStored": 17}, "BitsStored is 17, expected 1 to 16"),
        ({"BitsStored": 12}, "HighBit is 15, expected 11"),
        ({"BitsStored": 11, "HighBit": 10}, r"do not fit into 11 bits \(BitsStored\)"),
        ({"BitsStored": 12, "HighBit": 11, "PixelRepresentation": 1}, r"do not fit into 12 bits \(BitsStored\)"),
        ({"PixelData": bytes(2 * 91 * 109 * 91 + 2)}, "it has 1805260 bytes, expected 1805258"),
        ({"PixelData": bytes(2 * 91 * 109 * 90)}, "it has 1785420 bytes, expected 1805258"),
    ],
)
def test_bad_header_is_named(dicom: Path, fields: dict[str, Any], message: str) -> None:
    """The message names the file and the field."""
    edit(dicom, **fields)
    with pytest.raises(DataError, match=message) as caught:
        read_volume(dicom)
    assert str(dicom) in caught.value.cause


@pytest.mark.parametrize("share", [0.5, 0.02, 0.0])
def test_truncated_dicom(dicom: Path, share: float) -> None:
    """A download that broke off is reported as such, wherever it broke."""
    content = dicom.read_bytes()
    dicom.write_bytes(content[: max(int(share * len(content)), 200)])
    with pytest.raises(DataError, match=r"truncated\?|is missing|Modality is None"):
        read_volume(dicom)


@pytest.mark.parametrize(("text", "field"), [(b"9_1 ", "NumberOfFrames"), (b"1_0 ", "RescaleSlope")])
def test_digits_with_underscores_are_no_number(dicom: Path, text: bytes, field: str) -> None:
    """What the reader of the header takes for 91 frames, or for a slope of 10, is named and refused."""
    edit(dicom, RescaleSlope="1000")
    content = dicom.read_bytes()
    known = b"IS\x02\x0091" if field == "NumberOfFrames" else b"DS\x04\x001000"
    dicom.write_bytes(content.replace(known, known[:2] + struct.pack("<H", 4) + text))
    with pytest.raises(DataError, match=rf"field {field} is .*{text.decode().strip()}.*, not a number"):
        read_volume(dicom)


@pytest.mark.parametrize(
    ("syntax", "bits"),
    [
        (ImplicitVRLittleEndian, 32),
        (ExplicitVRBigEndian, 16),
        (ExplicitVRBigEndian, 32),
        (DeflatedExplicitVRLittleEndian, 8),
        (RLELossless, 8),
        (RLELossless, 16),
    ],
)
def test_other_encodings_come_back(dicom: Path, syntax: UID, bits: int) -> None:
    """Every transfer syntax that is read, with pixels of every size, gives the values that were stored."""
    values = np.random.default_rng(1).integers(0, 200, SHAPE).astype(f"u{bits // 8}")
    dataset = pydicom.dcmread(dicom)
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = bits, bits, bits - 1
    content = values.astype(values.dtype.newbyteorder(">" if syntax == ExplicitVRBigEndian else "<")).tobytes()
    dataset.PixelData = content + bytes(len(content) % 2)
    dataset["PixelData"].VR = "OB" if bits == 8 else "OW"
    if syntax == RLELossless:
        dataset.compress(syntax)
    else:
        dataset.file_meta.TransferSyntaxUID = syntax
    form = {"implicit_vr": syntax == ImplicitVRLittleEndian, "little_endian": syntax != ExplicitVRBigEndian}
    pydicom.dcmwrite(dicom, dataset, **form)
    np.testing.assert_array_equal(read_volume(dicom).volume, values)


def test_not_dicom(tmp_path: Path) -> None:
    """A web page saved under the name of an image is not an image."""
    path = tmp_path / "x.dcm"
    path.write_text("<html>please log in</html>" * 20)
    with pytest.raises(DataError, match="not a DICOM file"):
        read_volume(path)


def test_other_transfer_syntaxes_are_named(dicom: Path) -> None:
    """A transfer syntax that is not read, as no bound of what it decodes to is known, is named with the way out."""
    dataset = pydicom.dcmread(dicom)
    dataset.file_meta.TransferSyntaxUID = JPEGLosslessSV1
    dataset.PixelData = pydicom.encaps.encapsulate([b"\xff\xd8\xff\xd9"] * SHAPE[0])
    dataset["PixelData"].is_undefined_length = True
    dataset.save_as(dicom)
    with pytest.raises(DataError, match=r"TransferSyntaxUID is JPEG Lossless.*not read") as caught:
        read_volume(dicom)
    assert "uncompressed" in caught.value.remedy


def test_constant_image(dicom: Path) -> None:
    """An image of one value carries nothing."""
    edit(dicom, PixelData=np.full(SHAPE, 7, dtype="<u2").tobytes())
    with pytest.raises(DataError, match=r"PixelData is constant \(7\)"):
        read_volume(dicom)


def test_nan_is_counted(volume: np.ndarray, tmp_path: Path) -> None:
    """Voxels that are not finite are counted in the message."""
    values = volume.transpose(2, 1, 0).astype(np.float32)
    values[0, 0, :3] = np.nan, np.inf, np.nan
    nibabel.save(nibabel.Nifti1Image(values, NIFTI_AFFINE), tmp_path / "x.nii")
    with pytest.raises(DataError, match="3 voxels that are not finite"):
        read_volume(tmp_path / "x.nii")


@pytest.mark.parametrize(("share", "is_read"), [(0.049, True), (0.051, False)])
def test_negative_rings_are_no_error(tmp_path: Path, share: float, is_read: bool) -> None:
    """Filtered back-projection leaves a few per cent of the content below zero; more is refused."""
    values = np.zeros(SHAPE[::-1], dtype=np.float32)
    values[40, 50, :2] = 1000, -1000 * share
    nibabel.save(nibabel.Nifti1Image(values, NIFTI_AFFINE), tmp_path / "x.nii")
    if is_read:
        assert read_volume(tmp_path / "x.nii").volume.min() == pytest.approx(-1000 * share)
    else:
        with pytest.raises(DataError, match=r"field PixelData is negative \(5 % of its content\)"):
            read_volume(tmp_path / "x.nii")


@pytest.mark.parametrize("shape", [(128, 128, 1), (8, 128, 128), (513, 16, 16), (64, 64, 64, 2), (512, 512, 65)])
def test_wrong_nifti_shape(tmp_path: Path, shape: tuple[int, ...]) -> None:
    """A slice, several volumes, or more voxels than a head has are refused before anything is made of them."""
    nibabel.save(nibabel.Nifti1Image(np.zeros(shape, dtype=np.int8), np.eye(4)), tmp_path / "x.nii")
    with pytest.raises(DataError, match=r"field dim is .*, expected a volume of 16 to 512 voxels a side"):
        read_volume(tmp_path / "x.nii")


@pytest.mark.parametrize(
    ("place", "content", "message"),
    [
        (70, struct.pack("<hh", 32, 64), "datatype is complex64 of 64 bits"),
        (70, struct.pack("<hh", 128, 24), "datatype is .* of 24 bits"),
        (70, struct.pack("<hh", 512, 8), "datatype is uint16 of 8 bits"),
        (70, struct.pack("<hh", 4096, 16), "cannot be read"),
        (70, struct.pack("<hh", 64, 64), "before 7221032 bytes of voxels; the file has 1805610"),
        (108, struct.pack("<f", 351), "vox_offset is 351"),
        (108, struct.pack("<f", 1e11), "vox_offset is 1e.11"),
        (108, struct.pack("<f", float("nan")), "vox_offset is nan"),
        (344, b"ni1\0", "magic is b'ni1', expected b'n.1'"),
    ],
)
def test_bad_nifti_header_is_named(
    pristine: dict[str, bytes], tmp_path: Path, place: int, content: bytes, message: str
) -> None:
    """A type that holds no plain numbers, and voxels that are not where the header says, are refused by field."""
    path = tmp_path / "x.nii"
    path.write_bytes(pristine[".nii"][:place] + content + pristine[".nii"][place + len(content) :])
    with pytest.raises(DataError, match=message):
        read_volume(path)


def test_axes_that_are_swapped_are_not_reshaped(volume: np.ndarray, tmp_path: Path) -> None:
    """An affine that makes the second axis the first gives other rows and columns, cut and filled about the centre."""
    affine = NIFTI_AFFINE[:, [1, 0, 2, 3]]
    nibabel.save(nibabel.Nifti1Image(volume.transpose(2, 1, 0), affine), tmp_path / "x.nii")
    reading = read_volume(tmp_path / "x.nii")
    assert (reading.is_resampled, reading.orientation) == (True, "ALS")
    expected = np.zeros(SHAPE)
    expected[:, 9:100] = volume.transpose(0, 2, 1)[:, ::-1, 9:100]
    np.testing.assert_allclose(reading.volume, expected, atol=0.01)


def test_nothing_follows_a_nifti(pristine: dict[str, bytes], tmp_path: Path) -> None:
    """Bytes behind the voxels or the compressed data, and a checksum that is wrong, are refused."""
    sound, packed = pristine[".nii"], gzip.compress(pristine[".nii"], 1)
    wrong = packed[:-8] + bytes([packed[-8] ^ 1]) + packed[-7:]
    contents = {".nii": [sound + b"x", sound[:-1]], ".nii.gz": [packed + b"x", packed[:-1], wrong, packed * 2]}
    for suffix, damaged in contents.items():
        for content in damaged:
            path = tmp_path / f"x{suffix}"
            path.write_bytes(content)
            with pytest.raises(DataError, match=str(path)):
                read_volume(path)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_damaged_nifti(volume: np.ndarray, tmp_path: Path, suffix: str) -> None:
    """A truncated NIfTI, or something else under its name, is a message and not a crash."""
    path = tmp_path / f"x{suffix}"
    write_nifti(path, volume)
    content = path.read_bytes()
    for damaged in (content[: len(content) // 2], b"hello" * 100, gzip.compress(b"hello" * 100)):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=str(path)):
            read_volume(path)


@given(data=st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_broken_bytes_never_crash(data: st.DataObject, pristine: dict[str, bytes], tmp_path: Path) -> None:
    """Whatever bytes of a header are wrong, and wherever the file ends, it is read or refused with its name."""
    suffix = data.draw(st.sampled_from(sorted(pristine)))
    content = bytearray(pristine[suffix])
    for _ in range(data.draw(st.integers(1, 5))):
        content[data.draw(st.integers(0, 1400))] = data.draw(st.integers(0, 255))
    end = data.draw(st.sampled_from([len(content), 400, 1500]))
    path = tmp_path / f"x{suffix}"
    path.write_bytes(content[:end])
    cause = None
    try:
        read_volume(path)
    except DataError as error:
        cause = error.cause
    assert cause is None or str(path) in cause
