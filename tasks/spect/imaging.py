"""What a camera makes of a brain: uptake that reads as asked, blurred, hazed, noisy, filtered, scaled to uint16.

The order follows the physics: resolution and scatter act on the uptake, counts are Poisson, the post-filter acts on
what was counted.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.spect.anatomy import REGIONS, Anatomies
from tasks.spect.cohort import Patient, Site, compute_ratios
from tasks.spect.grid import SHAPE, VOXEL_MM, Volume, compute_sigma, make_positions

Counts = NDArray[np.uint16]  # (slice, row, column)

# Uptake beside the striatum; grey matter is 1.
WHITE, VENTRICLE, SCALP, THALAMUS = 0.82, 0.25, 0.25, 0.35
ACCUMBENS_OF_CAUDATE, PALLIDUM_OF_PUTAMEN = 0.9, 0.35
MIN_UPTAKE = 0.02
NOMINAL_FWHM_MM = 11.0  # resolution and post-filter together, at which the transfer matrix is solved

HAZE_FWHM_MM = 45.0
TURN_SD_DEG, STRETCH_SD, SHIFT_SD_MM = 1.5, 0.02, 1.2  # what spatial normalisation leaves
PSF_SD, CUPPING_SD, COUNTS_LOG_SD = 0.03, 0.015, 0.2  # from scan to scan at one site
SCALE, SCALE_LOG_SD = 900.0, 0.35  # dose, time and camera: the unit of a scan is arbitrary
PIVOT = np.array([44.0, 45.0, 45.0])  # voxel about which a head turns
# Room for the blur at the grid's edges; products of small primes, for the FFT.
PADDED = (108, 128, 108)
FILTER_REACH = 8  # slices that the widest post-filter (8 mm) reaches


@dataclass(frozen=True)
class Template:
    """An anatomy ready for imaging.

    Attributes:
        background: Uptake without specific binding, on the whole grid.
        box: Part of the grid that holds every striatal map.
        maps: Striatal coverage in the box by REGIONS, (4, ..).
        slopes: The same weighted by the position from back (-1) to front (1); zero for the caudates.
        base: Ratios read where uptake is 0, (4,).
        transfer: Ratio read in region i for unit uptake in region j, (4, 4), without and with unit gradient.
    """

    background: Volume
    box: tuple[slice, slice, slice]
    maps: Volume
    slopes: Volume
    base: NDArray[np.float64]
    transfer: NDArray[np.float64]
    slope_transfer: NDArray[np.float64]


def make_templates(anatomies: Anatomies) -> list[Template]:
    return [_make_template(anatomies, i) for i in range(len(anatomies.names))]


def _make_template(anatomies: Anatomies, index: int) -> Template:
    background = _make_background(anatomies, index)
    maps, slopes = _make_striatum({name: m.astype(np.float32) for name, m in anatomies.structures[index].items()})
    blurred = blur(background, NOMINAL_FWHM_MM)
    reference = blurred[anatomies.occipital].mean(dtype=np.float64)

    def read(volume: Volume) -> NDArray[np.float64]:
        return np.array([volume[region].mean(dtype=np.float64) for region in anatomies.regions]) / reference

    columns = [read(blur(m, NOMINAL_FWHM_MM)) for m in (*maps, *slopes)]
    box = _find_box(maps)
    return Template(
        background=background,
        box=box,
        maps=maps[:, *box].copy(),
        slopes=slopes[:, *box].copy(),
        base=read(blurred) - 1,
        transfer=np.stack(columns[:4], axis=1),
        slope_transfer=np.stack(columns[4:], axis=1),
    )


def _make_background(anatomies: Anatomies, index: int) -> Volume:
    structures, head = anatomies.structures[index], anatomies.head
    tissue = head["brain"] * (WHITE + (1 - WHITE) * structures["grey"].astype(np.float32))
    tissue = tissue * (1 - (1 - VENTRICLE) * head["ventricles"]) + SCALP * head["scalp"]
    # The thalamus takes some of the tracer up through its serotonin transporters.
    total = tissue + THALAMUS * (structures["thalamus_L"] + structures["thalamus_R"])
    return np.asarray(total, dtype=np.float32)


def _make_striatum(structures: dict[str, Volume]) -> tuple[Volume, Volume]:
    maps, slopes = np.zeros((2, len(REGIONS), *SHAPE), dtype=np.float32)
    for i, name in enumerate(REGIONS):
        side = name[-1]
        if name.startswith("caudate"):
            maps[i] = structures[name] + ACCUMBENS_OF_CAUDATE * structures[f"accumbens_{side}"]
        else:
            maps[i] = structures[name] + PALLIDUM_OF_PUTAMEN * structures[f"pallidum_{side}"]
            slopes[i] = structures[name] * _compute_front(structures[name])
    return maps, slopes


def _compute_front(putamen: Volume) -> Volume:
    """Position in a putamen, -1 at its back to 1 at its front, (1, rows, 1)."""
    y = make_positions()[1]
    weight = putamen.sum(dtype=np.float64)
    mean = (putamen * y).sum(dtype=np.float64) / weight
    sd = np.sqrt((putamen * (y - mean) ** 2).sum(dtype=np.float64) / weight)
    return np.asarray(np.clip((y - mean) / (1.7 * sd), -1, 1), dtype=np.float32)


def _find_box(maps: Volume) -> tuple[slice, slice, slice]:
    used = maps.any(axis=0)
    where = [np.flatnonzero(used.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    a, b, c = (slice(int(w[0]), int(w[-1]) + 1) for w in where)
    return a, b, c


def blur(volume: Volume, fwhm_mm: float, haze: float = 0.0) -> Volume:
    """Convolve with the camera's response: a Gaussian, and a share `haze` of a wide one for residual scatter."""
    from scipy import fft

    spectrum = fft.rfftn(volume, PADDED)
    response = (1 - haze) * _make_transfer(fwhm_mm)
    if haze:
        response += haze * _make_transfer(HAZE_FWHM_MM)
    spectrum *= response
    blurred: Volume = fft.irfftn(spectrum, PADDED, overwrite_x=True)[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    return blurred


def _make_transfer(fwhm_mm: float) -> Volume:
    """Fourier transform of a Gaussian on the padded grid, real half."""
    sigma = compute_sigma(fwhm_mm)
    frequencies = (np.fft.fftfreq(PADDED[0]), np.fft.fftfreq(PADDED[1]), np.fft.rfftfreq(PADDED[2]))
    a, b, c = (np.exp(-2 * (np.pi * sigma * f) ** 2).astype(np.float32) for f in frequencies)
    transfer: Volume = a[:, None, None] * b[:, None] * c
    return transfer


def solve_uptake(template: Template, ratios: NDArray[np.float64], gradient: float) -> NDArray[np.float64]:
    """Uptake in the four regions that reads as `ratios` at the nominal resolution; never below MIN_UPTAKE.

    Blur mixes the regions with each other and with what lies around, so uptake and reading differ twofold.
    """
    transfer = template.transfer + gradient * template.slope_transfer
    return np.maximum(np.linalg.solve(transfer, ratios - template.base), MIN_UPTAKE)


def make_uptake(template: Template, uptake: NDArray[np.float64], gradient: float) -> Volume:
    """Uptake of the whole head; white and grey matter are about 1."""
    volume = template.background.copy()
    weights = uptake.astype(np.float32)
    volume[template.box] += np.tensordot(weights, template.maps, 1)
    volume[template.box] += np.tensordot(np.float32(gradient) * weights, template.slopes, 1)
    return volume


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
    noisy = _draw_counts(mean[reach] * _make_cupping(cupping), counts, patient, visit, reach.start)
    kept = _filter(noisy, site)[slices.start - reach.start :][: slices.stop - slices.start]
    return np.clip(np.rint(kept * scale), 0, np.iinfo(np.uint16).max).astype(np.uint16)


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


def _draw_counts(mean: Volume, counts: float, patient: Patient, visit: int, first: int) -> Volume:
    """Poisson counts over `counts`, one stream a slice; `first` is the position of mean[0] in the volume."""
    expected = np.maximum(mean, 0) * np.float32(counts)
    drawn = [patient.make_rng("noise", visit, first + i).poisson(plane) for i, plane in enumerate(expected)]
    return np.asarray(drawn, dtype=np.float32) / np.float32(counts)


def _filter(volume: Volume, site: Site) -> Volume:
    from scipy.ndimage import gaussian_filter

    return np.asarray(gaussian_filter(volume, compute_sigma(site.filter_mm)), dtype=np.float32)
