"""Memory that data need, compared with what is free before it is taken."""

import math

import numpy as np

from dlmi_bench.errors import DataError
from dlmi_bench.units import format_quantity

COPIES = 2  # the images as read, and the normalised ones of the splits


def count_bytes(n_images: int, shape: tuple[int, ...]) -> int:
    """Bytes of float32 images."""
    return n_images * math.prod(shape) * np.dtype(np.float32).itemsize


def find_free_bytes() -> int:
    """Memory that can be taken without swapping [bytes]."""
    import psutil

    return int(psutil.virtual_memory().available)


def check_memory(where: str, n_bytes: int) -> None:
    """Refuse data that do not fit.

    Raises:
        DataError: says how much is needed, how much is free and what helps.
    """
    free = find_free_bytes()
    if n_bytes > free:
        needed, left = (format_quantity(n, "bytes") for n in (n_bytes, free))
        raise DataError(
            f"{where}: needs {needed} of memory, {left} are free",
            "make the images smaller, or stream them from the disk with Task.from_datasets(..., in_memory=False)",
        )
