"""One image from a file: PNG, JPEG, TIFF, NIfTI or .npy, bounded before anything is decoded."""

import io
import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlmi_bench.errors import DataError
from dlmi_bench.files import parsing, read_bytes
from dlmi_tasks.files.cache import parse_array
from dlmi_tasks.files.limits import GZIP, MIB, inflate
from dlmi_tasks.own.sources.arrays import Layout
from dlmi_tasks.spec import Images

MAX_BYTES = 512 * MIB  # of one file, and of what it decompresses to
MAX_PIXELS = 1 << 26  # height times width, below the number that Pillow takes for an attack
# Pillow's modes: black and white, 8, 16 and 32 bit grey, float, 8 bit colour. 16 bit colour becomes 8 bit in Pillow.
MODES = ("1", "L", "I;16", "I;16L", "I;16B", "I", "F", "RGB")
REMEDY = "replace the file, or leave it out"


def read_image(path: Path, layout: Layout) -> Images:
    """Image in a file, (channel, height, width) or (channel, depth, height, width), float32; grey values as stored.

    Raises:
        DataError: the file cannot be read, is of another kind, or holds NaN or infinite values.
    """
    suffix = next((suffix for suffix in READERS if path.name.lower().endswith(suffix)), None)
    if suffix is None:
        raise DataError(f"{path}: not one of {', '.join(READERS)}", "convert it, or move it elsewhere")
    with parsing(f"{path}: cannot be read", REMEDY), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # readers warn of cosmetic flaws
        array, own = READERS[suffix](path, layout)
        image = own.arrange(str(path), array[None])[0]
    if not np.isfinite(image).all():
        raise DataError(f"{path}: holds NaN or an infinite value", "replace such values, or leave the image out")
    return image


def is_image(path: Path) -> bool:
    """Tell an image by its suffix."""
    return path.name.lower().endswith(tuple(READERS))


def _read_picture(path: Path, _: Layout) -> tuple[NDArray[Any], Layout]:
    from PIL import Image

    with Image.open(io.BytesIO(read_bytes(path, MAX_BYTES)), formats=("PNG", "JPEG", "TIFF")) as picture:
        if picture.mode not in MODES:
            cause = f"{path}: mode {picture.mode}, as of palettes, transparency or print colours"
            raise DataError(cause, "convert it with Pillow: image.convert('L') or image.convert('RGB')")
        if math.prod(picture.size) > MAX_PIXELS:
            raise DataError(f"{path}: {picture.width} x {picture.height} pixels", f"use at most {MAX_PIXELS}")
        if getattr(picture, "n_frames", 1) > 1:
            raise DataError(f"{path}: {picture.n_frames} pages", "save each as a file, or the volume as .npy")  # type: ignore[attr-defined]
        return np.asarray(picture), Layout(2, channels_last=True)


def _read_npy(path: Path, layout: Layout) -> tuple[NDArray[Any], Layout]:
    return parse_array(read_bytes(path, MAX_BYTES)), layout


def _read_nifti(path: Path, _: Layout) -> tuple[NDArray[Any], Layout]:
    """Voxels as (slice, row, column), lowest slice first, anterior row first, the right side on the left."""
    import nibabel

    content = read_bytes(path, MAX_BYTES)
    if path.name.lower().endswith(".gz"):
        content = inflate(content, GZIP, MAX_BYTES)
    header = nibabel.Nifti1Header.from_fileobj(io.BytesIO(content), check=False)
    dims, dtype = header.get_data_shape(), header.get_data_dtype()
    if dtype.kind not in "iuf" or not 2 <= len(dims) <= 4:
        raise DataError(f"{path}: {len(dims)} axes of {dtype}", "use 2 to 4 axes of integers or floats")
    if float(header["vox_offset"]) + math.prod(dims) * dtype.itemsize > len(content):
        raise ValueError(f"{dims} voxels of {dtype} do not fit into {len(content)} bytes; truncated?")
    image = nibabel.funcs.as_closest_canonical(nibabel.Nifti1Image.from_bytes(content))
    voxels = np.asarray(image.dataobj, dtype=np.float32)
    voxels = voxels.reshape(*voxels.shape, *(1,) * (4 - voxels.ndim))[::-1, ::-1].transpose(3, 2, 1, 0)
    return (voxels[:, 0], Layout(2, False)) if voxels.shape[1] == 1 else (voxels, Layout(3, False))


READERS: dict[str, Callable[[Path, Layout], tuple[NDArray[Any], Layout]]] = {
    **dict.fromkeys((".png", ".jpg", ".jpeg", ".tif", ".tiff"), _read_picture),
    **dict.fromkeys((".nii", ".nii.gz"), _read_nifti),
    ".npy": _read_npy,
}
