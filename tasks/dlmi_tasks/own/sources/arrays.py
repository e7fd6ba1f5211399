"""Task from arrays in memory, and the order of the axes of any array of images."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypedDict, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dlmi_bench.errors import DataError
from dlmi_tasks.own.examples import Examples, check_labels, check_split, check_words, name_classes, to_array
from dlmi_tasks.own.options import Options, complete
from dlmi_tasks.own.task import make_task
from dlmi_tasks.spec import Groups, Images, Task

MAX_PIXELS = 1 << 28  # of one image, all channels
COLOURS = (1, 3, 4)  # channels of an image in grey, in colour, and with transparency


class Layout(NamedTuple):
    """Order of the axes of an array of images."""

    n_dims: int | None = None
    channels_last: bool | None = None

    def find_shape(self, where: str, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of one image, (channel, height, width) or (channel, depth, height, width), of an array's shape.

        Raises:
            DataError: the array has too many or too few axes, an empty one, or channels in an axis that was not stated.
        """
        n_dims = self.n_dims or (3 if len(shape) == 5 else 2)
        n_axes = len(shape) - 1
        if n_axes not in (n_dims, n_dims + 1):
            axes = "n, channel, depth, height, width" if n_dims == 3 else "n, channel, height, width"
            cause = f"{where}: images have shape {shape}, with {len(shape)} axes"
            raise DataError(cause, f"use ({axes}), or the same without channel" + ("" if self.n_dims else "; n_dims=3"))
        inner = shape[1:] if n_axes > n_dims else (1, *shape[1:])
        if n_axes > n_dims and self.channels_last:
            inner = (shape[-1], *shape[1:-1])
        elif self.channels_last is None and n_axes == 3 > n_dims and shape[-1] in COLOURS and shape[1] > max(COLOURS):
            cause = f"{where}: images have shape {shape}, which looks like channels in the last axis"
            raise DataError(cause, "say channels_last=True, or False where it is the width")
        if not 0 < math.prod(inner) <= MAX_PIXELS:
            raise DataError(f"{where}: images have shape {shape}", f"use 1 to {MAX_PIXELS} values in each image")
        return inner

    def arrange(self, where: str, array: NDArray[Any]) -> Images:
        """Images as float32 (n, channel, ...) in memory of their own; integers keep their values, 0-255 for uint8.

        Raises:
            DataError: the values are not real numbers.
        """
        array = to_images(where, array)
        shape = self.find_shape(where, array.shape)
        moved = np.moveaxis(array, -1, 1) if self.channels_last and array.ndim == len(shape) + 1 else array
        with np.errstate(over="ignore"):  # what is too large for float32 is infinite, and reported as such
            return np.array(moved.reshape(-1, *shape), dtype=np.float32, order="C")


def from_arrays(images: ArrayLike, labels: ArrayLike, **options: Unpack[Options]) -> Task:
    """See Task.from_arrays."""
    full = complete(options)
    where = f"{full['name']}: arrays"
    array = to_images(where, images)
    layout = Layout(full["n_dims"], full["channels_last"])
    shape, n = layout.find_shape(where, array.shape), len(array)
    checked = check_labels(where, labels, n)
    examples = Examples(
        where=where,
        source="arrays",
        note="Arrays handed over by the user.",
        shape=shape,
        labels=checked,
        class_names=name_classes(where, checked, full["class_names"]),
        read=lambda _: layout.arrange(where, array),
        **check_fields(where, full, n),
    )
    return make_task(examples, full)


def to_images(where: str, images: ArrayLike) -> NDArray[Any]:
    """Images as an array of numbers.

    Raises:
        DataError: they differ in size, or hold what is no number.
    """
    array = to_array(where, "images", images)
    if array.dtype.kind not in "biuf":
        cause = f"{where}: images are of type {array.dtype}, not numbers"
        raise DataError(cause, "stack images of one size into an array of integers or floats")
    return array


class Fields(TypedDict):
    """What is known of each image besides its class."""

    groups: Groups | None
    sites: Groups | None
    split: Groups | None


def check_fields(where: str, options: Options, n: int, paths: Sequence[Path] = (), lines: Sequence[int] = ()) -> Fields:
    """Groups, sites and split of `n` images, checked; functions of the path are applied to `paths`."""
    groups, sites = (
        [values(path) for path in paths] if callable(values) else values
        for values in (options["groups"], options["sites"])
    )
    return {
        "groups": check_words(where, "groups", groups, n, lines),
        "sites": check_words(where, "sites", sites, n, lines),
        "split": check_split(where, options["split"], n, lines),
    }
