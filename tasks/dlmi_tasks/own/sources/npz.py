"""Task from an .npz file, in the layout of MedMNIST or with all images in one array.

Source: J. Yang et al., "MedMNIST v2" (2023), for the names of the arrays and the order of their axes.
"""

import math
import zipfile
from pathlib import Path
from typing import Any, NamedTuple, Unpack

import numpy as np
from numpy.typing import NDArray

from dlmi_bench.errors import DataError
from dlmi_bench.files import parsing
from dlmi_tasks.files.archives import Progress
from dlmi_tasks.own.examples import MAX_EXAMPLES, Examples, check_labels, name_classes
from dlmi_tasks.own.options import Options, add_split, complete
from dlmi_tasks.own.sources.arrays import Layout, check_fields
from dlmi_tasks.own.task import make_task
from dlmi_tasks.spec import Images, Labels, Task

REMEDY = (
    "write it with np.savez(path, train_images=..., train_labels=..., test_images=..., test_labels=...), "
    "or with images=..., labels=... alone"
)
OFFICIAL = {"train": "train", "val": "validation", "validation": "validation", "test": "test"}
WHOLE = {"images": "labels", "x": "y"}


class Pair(NamedTuple):
    """Names of two arrays that belong together, and the shape of the images."""

    split: str
    images: str
    labels: str
    shape: tuple[int, ...]


def from_npz(path: str | Path, **options: Unpack[Options]) -> Task:
    """See Task.from_npz."""
    path = Path(path)
    full = complete(options, path.stem)
    with parsing(f"{path}: cannot be read", REMEDY), _open(path) as archive:
        pairs = _find_pairs(path, archive)
        layout = Layout(full["n_dims"], full["channels_last"])
        if layout == Layout() and pairs[0].split:
            layout = _guess_layout(pairs[0].shape)
        shapes = [layout.find_shape(f"{path}, {pair.images}", pair.shape) for pair in pairs]
        labels = np.concatenate([_read_labels(path, archive, pair) for pair in pairs])
    for pair, shape in zip(pairs, shapes, strict=True):
        if shape != shapes[0]:
            cause = f"{path}: {pairs[0].images} are {shapes[0]}, {pair.images} are {shape}"
            raise DataError(cause, "bring all images to one size")
    if pairs[0].split:
        split = np.repeat([pair.split for pair in pairs], [pair.shape[0] for pair in pairs])
        full = add_split(full, str(path), split)
    examples = Examples(
        where=str(path),
        source=f"file {path.name}",
        note="An .npz file handed over by the user.",
        shape=shapes[0],
        labels=labels,
        class_names=name_classes(str(path), labels, full["class_names"]),
        read=lambda on_progress: _read_images(path, pairs, layout, shapes[0], on_progress),
        files=(path.name,),
        **check_fields(str(path), full, len(labels)),
    )
    return make_task(examples, full)


def _open(path: Path) -> zipfile.ZipFile:
    if not path.is_file():
        raise DataError(f"{path}: no such file", "name an .npz file")
    return zipfile.ZipFile(path)


def _find_pairs(path: Path, archive: zipfile.ZipFile) -> list[Pair]:
    """Arrays of images with their labels: those of the official splits, else the ones that hold everything."""
    names = [name.removesuffix(".npy") for name in archive.namelist()]
    found = [(split, f"{key}_images", f"{key}_labels") for key, split in OFFICIAL.items() if f"{key}_images" in names]
    found = found or [("", images, labels) for images, labels in WHOLE.items() if images in names][:1]
    if not found:
        raise DataError(f"{path}: no images; its arrays are {', '.join(names[:20]) or 'none'}", REMEDY)
    for _, images, labels in found:
        if labels not in names:
            raise DataError(f"{path}: {images} without {labels}", REMEDY)
    return [Pair(split, images, labels, read_header(archive, images)[0]) for split, images, labels in found]


def _guess_layout(shape: tuple[int, ...]) -> Layout:
    """Layout of MedMNIST: (n, 28, 28), (n, 28, 28, 3) or volumes (n, 28, 28, 28)."""
    is_volume = len(shape) == 4 and len(set(shape[1:])) == 1
    return Layout(3 if is_volume else None, channels_last=len(shape) == 4 and shape[-1] == 3)


def read_header(archive: zipfile.ZipFile, name: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and type of an array, once its size is known to be what the header says.

    Raises:
        DataError: it holds objects. Damage raises what numpy raises.
    """
    member = archive.getinfo(f"{name}.npy")
    with archive.open(member) as file:
        if np.lib.format.read_magic(file) != (1, 0):
            raise ValueError(f"{name}: an .npy header of another version")
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        if dtype.hasobject:
            cause = f"{archive.filename}: {name} holds Python objects"
            raise DataError(cause, "save plain arrays of one type, images of one size; nothing is unpickled")
        if file.tell() + math.prod(shape) * dtype.itemsize != member.file_size:
            raise ValueError(f"{name}: holds {member.file_size} bytes, its header says {shape} of {dtype}")
    return shape, dtype


def _read_array(archive: zipfile.ZipFile, name: str) -> NDArray[Any]:
    with archive.open(f"{name}.npy") as file:
        return np.asarray(np.lib.format.read_array(file, allow_pickle=False))


def _read_labels(path: Path, archive: zipfile.ZipFile, pair: Pair) -> Labels:
    """Labels, (n,) or (n, 1)."""
    shape, dtype = read_header(archive, pair.labels)
    if math.prod(shape) * dtype.itemsize > 8 * MAX_EXAMPLES:
        raise DataError(f"{path}: {pair.labels} are {shape} of {dtype}", f"use at most {MAX_EXAMPLES} whole numbers")
    labels = _read_array(archive, pair.labels)
    flat = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
    return check_labels(f"{path}, {pair.labels}", flat, pair.shape[0])


def _read_images(
    path: Path, pairs: list[Pair], layout: Layout, shape: tuple[int, ...], on_progress: Progress | None
) -> Images:
    images = np.empty((sum(pair.shape[0] for pair in pairs), *shape), np.float32)
    n_done = 0
    with parsing(f"{path}: cannot be read to its end", REMEDY), _open(path) as archive:
        for pair in pairs:
            if read_header(archive, pair.images)[0] != pair.shape:
                raise DataError(f"{path}: {pair.images} changed its shape", "leave the file as it is while in use")
            images[n_done : n_done + pair.shape[0]] = layout.arrange(str(path), _read_array(archive, pair.images))
            n_done += pair.shape[0]
            if on_progress:
                on_progress(n_done, len(images))
    return images
