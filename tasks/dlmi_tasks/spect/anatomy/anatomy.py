"""Positions of all structures: coverage maps of seven anatomies, the head around them, and the measured regions.

Coverage is the share of a voxel that a structure fills, 0-1. All maps lie on the PPMI grid.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dlmi_tasks.files.archives import Progress
from dlmi_tasks.files.cache import ArrayDict, compute_key, load_or_make
from dlmi_tasks.spect.anatomy.atlas import GREY, OCCIPITAL, STRUCTURES, Labels, compute_coverage, load_atlas
from dlmi_tasks.spect.anatomy.grid import Mask, make_positions

HEMISPHERES = "LR"
# Regions of a measured binding ratio, in this order everywhere.
REGIONS = ("caudate_L", "caudate_R", "putamen_L", "putamen_R")

SOURCES = (
    "dlmi_tasks.spect.anatomy.grid",
    "dlmi_tasks.spect.anatomy.atlas",
    "dlmi_tasks.spect.anatomy.anatomy",
)  # code that decides what is cached

Coverage = NDArray[np.float16]  # 3 digits of a share are plenty, and seven anatomies have 85 maps
Maps = dict[str, Coverage]


@dataclass(frozen=True)
class Regions:
    """Regions measured in every scan: the occipital reference, which binds nothing, and the nuclei by REGIONS."""

    occipital: Mask
    striatal: tuple[Mask, ...]


@dataclass(frozen=True)
class Anatomies:
    """Maps of each anatomy by structure, the head they share, and the measured regions.

    Attributes:
        names: MNI, then the donors.
        structures: One dict an anatomy: `grey` and `caudate_L` .. `thalamus_R`.
        head: `brain`, `scalp` and `ventricles`.
    """

    names: tuple[str, ...]
    structures: tuple[Maps, ...]
    head: Maps
    regions: Regions


def load_anatomies(cache: Path | None = None, on_progress: Progress | None = None) -> Anatomies:
    """The maps, from the cache where a verified copy is, else built from the archive (seconds) and kept.

    Raises:
        FetchError: the archive cannot be obtained, or is not the pinned one.
    """
    name = f"spect-anatomy-{compute_key(modules=SOURCES)}"
    return _assemble(
        load_or_make(name, lambda: _build_maps(load_atlas(cache, on_progress)), cache=cache, is_small=True)
    )


def load_regions(cache: Path | None = None, on_progress: Progress | None = None) -> Regions:
    """The measured regions alone: milliseconds where they are cached.

    Raises:
        FetchError: the archive cannot be obtained, or is not the pinned one.
    """

    def make() -> ArrayDict:
        regions = load_anatomies(cache, on_progress).regions
        return {"occipital": regions.occipital, "striatal": np.array(regions.striatal)}

    name = f"spect-regions-{compute_key(modules=SOURCES)}"
    kept = load_or_make(name, make, cache=cache, is_small=True)
    return Regions(kept["occipital"], tuple(kept["striatal"]))


def _build_maps(atlas: list[Labels]) -> ArrayDict:
    """All maps under flat names `<anatomy>/<structure>`."""
    maps: ArrayDict = {f"{brain.name}/{name}": m for brain in atlas for name, m in _build_structures(brain).items()}
    group = {name: maps[f"{atlas[0].name}/{name}"] for name in _build_names()}
    maps |= {f"head/{name}": m for name, m in _build_head(group).items()}
    maps["head/occipital"] = compute_coverage(atlas[0], OCCIPITAL).astype(np.float16)
    return maps


def _build_names() -> list[str]:
    return ["grey", *(f"{name}_{side}" for name in STRUCTURES for side in HEMISPHERES)]


def _build_structures(brain: Labels) -> Maps:
    maps = {"grey": np.clip(compute_coverage(brain, GREY), 0, 1).astype(np.float16)}
    for name, labels in STRUCTURES.items():
        for side, label in zip(HEMISPHERES, labels, strict=True):
            maps[f"{name}_{side}"] = compute_coverage(brain, (label,)).astype(np.float16)
    return maps


def _build_head(group: Maps) -> Maps:
    """Brain, scalp and ventricles. The atlas labels neither white matter nor cerebellum nor ventricles: shapes do."""
    from scipy import ndimage

    x, y, z = make_positions()
    pad = 8
    closed = ndimage.binary_closing(np.pad(group["grey"] > 0.3, pad), iterations=7)
    brain = ndimage.binary_fill_holes(closed)[pad:-pad, pad:-pad, pad:-pad]
    brain |= (x / 48) ** 2 + ((y + 62) / 30) ** 2 + ((z + 38) / 24) ** 2 < 1  # cerebellum and brainstem
    scalp = ndimage.binary_dilation(brain, iterations=7) & ~ndimage.binary_dilation(brain, iterations=3)
    nuclei = sum(group[f"{name}_{side}"] for name in ("caudate", "thalamus") for side in HEMISPHERES)
    ventricles = ((np.abs(x) - 9) / 7) ** 2 + ((y - 2) / 26) ** 2 + ((z - 15) / 9) ** 2 < 1
    shapes = {"brain": brain, "scalp": scalp, "ventricles": ventricles & ~(nuclei > 0.2)}
    smooth = {name: ndimage.gaussian_filter(shape.astype(np.float32), 0.6) for name, shape in shapes.items()}
    return {name: m.astype(np.float16) for name, m in smooth.items()}


def _assemble(maps: ArrayDict) -> Anatomies:
    names = tuple(dict.fromkeys(name.split("/")[0] for name in maps if not name.startswith("head/")))
    structures = tuple({part: maps[f"{name}/{part}"] for part in _build_names()} for name in names)
    head = {part: maps[f"head/{part}"] for part in ("brain", "scalp", "ventricles")}
    striatal = tuple(_choose_region(structures[0], name) for name in REGIONS)
    return Anatomies(names, structures, head, Regions(_choose_occipital(maps["head/occipital"]), striatal))


def _choose_occipital(coverage: Coverage) -> Mask:
    _, y, z = make_positions()
    mask: Mask = (coverage > 0.5) & (z > -10) & (z < 26) & (y < -70)
    return mask


def _choose_region(group: Maps, name: str) -> Mask:
    """The core of a nucleus in the MNI brain: what a reader's template region covers."""
    _, y, z = make_positions()
    core = (y > -6) & (z >= -2) & (z <= 18) if name.startswith("caudate") else (z >= -8) & (z <= 10)
    mask: Mask = (group[name] > 0.5) & core
    return mask
