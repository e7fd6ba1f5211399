"""Read one reconstructed scan, DICOM or NIfTI, into (slice, row, column), and reject any other file."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dlmi_bench.errors import DataError
from dlmi_tasks.spect.anatomy.grid import Volume
from dlmi_tasks.spect.ppmi.layout import IMAGE_SHAPE, MODALITY

if TYPE_CHECKING:
    from pydicom import FileDataset

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
    with _as_data_errors(path), warnings.catch_warnings():
        # Old headers have cosmetic flaws that the readers warn about; what matters is checked here.
        warnings.simplefilter("ignore")
        volume = _read_dicom(path) if path.name.lower().endswith(".dcm") else _read_nifti(path)
    _check_content(path, volume)
    return volume


@contextmanager
def _as_data_errors(path: Path) -> Iterator[None]:
    """Damage in the words of this project; the readers raise whatever the broken byte leads them to."""
    try:
        yield
    except DataError:
        raise
    except Exception as error:  # any error of the two readers; re-raised with the file
        raise DataError(f"{path}: cannot be read ({type(error).__name__}: {error}); truncated?", REMEDY) from error


def _read_dicom(path: Path) -> Volume:
    import pydicom
    from pydicom.errors import InvalidDicomError

    try:
        dataset = pydicom.dcmread(path)
    except InvalidDicomError:
        raise DataError(f"{path}: not a DICOM file (no DICM prefix)", REMEDY) from None
    _check_header(path, dataset)
    slope = _read_number(path, dataset, "RescaleSlope", 1)
    intercept = _read_number(path, dataset, "RescaleIntercept", 0)
    if slope == 0:
        raise DataError(f"{path}: field RescaleSlope is 0", REMEDY)
    stored = np.asarray(_decode(path, dataset), dtype=np.float32)
    return stored * np.float32(slope) + np.float32(intercept)


def _check_header(path: Path, dataset: "FileDataset") -> None:
    if "PixelData" not in dataset:
        raise DataError(f"{path}: field PixelData is missing; truncated?", REMEDY)
    modality = dataset.get("Modality")
    if modality != MODALITY:
        raise DataError(f"{path}: field Modality is {modality!r}, expected {MODALITY!r}", REMEDY)
    fields = ("NumberOfFrames", "Rows", "Columns")
    _check_shape(path, tuple(int(_read_number(path, dataset, f, 1)) for f in fields), "/".join(fields), IMAGE_SHAPE)


def _read_number(path: Path, dataset: "FileDataset", field: str, default: float) -> float:
    value = dataset.get(field, default)
    try:
        number = float(default if value is None else value)
    except (TypeError, ValueError):
        number = np.nan
    if not np.isfinite(number):
        raise DataError(f"{path}: field {field} is {value!r}, not a number", REMEDY)
    return number


def _decode(path: Path, dataset: "FileDataset") -> Any:
    syntax = getattr(dataset.file_meta, "TransferSyntaxUID", None)
    if syntax is None:
        raise DataError(f"{path}: field TransferSyntaxUID is missing", REMEDY)
    try:
        return dataset.pixel_array
    except Exception as error:  # any error of the decoders; re-raised with file and field
        if syntax.is_private or (syntax.is_transfer_syntax and syntax.is_compressed):
            cause = f"{path}: field TransferSyntaxUID is {syntax.name}: no installed decoder reads it"
            raise DataError(cause, "install a pydicom pixel plug-in, or export the image uncompressed") from error
        raise DataError(f"{path}: field PixelData cannot be read ({error}); truncated?", REMEDY) from error


def _read_nifti(path: Path) -> Volume:
    import nibabel

    image = nibabel.Nifti1Image.from_filename(path)
    shape = tuple(n for axis, n in enumerate(image.shape) if axis < 3 or n != 1)
    _check_shape(path, shape, "dim", IMAGE_SHAPE[::-1])
    voxels = np.asarray(nibabel.funcs.as_closest_canonical(image).dataobj, dtype=np.float32).reshape(shape)
    # Right, anterior, up -> slice, row from the front, column from the patient's right.
    return np.ascontiguousarray(voxels[::-1, ::-1].transpose(2, 1, 0))


def _check_shape(path: Path, shape: tuple[int, ...], field: str, expected: tuple[int, ...]) -> None:
    if shape == expected:
        return
    hint = "; raw projections?" if len(shape) == 3 and shape.count(shape[1]) == 2 else ""
    raise DataError(
        f"{path}: field {field} is {'x'.join(map(str, shape))}, expected {'x'.join(map(str, expected))}{hint}",
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
