"""Best possible classification: the ideal observer of the true binding ratios, and figures relative to it.

Within a stage u (population.py) is normal with one covariance for all stages, so the rule that no classifier can beat
is linear in u. Its accuracy is the ceiling that is printed beside every accuracy on the synthetic cohort.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from dlmi_tasks.spect.cohort.cohort import Patient
from dlmi_tasks.spect.cohort.population import (
    GRADIENT,
    GRADIENT_SD,
    STAGES,
    compute_covariance,
    compute_means,
    compute_shift,
)
from dlmi_tasks.spect.learners import compute_accuracy, fit_lda
from dlmi_tasks.spect.preprocess import Extracts

CHANCE = 1 / len(STAGES)
N_DRAWS = 300_000  # leaves a standard error below .001
RATIO_FLOOR = 0.05  # a measured ratio can be negative


@cache
def compute_ceiling(preset: str, separation: float = 1.0, *, has_gradient: bool = False) -> float:
    """Accuracy of the ideal observer, three balanced stages, by simulation with a fixed seed.

    It knows the true u of the first visit, freed of what age and sex add; age itself is not used. With
    `has_gradient` it also knows the putamen's gradient, whose mean differs a little by stage: the bound for whoever
    reads the image and not only the four ratios.
    """
    means, covariance = compute_means(preset, separation), compute_covariance(preset)
    if has_gradient:
        means = np.column_stack([means, [GRADIENT[stage] for stage in STAGES]])
        covariance = np.pad(covariance, (0, 1))
        covariance[-1, -1] = GRADIENT_SD**2
    rng = np.random.default_rng(0)
    labels = np.arange(N_DRAWS) % len(STAGES)
    u = means[labels] + rng.standard_normal((N_DRAWS, len(covariance))) @ np.linalg.cholesky(covariance).T
    return float((classify(u, means, covariance) == labels).mean())


def classify(u: NDArray[np.float64], means: NDArray[np.float64], covariance: NDArray[np.float64]) -> NDArray[np.int64]:
    """Most probable class of each row, equal priors: the largest linear discriminant."""
    weights = np.linalg.solve(covariance, means.T)
    return np.asarray((u @ weights - 0.5 * np.einsum("kf,fk->k", means, weights)).argmax(1), dtype=np.int64)


def observe(patients: list[Patient]) -> NDArray[np.int64]:
    """Classify these very patients with the ideal observer of the true ratios; returns class indices, (n,)."""
    spec = patients[0].spec
    means, covariance = compute_means(spec.preset, spec.separation), compute_covariance(spec.preset)
    return classify(make_true_features(patients), means, covariance)


def compute_efficiency(accuracy: float, ceiling: float) -> float | None:
    """Share of what can be learnt: 0 at chance, 1 at the ceiling. None where nothing can be learnt."""
    gap = ceiling - CHANCE
    return (accuracy - CHANCE) / gap if gap > 0.01 else None


def make_true_features(patients: list[Patient]) -> NDArray[np.float64]:
    """u of the first visit without the effects of age and sex, (n, 4)."""
    return np.array([np.array(p.log_ratios) - compute_shift(p.age, p.sex) for p in patients])


def make_measured_features(ratios: NDArray[np.float32]) -> NDArray[np.float64]:
    """Logarithms of measured ratios (n, 4), the worse side of each nucleus first: the side is not known."""
    logs = np.log(np.maximum(ratios.astype(np.float64), RATIO_FLOOR))
    return np.concatenate([np.sort(logs[:, :2], axis=1), np.sort(logs[:, 2:], axis=1)], axis=1)


def measure_lda(
    train: Extracts, train_labels: NDArray[np.int64], test: Extracts, labels: NDArray[np.int64]
) -> float | None:
    """Test accuracy of linear discriminants on measured binding ratios: the four numbers a clinic reads.

    None where there are too few training scans for a covariance.
    """
    features = make_measured_features(train.ratios)
    if len(features) - len(np.unique(train_labels)) < features.shape[1]:
        return None
    predict = fit_lda(features, train_labels)
    return compute_accuracy(predict, make_measured_features(test.ratios), labels)
