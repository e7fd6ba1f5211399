"""Guard against volumes that lie elsewhere than their header says: resemblance to the mean of synthetic people."""

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dlmi_bench.errors import DataError
from dlmi_tasks.files.cache import ArrayDict, compute_key, load_or_make
from dlmi_tasks.spect.anatomy.anatomy import load_anatomies
from dlmi_tasks.spect.anatomy.grid import VOXEL_MM, Mask, Volume
from dlmi_tasks.spect.cohort.cohort import (
    N_ANATOMIES,
    CohortSpec,
    Patient,
    compute_ratios,
    sample_control,
    sample_patient,
)
from dlmi_tasks.spect.cohort.optics import blur
from dlmi_tasks.spect.cohort.synthesis import SOURCES
from dlmi_tasks.spect.cohort.template import NOMINAL_FWHM_MM, Template, make_templates, make_uptake, solve_uptake

# 48 synthetic people, other than those by whom it was chosen: 0.95 to 0.99 in place, at most 0.92 if 10 mm off, 0.79 if
# flipped, 0.68 if 24 mm off, 0.51 if a spacing of 4 mm was read as 2 mm. No real scan was seen.
MIN_SCORE = 0.87
SMOOTHING_MM = 4.0  # standard deviation; noise differs from camera to camera and is no sign of a wrong place
MIN_SHARE = 0.03  # of the reference's maximum, where the head is
N_PATIENTS, N_CONTROLS = 3, 1  # of each anatomy


def compute_score(volume: Volume, reference: Volume) -> float:
    """Correlate a volume with the reference where the reference has its head. The volume's unit does not count.

    Of both, smoothed, the square root is taken, so that the brain counts beside the striatum, which disease empties.

    A volume that is upside down, back to front, of another scale or shifted scores low. One whose left and right are
    swapped scores as high as the right one: heads are symmetric and either side may be the worse, so no content tells
    them apart, and the header alone decides.
    """
    head, expected = _expect(_Key(reference))
    seen = _take_roots(_coarsen(volume), head)
    if seen.min() == seen.max():
        return 0.0
    return float(np.corrcoef(seen, expected)[0, 1])


@dataclass(frozen=True, eq=False)
class _Key:
    """A volume that is compared by being the same one."""

    volume: Volume

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and other.volume is self.volume

    def __hash__(self) -> int:
        return id(self.volume)


@lru_cache(maxsize=2)  # a thousand scans are compared with one
def _expect(reference: _Key) -> tuple[Mask, NDArray[np.float64]]:
    """Where the reference has its head, and what is there."""
    coarse = _coarsen(reference.volume)
    head = coarse > MIN_SHARE * coarse.max()
    return head, _take_roots(coarse, head)


def _take_roots(coarse: NDArray[np.float64], head: Mask) -> NDArray[np.float64]:
    return np.asarray(np.sqrt(np.maximum(_smooth(coarse)[head], 0)))


def _coarsen(volume: Volume) -> NDArray[np.float64]:
    """Means of eight neighbours, which cost an eighth to smooth."""
    a, b, c = (2 * (n // 2) for n in volume.shape)
    total = np.zeros((a // 2, b // 2, c // 2))
    for i, j, k in np.ndindex(2, 2, 2):  # a mean over three axes at once takes three times as long
        total += volume[i:a:2, j:b:2, k:c:2]
    return total / 8


def _smooth(coarse: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy.ndimage import gaussian_filter

    return np.asarray(gaussian_filter(coarse, SMOOTHING_MM / (2 * VOXEL_MM)))


def check_score(path: Path, score: float, *, is_registered: bool) -> None:
    """Refuse a volume that resembles no head in the study's place.

    Raises:
        DataError: with the score and what to do.
    """
    if score >= MIN_SCORE:
        return
    cause = f"{path}: the volume resembles the reference head by {score:.3f}, less than {MIN_SCORE:g}"
    if is_registered:
        raise DataError(f"{cause}, although registered", "leave this scan out; look at it, it may be cut or damaged")
    raise DataError(
        f"{cause}: it lies elsewhere, is turned or is no such scan", "align it (`--register`), or leave this scan out"
    )


def load_reference(cache: Path | None = None) -> Volume:
    """Load the mean of synthetic people of all anatomies and stages, without noise, the same left and right.

    Made on the first call (seconds) and kept.

    Raises:
        FetchError: the archive of the anatomies cannot be obtained.
    """
    name = f"spect-reference-{compute_key(N_PATIENTS, N_CONTROLS, modules=(*SOURCES, __name__))}"
    return load_or_make(name, lambda: _make_reference(cache), cache=cache, is_small=True)["reference"]


def _make_reference(cache: Path | None) -> ArrayDict:
    templates, spec = make_templates(load_anatomies(cache)), CohortSpec()
    people = [sample_patient(spec, i) for i in range(N_PATIENTS * N_ANATOMIES)]
    people += [sample_control(spec, i) for i in range(N_CONTROLS * N_ANATOMIES)]
    total = sum(_make_uptake(replace(p, anatomy=i % N_ANATOMIES), templates) for i, p in enumerate(people))
    mean = blur(np.asarray(total, dtype=np.float32), NOMINAL_FWHM_MM)
    return {"reference": (mean + mean[..., ::-1]) / np.float32(2 * len(people))}


def _make_uptake(patient: Patient, templates: list[Template]) -> Volume:
    template = templates[patient.anatomy]
    return make_uptake(template, solve_uptake(template, compute_ratios(patient), patient.gradient), patient.gradient)
