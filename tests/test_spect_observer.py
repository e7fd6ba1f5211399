"""The ideal observer, efficiency, and the simple learners."""

import numpy as np
import pytest

from dlmi_tasks.spect.cohort.cohort import CohortSpec, sample_patient
from dlmi_tasks.spect.learners import compute_accuracy, fit_lda, fit_logistic, fit_nearest
from dlmi_tasks.spect.observer import (
    CHANCE,
    classify,
    compute_ceiling,
    compute_efficiency,
    make_measured_features,
    make_true_features,
)


@pytest.mark.parametrize(("preset", "expected"), [("course", 0.810), ("realistic", 0.570)])
def test_ceiling(preset: str, expected: float) -> None:
    """The best possible accuracy on true ratios is .810 (course) and .570 (realistic), within .01."""
    assert compute_ceiling(preset) == pytest.approx(expected, abs=0.01)


def test_ceiling_follows_separation_and_knowledge() -> None:
    """Without separation the ceiling is chance; more separation or knowing the gradient raises it."""
    assert compute_ceiling("course", 0.0) == pytest.approx(1 / 3, abs=0.003)
    assert compute_ceiling("course", 2.0) > compute_ceiling("course") + 0.1
    assert compute_ceiling("course", has_gradient=True) == pytest.approx(0.820, abs=0.004)


def test_ideal_observer_by_hand() -> None:
    """With unit covariance the nearest mean wins; a stretched axis counts less."""
    means = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]])
    points = np.array([[1.9, 0.0], [2.1, 0.0], [1.0, 3.0]])
    assert classify(points, means, np.eye(2)).tolist() == [0, 1, 2]
    contested = np.array([[2.1, 3.0]])
    assert classify(contested, means, np.eye(2)).tolist() == [2]
    assert classify(contested, means, np.diag([1.0, 100.0])).tolist() == [1]


def test_efficiency_by_hand() -> None:
    """Chance is 0, the ceiling is 1, halfway is .5, and nothing to learn is None."""
    assert compute_efficiency(CHANCE, 0.8) == 0
    assert compute_efficiency(0.8, 0.8) == 1
    assert compute_efficiency((CHANCE + 0.8) / 2, 0.8) == pytest.approx(0.5)
    assert compute_efficiency(0.5, 1 / 3) is None


def test_lda_on_true_ratios_is_near_the_ceiling() -> None:
    """Trained on 480 and judged on 2400 patients, linear discriminants reach .807 within .03."""
    patients = [sample_patient(CohortSpec(), i) for i in range(2880)]
    u, labels = make_true_features(patients), np.array([p.stage for p in patients])
    accuracy = compute_accuracy(fit_lda(u[:480], labels[:480]), u[480:], labels[480:])
    assert accuracy == pytest.approx(0.807, abs=0.03)
    assert accuracy < compute_ceiling("course") + 0.02


def test_measured_features_put_the_worse_side_first() -> None:
    """Which side is worse is unknown, so each pair is sorted; a ratio below the floor is lifted to it."""
    features = make_measured_features(np.array([[2.0, 1.0, -0.3, 0.5]], dtype=np.float32))
    np.testing.assert_allclose(np.exp(features), [[1.0, 2.0, 0.05, 0.5]], rtol=1e-6)


def test_learners_separate_what_is_separable() -> None:
    """Three far clouds are told apart without error by every learner, whatever the labels are called."""
    rng = np.random.default_rng(0)
    labels = np.repeat([2, 5, 9], 20)
    features = rng.normal(size=(60, 3)) + 20 * np.eye(3)[np.repeat([0, 1, 2], 20)]
    for fit in (fit_lda, fit_logistic, fit_nearest):
        assert compute_accuracy(fit(features, labels), features, labels) == 1


def test_logistic_ignores_constant_pixels_and_units() -> None:
    """A pixel that never changes is no error, and scaling a feature changes nothing."""
    rng = np.random.default_rng(0)
    features = np.column_stack([rng.normal(size=(60, 2)), np.ones(60)])
    labels = (features[:, 0] + 0.3 * rng.normal(size=60) > 0).astype(np.int64)
    plain = fit_logistic(features, labels)(features)
    scale = np.array([1024.0, 1.0, 1.0])  # a power of two, by which every float is scaled without rounding
    np.testing.assert_array_equal(fit_logistic(features * scale, labels)(features * scale), plain)
    assert (plain == labels).mean() > 0.8
