"""Figures of probabilities: scores that reward honesty, and calibration."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from dlmi_bench.metrics.discrimination import ONE_CLASS
from dlmi_bench.metrics.predictions import LEAST, Floats, Predictions
from dlmi_bench.records import Figure
from dlmi_bench.stats.calibration import (
    N_BINS,
    estimate_calibration_error,
    estimate_intercept,
    estimate_shared_slope,
    estimate_slope,
)

SEPARATED = "the scores separate the classes, or are all the same"
NO_SPREAD = "without interval: see test_brier and test_ece"


def make_calibration_figures(found: Predictions) -> Iterator[Figure]:
    """Make log loss, Brier score with its parts, calibration error, slope and, of two classes, intercept."""
    losses = compute_log_loss(found)
    loss = found.units.estimate_mean(losses).cautious
    yield found.make("test_log_loss", loss.value, loss.compute_log_interval(), "log-t")
    yield from _make_brier(found)
    certainty, is_right = find_judged(found)
    error = estimate_calibration_error(certainty, is_right, found.units)
    what = "of the positive class" if found.is_binary else "of the decision"
    how = f"probability {what}, {N_BINS} bins of equal size, less what chance adds"
    bounds = error.compute_interval() if found.units.n_units > 1 else None
    yield found.make("test_ece", error.value, bounds, "wide", how=how)
    yield from _make_recalibration(found)


def compute_log_loss(found: Predictions) -> Floats:
    """Log loss of each example, (n,)."""
    own = np.take_along_axis(found.logs, found.labels[:, None], 1)[:, 0]
    return np.asarray(-np.maximum(own, np.log(LEAST)))


def compute_brier(found: Predictions) -> Floats:
    """Squared error of the probabilities of each example, (n,): of the positive class, or summed over several."""
    truth = np.eye(len(found.class_names))[found.labels]
    return ((found.probabilities - truth) ** 2).sum(1) / (2 if found.is_binary else 1)


def find_judged(found: Predictions) -> tuple[Floats, NDArray[np.bool_]]:
    """Probability of the positive class and which examples are of it; of several, that of the decision and if right."""
    if found.is_binary:
        return found.probabilities[:, 1], found.labels == 1
    return found.probabilities.max(1), found.decisions == found.labels


def _make_brier(found: Predictions) -> Iterator[Figure]:
    most = 1 if found.is_binary else 2
    share = found.units.estimate_mean(compute_brier(found) / most).cautious
    bounds = share.compute_share_interval()
    scaled = (most * bounds[0], most * bounds[1]) if bounds else None
    brier = most * share.value
    yield found.make("test_brier", brier, scaled, "Wilson")
    miscalibration, discrimination = decompose_brier(found, brier)
    for name, value in (("miscalibration", miscalibration), ("discrimination", discrimination)):
        figure = found.make(f"test_brier_{name}", value, None, "", how="by isotonic regression")
        yield figure.model_copy(update={"interval": NO_SPREAD})


def decompose_brier(found: Predictions, brier: float) -> tuple[float, float]:
    """Split a Brier score: miscalibration - discrimination + that of the shares of the classes, exactly.

    Source: T. Dimitriadis et al., PNAS 118 (2021) e2016191118.
    """
    from scipy.optimize import isotonic_regression

    calibrated = uncertain = 0.0
    for index in [1] if found.is_binary else found.classes:
        is_own = (found.labels == index).astype(float)
        _, places = np.unique(found.probabilities[:, index], return_inverse=True)
        sizes = np.bincount(places)
        fitted = isotonic_regression(np.bincount(places, is_own) / sizes, weights=sizes.astype(float)).x[places]
        calibrated += float(((fitted - is_own) ** 2).mean())
        uncertain += float(is_own.mean() * (1 - is_own.mean()))
    return brier - calibrated, uncertain - calibrated


def _make_recalibration(found: Predictions) -> Iterator[Figure]:
    if not found.is_binary:
        slope = estimate_shared_slope(found.logs, found.units)
        if slope is None:
            yield found.make_missing("test_calibration_slope", SEPARATED)
        else:
            how = "one factor of all logits"
            yield found.make("test_calibration_slope", slope.value, slope.compute_interval(), "robust t", how=how)
        return
    odds, is_positive = found.get_odds(1), found.labels == 1
    names = (("test_calibration_slope", estimate_slope), ("test_calibration_intercept", estimate_intercept))
    for name, estimate in names:
        if len(found.classes) < 2:
            yield found.make_missing(name, ONE_CLASS)
        elif (fitted := estimate(odds, is_positive, found.units)) is None:
            yield found.make_missing(name, SEPARATED)
        else:
            yield found.make(name, fitted.value, fitted.compute_interval(), "robust t")
