"""DICOM: check the header, decode the frames, put them in order and apply the rescaling; refuse any other file."""

import io
import math
import zlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dlmi_bench.errors import DataError
from dlmi_bench.files import parsing, read_bytes
from dlmi_tasks.files.limits import inflate, parse_number
from dlmi_tasks.spect.anatomy.grid import Volume
from dlmi_tasks.spect.ppmi.layout import MAX_IMAGE_BYTES, MODALITY
from dlmi_tasks.spect.volumes.fields import find_numbers
from dlmi_tasks.spect.volumes.geometry import read_geometry
from dlmi_tasks.spect.volumes.stored import REMEDY, Stored, check_matrix

if TYPE_CHECKING:
    from pydicom import FileDataset
    from pydicom.dataset import FileMetaDataset

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
# Slope and intercept, by the names of older and of newer files.
SCALES = (("RescaleSlope", "RescaleIntercept"), ("RealWorldValueSlope", "RealWorldValueIntercept"))
NEUTRAL = np.array([[[1.0]], [[0.0]]])  # slope and intercept that change nothing, one row each
# Fields that only a tomographic acquisition has.
PROJECTION_FIELDS = ("RotationInformationSequence", "RotationVector", "AngularViewVector")
PROJECTION_REMEDY = 'take the collection "Reconstructed DaTSCAN", or reconstruct the projections first'


def read_dicom(path: Path) -> Stored:
    """Read the frames of one reconstructed scan, in the order of their slices, rescaled.

    Where the header says nothing of orientation, as in PPMI's reconstructions, frames run up, rows back, and columns to
    the patient's left, and `has_orientation` is False.
    """
    dataset = _parse_dicom(path, read_bytes(path, MAX_IMAGE_BYTES))
    matrix = _check_header(path, dataset)
    frames = _rescale(path, dataset, _decode(path, dataset, matrix).astype(np.float32))
    order, steps, has_orientation = read_geometry(path, dataset, matrix)
    return Stored(frames[order].transpose(2, 1, 0), steps, has_orientation)


def _rescale(path: Path, dataset: "FileDataset", frames: Volume) -> Volume:
    """Apply slope and intercept, which hold for all frames or are stated for each."""
    for words in SCALES:
        found = [find_numbers(path, dataset, field) for field in words]
        if any(map(len, found)):
            slope, intercept = (rows if len(rows) else NEUTRAL[i] for i, rows in enumerate(found))
            if (slope == 0).any():
                raise DataError(f"{path}: field {words[0]} is 0", REMEDY)
            return frames * slope[:, None].astype(np.float32) + intercept[:, None].astype(np.float32)
    return frames


def read_meta(path: Path, stream: io.BytesIO) -> "FileMetaDataset":
    """Read what stands before a file's data set, where the stream then stands.

    Raises:
        DataError: not a DICOM file.
    """
    from pydicom.dataset import FileMetaDataset
    from pydicom.errors import InvalidDicomError
    from pydicom.filereader import read_dataset, read_preamble

    try:
        read_preamble(stream, force=False)
    except InvalidDicomError:
        raise DataError(f"{path}: not a DICOM file (no DICM prefix)", REMEDY) from None
    return FileMetaDataset(read_dataset(stream, False, True, stop_when=lambda tag, *_: tag >> 16 != META_GROUP))


def _parse_dicom(path: Path, content: bytes) -> "FileDataset":
    """Parse as pydicom.dcmread does, which would inflate without limit."""
    from pydicom.dataset import FileDataset
    from pydicom.filereader import read_dataset

    stream = io.BytesIO(content)
    meta = read_meta(path, stream)
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


def _check_header(path: Path, dataset: "FileDataset") -> tuple[int, int, int]:
    if "PixelData" not in dataset:
        raise DataError(f"{path}: field PixelData is missing; truncated?", REMEDY)
    _check_value(path, dataset, "Modality", (MODALITY,))
    _check_reconstruction(path, dataset)
    fields = ("Columns", "Rows", "NumberOfFrames")
    matrix = check_matrix(path, tuple(_read_number(path, dataset, f, 1) for f in fields), "/".join(fields))
    for field, allowed in PIXEL_FORMAT.items():
        _check_value(path, dataset, field, allowed)
    _check_value(path, dataset, "BitsStored", range(1, dataset.BitsAllocated + 1))
    _check_value(path, dataset, "HighBit", (dataset.BitsStored - 1,))
    return matrix


def _check_reconstruction(path: Path, dataset: "FileDataset") -> None:
    """Refuse raw projections. A reconstruction says so, and may keep how its projections were taken."""
    words = " ".join(map(str, np.atleast_1d(dataset.get("ImageType") or []))).upper()
    signs = [field for field in PROJECTION_FIELDS if dataset.get(field)]
    signs += ["NumberOfEnergyWindows"] if _read_number(path, dataset, "NumberOfEnergyWindows", 1) > 1 else []
    if "RECON" in words or not ("TOMO" in words or (signs and "DERIVED" not in words)):
        return
    field = f"ImageType is {words:.80}" if "TOMO" in words else f"{signs[0]} is there"
    raise DataError(f"{path}: holds raw projections, not slices (field {field})", PROJECTION_REMEDY)


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


def _decode(path: Path, dataset: "FileDataset", matrix: tuple[int, int, int]) -> NDArray[Any]:
    """Stored values, (frame, row, column), once their size is known to be that of the image."""
    n_bytes, n_found = math.prod(matrix) * dataset.BitsAllocated // 8, len(dataset.PixelData)
    # Plain values are padded to an even length. Run-length coding at worst adds a byte to 128 and a header to a frame.
    is_run_length = dataset.file_meta.TransferSyntaxUID == RUN_LENGTH
    if n_found > 2 * n_bytes or not (is_run_length or n_found == n_bytes + n_bytes % 2):
        cause = f"{path}: field PixelData cannot be read (it has {n_found} bytes, expected {n_bytes}); truncated?"
        raise DataError(cause, REMEDY)
    with parsing(f"{path}: field PixelData cannot be read", REMEDY):
        dataset.pixel_array_options(correct_unused_bits=False)  # they are checked below, and not cut off
        stored: NDArray[Any] = dataset.pixel_array
    if stored.shape != matrix[::-1]:
        raise DataError(f"{path}: field PixelData holds {stored.shape}, expected {matrix[::-1]}", REMEDY)
    n_bits, n_sign = dataset.BitsStored, dataset.PixelRepresentation
    lowest, highest = -n_sign << (n_bits - 1), (1 << (n_bits - n_sign)) - 1
    if stored.min() < lowest or stored.max() > highest:
        raise DataError(f"{path}: field PixelData has values that do not fit into {n_bits} bits (BitsStored)", REMEDY)
    return stored
