"""Audit of leakage from training to test: the same image twice, nearly the same image, or the same patient.

The control arm measures the effect of a leak. It cuts several slices from each patient, as slice-wise studies do, and
judges one simple learner twice: once with slices dealt out at random, once with patients kept whole.
"""

import numpy as np
from numpy.typing import NDArray

from dlmi_tasks.audit import audit_splits
from dlmi_tasks.spect.data import SpectDataset
from dlmi_tasks.spect.learners import compute_accuracy, fit_nearest

# Names of the audit's findings in the description of this task's data.
COUNTS = {
    "n_subjects_shared": "n_groups_shared",
    "n_exact_duplicates": "n_exact",
    "n_near_duplicates": "n_near",
    "closest_correlation": "closest_correlation",
}
N_FOLDS = 5
N_CONTROL_PATIENTS = 201  # as many as the study whose slices the control arm imitates
N_COMPONENTS = 30


def audit_leakage(data: SpectDataset) -> dict[str, object]:
    """All findings as plain data; `is_clean` is false where splits share an image or a subject."""
    found = audit_splits(data.splits)
    return {
        **{name: {pair: row[key] for pair, row in found["pairs"].items()} for name, key in COUNTS.items()},
        "near_correlation": found["near_correlation"],
        "is_clean": found["is_clean"],
        "control": measure_inflation(data),
    }


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
