"""NIfTI: check that the header describes exactly the bytes that follow, and take the voxels with their affine."""

import io
import math
from pathlib import Path

import numpy as np

from dlmi_bench.errors import DataError
from dlmi_bench.files import read_bytes
from dlmi_tasks.files.limits import GZIP, inflate
from dlmi_tasks.spect.ppmi.layout import MAX_IMAGE_BYTES
from dlmi_tasks.spect.volumes.stored import MAX_COSINE, REMEDY, Stored, check_matrix, check_spacing

MAGIC, FIRST_OFFSET = b"n+1", 352  # header and voxels in one file; the first voxel's earliest place
MAX_ITEM_BYTES = 8
TO_LEFT_BACK_UP = np.diag([-1.0, -1.0, 1.0])  # NIfTI counts to the right and forward


def read_nifti(path: Path) -> Stored:
    """Read voxels with slope and intercept applied, and the affine: the sform, else the qform, as nibabel chooses.

    Where the header sets neither, only spacings are known: the axes are taken to run from the patient's right, from
    the back and up, as in the NIfTI files that this project writes, and `has_orientation` is False.
    """
    import nibabel

    content = read_bytes(path, MAX_IMAGE_BYTES)
    if path.name.lower().endswith(".gz"):
        content = inflate(content, GZIP, MAX_IMAGE_BYTES)
    matrix = _check_header(path, content)
    image = nibabel.nifti1.Nifti1Image.from_bytes(content)
    voxels = np.asarray(image.dataobj, dtype=np.float32).reshape(matrix)
    has_orientation = any(int(image.header[code]) > 0 for code in ("sform_code", "qform_code"))
    field = "sform/qform" if has_orientation else "pixdim"
    stored = Stored(voxels, TO_LEFT_BACK_UP @ np.asarray(image.affine, dtype=float)[:3, :3], has_orientation)
    _check_axes(path, stored, field)
    return stored


def _check_axes(path: Path, stored: Stored, field: str) -> None:
    for spacing_mm in stored.spacing_mm:
        check_spacing(path, spacing_mm, field)
    directions = stored.steps / stored.spacing_mm
    if abs(directions.T @ directions - np.eye(3)).max() > MAX_COSINE:
        raise DataError(f"{path}: field {field} has axes that are not at right angles", REMEDY)


def _check_header(path: Path, content: bytes) -> tuple[int, int, int]:
    import nibabel

    header = nibabel.nifti1.Nifti1Header.from_fileobj(io.BytesIO(content), check=False)
    dims = header.get_data_shape()
    matrix = check_matrix(path, tuple(n for axis, n in enumerate(dims) if axis < 3 or n != 1), "dim")
    dtype = header.get_data_dtype()
    if dtype.kind not in "iuf" or dtype.itemsize > MAX_ITEM_BYTES or header["bitpix"] != 8 * dtype.itemsize:
        cause = f"{path}: field datatype is {dtype} of {header['bitpix']} bits, expected integers or floats of up to 64"
        raise DataError(cause, REMEDY)
    if header["magic"] != MAGIC:
        raise DataError(f"{path}: field magic is {header['magic'].item()!r}, expected {MAGIC!r}", REMEDY)
    offset, n_bytes = float(header["vox_offset"]), math.prod(dims) * dtype.itemsize
    if offset < FIRST_OFFSET or offset + n_bytes != len(content):
        cause = f"{path}: field vox_offset is {offset:g}, before {n_bytes} bytes of voxels; the file has {len(content)}"
        raise DataError(f"{cause}; truncated?", REMEDY)
    return matrix
