"""Read one reconstructed scan, DICOM or NIfTI, into (slice, row, column), and reject any other file."""

import io
import math
import warnings
import zlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dlmi_bench.errors import DataError
from dlmi_bench.files import parsing, read_bytes
from dlmi_tasks.files.limits import GZIP, inflate, parse_number
from dlmi_tasks.spect.anatomy.grid import Volume
from dlmi_tasks.spect.ppmi.layout import IMAGE_SHAPE, MAX_IMAGE_BYTES, MODALITY

if TYPE_CHECKING:
    from pydicom import FileDataset

# Transfer syntaxes that are read: plain values, all of the file deflated, run-length coding. The size that any other
# decodes to is known to its decoder alone.
IMPLICIT, EXPLICIT, BIG_ENDIAN = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"
DEFLATED, RUN_LENGTH = "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.5"
SYNTAXES = (IMPLICIT, EXPLICIT, BIG_ENDIAN, DEFLATED, RUN_LENGTH)
META_GROUP = 2
PIXEL_FORMAT: dict[str, tuple[object, ...]] = {
    "SamplesPerPixel": (1,),
    "PhotometricInterpretation": ("MONOCHROME2",),
    "BitsAllocated": (8, 16, 32),
    "PixelRepresentation": (0, 1),
}
NIFTI_MAGIC, NIFTI_OFFSET = b"n+1", 352  # header and voxels in one file; the first voxel's earliest place
MAX_ITEM_BYTES = 8
# Interpolation leaves small undershoots; more than this share of the total means something else.
MAX_NEGATIVE_SHARE = 0.01
REMEDY = "download the image again, or leave it out; the other images are read all the same"


def load_volume(path: Path) -> Volume:
    """Read, rescale and check one scan.

    Returns:
        (91, 109, 91) = (slice, row, column) float32: lowest slice first, anterior row first, patient's right on the
        left. RescaleSlope and RescaleIntercept (or their NIfTI counterparts) are applied.

    Raises:
        DataError: names the file and the field that is wrong.
    """
    with parsing(f"{path}: cannot be read", REMEDY), warnings.catch_warnings():
        # Old headers have cosmetic flaws that the readers warn about; what matters is checked here.
        warnings.simplefilter("ignore")
        volume = _read_dicom(path) if path.name.lower().endswith(".dcm") else _read_nifti(path)
    _check_content(path, volume)
    return volume


def _read_dicom(path: Path) -> Volume:
    dataset = _parse_dicom(path, read_bytes(path, MAX_IMAGE_BYTES))
    _check_header(path, dataset)
    slope = _read_number(path, dataset, "RescaleSlope", 1)
    intercept = _read_number(path, dataset, "RescaleIntercept", 0)
    if slope == 0:
        raise DataError(f"{path}: field RescaleSlope is 0", REMEDY)
    stored = _decode(path, dataset).astype(np.float32)
    return stored * np.float32(slope) + np.float32(intercept)


def _parse_dicom(path: Path, content: bytes) -> "FileDataset":
    """Parse as pydicom.dcmread does, which would inflate without limit."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.errors import InvalidDicomError
    from pydicom.filereader import read_dataset, read_preamble

    stream = io.BytesIO(content)
    try:
        read_preamble(stream, force=False)
    except InvalidDicomError:
        raise DataError(f"{path}: not a DICOM file (no DICM prefix)", REMEDY) from None
    meta = FileMetaDataset(read_dataset(stream, False, True, stop_when=lambda tag, *_: tag >> 16 != META_GROUP))
    syntax = meta.get("TransferSyntaxUID")
    if syntax is None:
        raise DataError(f"{path}: field TransferSyntaxUID is missing; truncated?", REMEDY)
    if syntax not in SYNTAXES:
        cause = f"{path}: field TransferSyntaxUID is {getattr(syntax, 'name', syntax)!s:.120}: not read"
        raise DataError(cause, "export the image uncompressed; if it should be that, download it again")
    body = content[stream.tell() :]
    if syntax == DEFLATED:
        body = inflate(body, partial(zlib.decompressobj, -zlib.MAX_WBITS), MAX_IMAGE_BYTES, padding=b"\0")
    form = syntax == IMPLICIT, syntax != BIG_ENDIAN
    dataset = read_dataset(io.BytesIO(body), *form)
    return FileDataset(str(path), dataset, None, meta, *form)


def _check_header(path: Path, dataset: "FileDataset") -> None:
    if "PixelData" not in dataset:
        raise DataError(f"{path}: field PixelData is missing; truncated?", REMEDY)
    _check_value(path, dataset, "Modality", (MODALITY,))
    fields = ("NumberOfFrames", "Rows", "Columns")
    _check_shape(path, tuple(_read_number(path, dataset, f, 1) for f in fields), "/".join(fields), IMAGE_SHAPE)
    for field, allowed in PIXEL_FORMAT.items():
        _check_value(path, dataset, field, allowed)
    _check_value(path, dataset, "BitsStored", range(1, dataset.BitsAllocated + 1))
    _check_value(path, dataset, "HighBit", (dataset.BitsStored - 1,))


def _check_value(path: Path, dataset: "FileDataset", field: str, allowed: Sequence[object]) -> None:
    value = dataset.get(field)
    if value not in allowed:
        hint = "; an inverted grey scale" if value == "MONOCHROME1" else ""
        wanted = f"{allowed[0]!r} to {allowed[-1]!r}" if len(allowed) > 1 else repr(allowed[0])
        raise DataError(f"{path}: field {field} is {value!r:.80}, expected {wanted}{hint}", REMEDY)


def _read_number(path: Path, dataset: "FileDataset", field: str, default: float) -> float:
    value = dataset.get(field)
    try:
        return default if value is None else parse_number(str(value).strip())
    except ValueError:
        raise DataError(f"{path}: field {field} is {str(value)[:80]!r}, not a number", REMEDY) from None


def _decode(path: Path, dataset: "FileDataset") -> NDArray[Any]:
    """Stored values, (slice, row, column), once their size is known to be that of the image."""
    n_bytes, n_found = math.prod(IMAGE_SHAPE) * dataset.BitsAllocated // 8, len(dataset.PixelData)
    # Plain values are padded to an even length. Run-length coding at worst adds a byte to 128 and a header to a frame.
    is_run_length = dataset.file_meta.TransferSyntaxUID == RUN_LENGTH
    if n_found > 2 * n_bytes or not (is_run_length or n_found == n_bytes + n_bytes % 2):
        cause = f"{path}: field PixelData cannot be read (it has {n_found} bytes, expected {n_bytes}); truncated?"
        raise DataError(cause, REMEDY)
    with parsing(f"{path}: field PixelData cannot be read", REMEDY):
        dataset.pixel_array_options(correct_unused_bits=False)  # they are checked below, and not cut off
        stored: NDArray[Any] = dataset.pixel_array
    _check_shape(path, stored.shape, "PixelData", IMAGE_SHAPE)
    n_bits, n_sign = dataset.BitsStored, dataset.PixelRepresentation
    lowest, highest = -n_sign << (n_bits - 1), (1 << (n_bits - n_sign)) - 1
    if stored.min() < lowest or stored.max() > highest:
        raise DataError(f"{path}: field PixelData has values that do not fit into {n_bits} bits (BitsStored)", REMEDY)
    return stored


def _read_nifti(path: Path) -> Volume:
    import nibabel

    content = read_bytes(path, MAX_IMAGE_BYTES)
    if path.name.lower().endswith(".gz"):
        content = inflate(content, GZIP, MAX_IMAGE_BYTES)
    _check_nifti(path, content)
    image = nibabel.funcs.as_closest_canonical(nibabel.Nifti1Image.from_bytes(content))
    voxels = np.asarray(image.dataobj, dtype=np.float32).reshape(image.shape[:3])
    _check_shape(path, voxels.shape, "dim, turned as the affine says,", IMAGE_SHAPE[::-1])
    # Right, anterior, up -> slice, row from the front, column from the patient's right.
    return np.ascontiguousarray(voxels[::-1, ::-1].transpose(2, 1, 0))


def _check_nifti(path: Path, content: bytes) -> None:
    """Check that the header describes exactly the bytes that follow it."""
    import nibabel

    header = nibabel.Nifti1Header.from_fileobj(io.BytesIO(content), check=False)
    dims = header.get_data_shape()
    _check_shape(path, tuple(n for axis, n in enumerate(dims) if axis < 3 or n != 1), "dim", IMAGE_SHAPE[::-1])
    dtype = header.get_data_dtype()
    if dtype.kind not in "iuf" or dtype.itemsize > MAX_ITEM_BYTES or header["bitpix"] != 8 * dtype.itemsize:
        cause = f"{path}: field datatype is {dtype} of {header['bitpix']} bits, expected integers or floats of up to 64"
        raise DataError(cause, REMEDY)
    if header["magic"] != NIFTI_MAGIC:
        raise DataError(f"{path}: field magic is {header['magic'].item()!r}, expected {NIFTI_MAGIC!r}", REMEDY)
    offset, n_bytes = float(header["vox_offset"]), math.prod(dims) * dtype.itemsize
    if offset < NIFTI_OFFSET or offset + n_bytes != len(content):
        cause = f"{path}: field vox_offset is {offset:g}, before {n_bytes} bytes of voxels; the file has {len(content)}"
        raise DataError(f"{cause}; truncated?", REMEDY)


def _check_shape(path: Path, shape: tuple[float, ...], field: str, expected: tuple[int, ...]) -> None:
    if shape == expected:
        return
    found, wanted = ("x".join(f"{n:g}" for n in numbers) for numbers in (shape, expected))
    hint = "; raw projections?" if len(shape) == 3 and shape.count(shape[1]) == 2 else ""
    raise DataError(
        f"{path}: field {field} is {found}, expected {wanted}{hint}",
        "use the images called Reconstructed DaTSCAN; other shapes are not on the study's grid",
    )


def _check_content(path: Path, volume: Volume) -> None:
    n_bad = int(volume.size - np.isfinite(volume).sum())
    if n_bad:
        raise DataError(f"{path}: field PixelData holds {n_bad} voxels that are not finite", REMEDY)
    if volume.min() == volume.max():
        raise DataError(f"{path}: field PixelData is constant ({volume.flat[0]:g})", REMEDY)
    negative = -float(np.minimum(volume, 0).sum(dtype=np.float64))
    positive = float(np.maximum(volume, 0).sum(dtype=np.float64))
    if negative > MAX_NEGATIVE_SHARE * positive:
        share = negative / (negative + positive)
        raise DataError(f"{path}: field PixelData is negative ({100 * share:.0f} % of its content)", REMEDY)
