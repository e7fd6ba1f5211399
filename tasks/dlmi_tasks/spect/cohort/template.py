"""An anatomy ready for imaging: background, striatal maps, and the uptake that reads as a given binding ratio."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dlmi_tasks.spect.anatomy.anatomy import REGIONS, Anatomies
from dlmi_tasks.spect.anatomy.grid import SHAPE, Volume, find_box, make_positions
from dlmi_tasks.spect.cohort.optics import blur

# Uptake beside the striatum; grey matter is 1.
WHITE, VENTRICLE, SCALP, THALAMUS = 0.82, 0.25, 0.25, 0.35
ACCUMBENS_OF_CAUDATE, PALLIDUM_OF_PUTAMEN = 0.9, 0.35
MIN_UPTAKE = 0.02
NOMINAL_FWHM_MM = 11.0  # resolution and post-filter together, at which the transfer matrix is solved


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
    # The blur is symmetric: the mean of a blurred map over a region is the sum of the map times the blurred region.
    # So five blurs serve all maps of all anatomies.
    masks = (anatomies.regions.occipital, *anatomies.regions.striatal)
    sensors = np.array([blur((mask / mask.sum()).astype(np.float32), NOMINAL_FWHM_MM) for mask in masks])
    return [_make_template(anatomies, i, sensors) for i in range(len(anatomies.names))]


def _make_template(anatomies: Anatomies, index: int, sensors: Volume) -> Template:
    background = _make_background(anatomies, index)
    maps, slopes = _make_striatum({name: m.astype(np.float32) for name, m in anatomies.structures[index].items()})
    reference, *levels = _read(sensors, background[None])[:, 0]
    box = find_box(maps.sum(0) > 0)
    maps, slopes = maps[:, *box].copy(), slopes[:, *box].copy()
    nearby = sensors[1:, *box]
    return Template(
        background=background,
        box=box,
        maps=maps,
        slopes=slopes,
        base=np.array(levels) / reference - 1,
        transfer=_read(nearby, maps) / reference,
        slope_transfer=_read(nearby, slopes) / reference,
    )


def _read(sensors: Volume, maps: Volume) -> NDArray[np.float64]:
    """Compute the reading of region i for map j, (regions, maps)."""
    # Not by BLAS: its sums depend on the number of threads.
    return np.array([[(sensor * m).sum(dtype=np.float64) for m in maps] for sensor in sensors])


def _make_background(anatomies: Anatomies, index: int) -> Volume:
    structures = anatomies.structures[index]
    brain, ventricles, scalp = (anatomies.head[part].astype(np.float32) for part in ("brain", "ventricles", "scalp"))
    tissue = brain * (WHITE + (1 - WHITE) * structures["grey"].astype(np.float32))
    tissue = tissue * (1 - (1 - VENTRICLE) * ventricles) + SCALP * scalp
    # The thalamus takes some of the tracer up through its serotonin transporters.
    thalamus = structures["thalamus_L"].astype(np.float32) + structures["thalamus_R"].astype(np.float32)
    return np.asarray(tissue + THALAMUS * thalamus, dtype=np.float32)


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


def solve_uptake(template: Template, ratios: NDArray[np.float64], gradient: float) -> NDArray[np.float64]:
    """Uptake in the four regions that reads as `ratios` at the nominal resolution; never below MIN_UPTAKE.

    Blur mixes the regions with each other and with what lies around, so uptake and reading differ twofold.
    """
    transfer = template.transfer + gradient * template.slope_transfer
    return np.asarray(np.maximum(np.linalg.solve(transfer, ratios - template.base), MIN_UPTAKE))


def make_uptake(template: Template, uptake: NDArray[np.float64], gradient: float) -> Volume:
    """Uptake of the whole head; white and grey matter are about 1."""
    volume = template.background.copy()
    for amount, coverage, slope in zip(uptake, template.maps, template.slopes, strict=True):
        volume[template.box] += np.float32(amount) * (coverage + np.float32(gradient) * slope)
    return volume
