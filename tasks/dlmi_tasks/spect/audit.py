"""Audit of leakage from training to test: the same image twice, nearly the same image, or the same patient.

The control arm measures the effect of a leak. It cuts several slices from each patient, as slice-wise studies do, and
judges one simple learner twice: once with slices dealt out at random, once with patients kept whole.
"""

import hashlib
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from dlmi_tasks.spect.data import Scans, SpectDataset
from dlmi_tasks.spect.learners import compute_accuracy, fit_nearest

# Correlation of two images above which they count as one: two visits of one patient stay well below.
NEAR = 0.999
N_FOLDS = 5
N_CONTROL_PATIENTS = 201  # as many as the study whose slices the control arm imitates
N_COMPONENTS = 30


def audit_leakage(data: SpectDataset) -> dict[str, object]:
    """All findings as plain data; `is_clean` is false where splits share an image or a subject."""
    pairs = list(combinations(data.splits, 2))
    exact = {f"{a}/{b}": count_exact(data.splits[a], data.splits[b]) for a, b in pairs}
    near = {f"{a}/{b}": find_near(data.splits[a].images, data.splits[b].images) for a, b in pairs}
    shared = {f"{a}/{b}": _count_shared(data.splits[a], data.splits[b]) for a, b in pairs}
    return {
        "n_subjects_shared": shared,
        "n_exact_duplicates": exact,
        "n_near_duplicates": {pair: len(found) for pair, (found, _) in near.items()},
        "closest_correlation": {pair: closest for pair, (_, closest) in near.items()},
        "near_correlation": NEAR,
        "is_clean": not any([*exact.values(), *shared.values(), *(found for found, _ in near.values())]),
        "control": measure_inflation(data),
    }


def _count_shared(a: Scans, b: Scans) -> int:
    return len(np.intersect1d(a.subjects, b.subjects))


def count_exact(a: Scans, b: Scans) -> int:
    """Images of `b` that are, byte for byte, also in `a`."""
    known = {_hash(image) for image in a.images}
    return sum(_hash(image) in known for image in b.images)


def _hash(image: NDArray[np.float32]) -> bytes:
    return hashlib.sha256(np.ascontiguousarray(image).tobytes()).digest()


def find_near(a: NDArray[np.float32], b: NDArray[np.float32]) -> tuple[list[tuple[int, int]], float]:
    """Pairs (position in a, position in b) of images (n, ..) that correlate above NEAR, and the highest correlation."""
    correlation = _standardise(a) @ _standardise(b).T
    pairs = [(int(i), int(j)) for i, j in np.argwhere(correlation > NEAR)]
    return pairs, float(correlation.max())


def _standardise(images: NDArray[np.float32]) -> NDArray[np.float64]:
    flat = images.reshape(len(images), -1).astype(np.float64)
    flat -= flat.mean(1, keepdims=True)
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    return np.asarray(flat / np.where(length > 0, length, 1.0))


def measure_inflation(data: SpectDataset) -> dict[str, object]:
    """Accuracy of 1-NN with slices split at random, less its accuracy with patients kept whole."""
    features, labels, subjects = _make_slices(data)
    rng = np.random.default_rng(0)
    by_slice = rng.permutation(len(labels)) % N_FOLDS
    people, person = np.unique(subjects, return_inverse=True)
    by_patient = (rng.permutation(len(people)) % N_FOLDS)[person]
    slice_level = _cross_validate(features, labels, by_slice)
    patient_level = _cross_validate(features, labels, by_patient)
    return {
        "learner": f"1-NN on {N_COMPONENTS} principal components",
        "n_patients": len(people),
        "n_images": len(labels),
        "n_folds": N_FOLDS,
        "accuracy_by_slice": slice_level,
        "accuracy_by_patient": patient_level,
        "inflation": slice_level - patient_level,
    }


def _make_slices(data: SpectDataset) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.str_]]:
    """Every slice of the first patients as an image of its own: (n, pixels), labels, subjects."""
    scans = list(data.splits.values())
    subjects = np.concatenate([s.subjects for s in scans])
    chosen = np.isin(subjects, list(dict.fromkeys(subjects.tolist()))[:N_CONTROL_PATIENTS])
    slices = np.concatenate([s.extracts.slices / s.extracts.occipital[:, None, None, None] - 1 for s in scans])[chosen]
    labels = np.concatenate([s.labels for s in scans])[chosen]
    n_slices = slices.shape[1]
    flat = slices.reshape(len(slices) * n_slices, -1).astype(np.float64)
    return flat, np.repeat(labels, n_slices), np.repeat(subjects[chosen], n_slices)


def _cross_validate(features: NDArray[np.float64], labels: NDArray[np.int64], folds: NDArray[np.intp]) -> float:
    """Mean test accuracy over the folds; the components come from the training part alone."""
    accuracies = []
    for fold in range(N_FOLDS):
        is_test = folds == fold
        center = features[~is_test].mean(0)
        axes = _find_components(features[~is_test] - center)
        train, test = ((features[part] - center) @ axes for part in (~is_test, is_test))
        accuracies.append(compute_accuracy(fit_nearest(train, labels[~is_test]), test, labels[is_test]))
    return float(np.mean(accuracies))


def _find_components(centered: NDArray[np.float64]) -> NDArray[np.float64]:
    """Directions of most variance, (pixels, components), from the smaller of the two Gram matrices."""
    if len(centered) < centered.shape[1]:
        values, vectors = np.linalg.eigh(centered @ centered.T)
        top = vectors[:, -N_COMPONENTS:] / np.sqrt(np.maximum(values[-N_COMPONENTS:], 1e-12))
        return np.asarray(centered.T @ top)
    return np.asarray(np.linalg.eigh(centered.T @ centered)[1][:, -N_COMPONENTS:])
