"""Camera model: uptake for the requested ratios, then blur, haze, noise, post-filter and scaling to uint16.

The order follows the physics: resolution and scatter act on the uptake, counts are Poisson, the post-filter acts on
what was counted.
"""

import numpy as np
from numpy.typing import NDArray

from dlmi_tasks.spect.anatomy.grid import SHAPE, VOXEL_MM, Volume, compute_sigma, make_positions
from dlmi_tasks.spect.cohort.cohort import Patient, Site, compute_ratios
from dlmi_tasks.spect.cohort.optics import blur
from dlmi_tasks.spect.cohort.template import Template, make_uptake, solve_uptake

Counts = NDArray[np.uint16]  # (slice, row, column)

TURN_SD_DEG, STRETCH_SD, SHIFT_SD_MM = 1.5, 0.02, 1.2  # what spatial normalisation leaves
PSF_SD, CUPPING_SD, COUNTS_LOG_SD = 0.03, 0.015, 0.2  # from scan to scan at one site
SCALE, SCALE_LOG_SD = 900.0, 0.35  # dose, time and camera: the unit of a scan is arbitrary
PIVOT = np.array([44.0, 45.0, 45.0])  # voxel about which a head turns
FILTER_REACH = 8  # slices that the widest post-filter (8 mm) reaches


def image_patient(
    patient: Patient, templates: list[Template], *, visit: int = 0, slices: slice = slice(0, SHAPE[0])
) -> Counts:
    """Scan a patient.

    Args:
        slices: Part of the volume to finish. Noise has a stream for each slice, so a part is equal, bit for bit, to
            the same part of the whole.

    Returns:
        (slice, row, column) in the scan's arbitrary unit.
    """
    template = templates[patient.anatomy]
    uptake = solve_uptake(template, compute_ratios(patient, visit), patient.gradient)
    rng = patient.make_rng("camera", visit)
    volume = misregister(make_uptake(template, uptake, patient.gradient), rng)
    site = patient.spec.sites[patient.site]
    mean = blur(volume, site.psf_mm * (1 + rng.normal(0, PSF_SD)), site.haze)
    cupping = site.cupping + rng.normal(0, CUPPING_SD)
    counts = site.counts * float(np.exp(rng.normal(0, COUNTS_LOG_SD)))
    scale = SCALE * float(np.exp(rng.normal(0, SCALE_LOG_SD)))
    reach = slice(max(slices.start - FILTER_REACH, 0), min(slices.stop + FILTER_REACH, SHAPE[0]))
    noisy = draw_counts(mean[reach] * _make_cupping(cupping), counts, patient, visit, reach.start)
    kept = _filter(noisy, site)[slices.start - reach.start :][: slices.stop - slices.start]
    return np.asarray(np.clip(np.rint(kept * scale), 0, np.iinfo(np.uint16).max), dtype=np.uint16)


def misregister(volume: Volume, rng: np.random.Generator) -> Volume:
    """Turn, stretch and shift the head by what spatial normalisation leaves."""
    from scipy.ndimage import affine_transform

    matrix = _make_turn(np.deg2rad(rng.normal(0, TURN_SD_DEG, 3))) / (1 + rng.normal(0, STRETCH_SD, 3))
    offset = PIVOT - matrix @ PIVOT + rng.normal(0, SHIFT_SD_MM / VOXEL_MM, 3)
    return np.asarray(affine_transform(volume, matrix, offset, order=1), dtype=np.float32)


def _make_turn(angles: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rotation about the slice, row and column axes in turn, (3, 3)."""
    total = np.eye(3)
    for axis, angle in enumerate(angles):
        turn = np.eye(3)
        a, b = (axis + 1) % 3, (axis + 2) % 3
        turn[a, a] = turn[b, b] = np.cos(angle)
        turn[b, a] = np.sin(angle)
        turn[a, b] = -turn[b, a]
        total = total @ turn
    return total


def _make_cupping(amount: float) -> Volume:
    """Attenuation that is corrected too much or too little: a factor that grows from the centre of the head."""
    x, y, _ = make_positions()
    radius = (x / 75) ** 2 + ((y + 18) / 92) ** 2
    return np.asarray(1 + amount * (radius - 0.3), dtype=np.float32)


def draw_counts(mean: Volume, counts: float, patient: Patient, visit: int, first: int) -> Volume:
    """Poisson counts over `counts`, one stream a slice; `first` is the position of mean[0] in the volume."""
    expected = np.maximum(mean, 0) * np.float32(counts)
    drawn = [patient.make_rng("noise", visit, first + i).poisson(plane) for i, plane in enumerate(expected)]
    return np.asarray(drawn, dtype=np.float32) / np.float32(counts)


def _filter(volume: Volume, site: Site) -> Volume:
    from scipy.ndimage import gaussian_filter

    return np.asarray(gaussian_filter(volume, compute_sigma(site.filter_mm)), dtype=np.float32)
