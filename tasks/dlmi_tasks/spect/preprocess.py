"""Conversion of a volume to an image (slices, normalisation, crop), and how clear the striatum is afterwards.

Every normalisation sees the whole slice or volume: the occipital reference lies outside the crop.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlmi_bench.errors import UsageError
from dlmi_tasks.spect.anatomy.anatomy import Regions
from dlmi_tasks.spect.anatomy.grid import CROP, SHAPE, Mask, crop_center

Planes = NDArray[np.float32]  # (n, 109, 91)
Stacks = NDArray[np.float32]  # (n, 14, 50, 50)

WINDOW = slice(35, 49)  # the slices the literature averages: the striatum, 35-48
SINGLE = 41
AUDIT_SLICES = (37, 39, 41, 43, 45)  # several images of one patient, as slice-wise studies take them
N_HOTTEST = 50  # voxels of a slice that stand for its striatum


@dataclass(frozen=True)
class Preprocessing:
    """Settings for making images.

    Args:
        slices: `window` (mean of 35-48), `single` (41), `hottest` (mean of the 14 with most uptake), or the slices of
            the window as they are: `channels` of an image, or a `volume`.
        normalisation: `occipital` (specific binding: over the reference, less 1), `max`, `zscore`, `minmax`, `none`.
        crop: Side of the central square, or None for the whole slice [pixels].
    """

    slices: str = "window"
    normalisation: str = "occipital"
    crop: int | None = CROP

    @property
    def is_stack(self) -> bool:
        """Whether slices are kept apart, which is done for the central crop of specific binding alone."""
        return self.slices in STACKS

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one image, (channel, height, width), or (channel, depth, height, width) of a volume."""
        if self.is_stack:
            return STACKS[self.slices]
        return (1, self.crop, self.crop) if self.crop else (1, *SHAPE[1:])

    def __post_init__(self) -> None:
        for field, value, known in (("slices", self.slices, PLANES), ("normalisation", self.normalisation, NORMALISE)):
            if value not in known:
                raise UsageError(f"{field} {value!r} does not exist", f"use one of {', '.join(known)}")
        if self.is_stack and (self.normalisation, self.crop) != ("occipital", CROP):
            cause = f"slices {self.slices!r} with normalisation {self.normalisation!r} and crop {self.crop}"
            raise UsageError(cause, f"use the normalisation occipital and the crop {CROP}")


@dataclass(frozen=True)
class Extracts:
    """All that preprocessing and audit need of n volumes, in the volumes' own unit.

    Attributes:
        planes: Chosen slices, averaged, (n, 109, 91).
        slices: Central crops of AUDIT_SLICES, (n, 5, 50, 50).
        stack: Central crops of the window's slices, (n, 14, 50, 50); (n, 0, 50, 50) where they are averaged.
        occipital: Mean of the reference region, (n,).
        ratios: Measured binding ratios by anatomy.REGIONS, (n, 4).
    """

    planes: Planes
    slices: NDArray[np.float32]
    stack: Stacks
    occipital: NDArray[np.float32]
    ratios: NDArray[np.float32]

    def take(self, index: NDArray[np.intp]) -> "Extracts":
        return Extracts(*(values[index] for values in vars(self).values()))


def extract(volumes: list[NDArray[Any]], slices: str, regions: Regions) -> Extracts:
    """Volumes (91, 109, 91) of any number type."""
    occipital = np.array([v[regions.occipital].mean(dtype=np.float64) for v in volumes], dtype=np.float32)
    planes = np.array([PLANES[slices](v) for v in volumes], dtype=np.float32)
    crops = np.array([crop_center(v[list(AUDIT_SLICES)].astype(np.float32)) for v in volumes])
    kept = WINDOW if slices in STACKS else slice(0)
    stack = np.array([crop_center(v[kept].astype(np.float32)) for v in volumes])
    ratios = np.array([measure_ratios(v, regions) for v in volumes], dtype=np.float32)
    return Extracts(planes, crops, stack, occipital, ratios)


def measure_ratios(volume: NDArray[Any], regions: Regions) -> NDArray[np.float64]:
    """Specific binding ratios, (4,): region over reference, less 1."""
    reference = volume[regions.occipital].mean(dtype=np.float64)
    return np.array([volume[region].mean(dtype=np.float64) / reference - 1 for region in regions.striatal])


def join_extracts(parts: list[Extracts]) -> Extracts:
    return Extracts(*map(np.concatenate, zip(*(vars(part).values() for part in parts), strict=True)))


def _average_hottest(volume: NDArray[Any]) -> NDArray[np.float32]:
    """Mean of as many neighbouring slices as WINDOW has, where the hottest voxels of the central part peak."""
    middle = crop_center(volume.astype(np.float32)).reshape(len(volume), -1)
    heat = np.sort(middle, axis=1)[:, -N_HOTTEST:].mean(1)
    width = WINDOW.stop - WINDOW.start
    first = int(np.convolve(heat, np.ones(width), "valid").argmax())
    return np.asarray(volume[first : first + width].mean(0, dtype=np.float32))


def _average_window(volume: NDArray[Any]) -> NDArray[np.float32]:
    return np.asarray(volume[WINDOW].mean(0, dtype=np.float32))


# Of a stack the averaged slices serve its references, so that these stay those of the task.
STACKS = {"channels": (WINDOW.stop - WINDOW.start, CROP, CROP), "volume": (1, WINDOW.stop - WINDOW.start, CROP, CROP)}
PLANES: dict[str, Callable[[NDArray[Any]], NDArray[np.float32]]] = {
    "window": _average_window,
    **dict.fromkeys(STACKS, _average_window),
    "single": lambda volume: volume[SINGLE].astype(np.float32),
    "hottest": _average_hottest,
}


def _over_max(planes: Planes, _: Planes) -> Planes:
    return np.asarray(planes / planes.max((1, 2), keepdims=True))


def _to_zscore(planes: Planes, _: Planes) -> Planes:
    return np.asarray((planes - planes.mean((1, 2), keepdims=True)) / planes.std((1, 2), keepdims=True))


def _to_unit_range(planes: Planes, _: Planes) -> Planes:
    low = planes.min((1, 2), keepdims=True)
    return np.asarray((planes - low) / (planes.max((1, 2), keepdims=True) - low))


# (planes, occipital means as (n, 1, 1)) -> planes
NORMALISE: dict[str, Callable[[Planes, Planes], Planes]] = {
    "occipital": lambda planes, occipital: planes / occipital - 1,
    "max": _over_max,
    "zscore": _to_zscore,
    "minmax": _to_unit_range,
    "none": lambda planes, _: planes,
}


def normalise(extracts: Extracts, normalisation: str) -> Planes:
    """Whole slices, (n, 109, 91)."""
    return NORMALISE[normalisation](extracts.planes, extracts.occipital[:, None, None]).astype(np.float32)


def make_images(extracts: Extracts, preprocessing: Preprocessing) -> NDArray[np.float32]:
    """Model input (n, 1, height, width), or as Preprocessing.input_shape says."""
    if preprocessing.is_stack:
        stack = extracts.stack / extracts.occipital[:, None, None, None] - 1
        return stack.astype(np.float32).reshape(len(stack), *preprocessing.input_shape)
    planes = normalise(extracts, preprocessing.normalisation)
    if preprocessing.crop is not None:
        planes = crop_center(planes, preprocessing.crop)
    return np.ascontiguousarray(planes[:, None])


def compute_image_snr(planes: Planes, regions: Regions) -> NDArray[np.float64]:
    """Striatal contrast over noise within each slice, (n,): (striatum - occipital) / sd of the occipital pixels.

    No normalisation that is linear within an image changes it; the choice of slices does.
    """
    striatum, occipital = _project(regions)
    reference = planes[:, occipital].astype(np.float64)
    return np.asarray((planes[:, striatum].mean(1, dtype=np.float64) - reference.mean(1)) / reference.std(1))


def compute_pooled_snr(planes: Planes, regions: Regions) -> float:
    """Mean striatal contrast over the sd of occipital pixels across all scans: what a normalisation can improve.

    A pixel's noise is then the noise within a scan and the scatter of scale and offset from scan to scan.
    """
    striatum, occipital = _project(regions)
    reference = planes[:, occipital].astype(np.float64)
    contrast = planes[:, striatum].mean(dtype=np.float64) - reference.mean()
    return float(contrast / reference.std())


def compute_left_out_snr(planes: Planes, regions: Regions) -> NDArray[np.float64]:
    """The pooled figure without each scan in turn, (n,): what its jackknife needs."""
    striatum, occipital = _project(regions)
    reference = planes[:, occipital].astype(np.float64)
    sums = planes[:, striatum].mean(1, dtype=np.float64), reference.mean(1), np.square(reference).mean(1)
    signal, mean, square = ((values.sum() - values) / (len(planes) - 1) for values in sums)
    return np.asarray((signal - mean) / np.sqrt(square - mean**2))


def _project(regions: Regions) -> tuple[Mask, Mask]:
    """Pixels of the slice that lie in the striatum or the reference in half of WINDOW, (109, 91) each."""
    striatal = np.logical_or.reduce(regions.striatal)[WINDOW].mean(0) >= 0.5
    return striatal, regions.occipital[WINDOW].mean(0) >= 0.5
