"""Calibration of probabilities: error by bins, and slope and intercept of a logistic recalibration."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dlmi_bench.stats.linear import Bounds, Linear, Units

Floats = NDArray[np.float64]

N_BINS = 10
MAX_STEPS, SMALL_STEP = 50, 1e-10
MAX_SLOPE = 1e3  # beyond it the scores separate the classes, and the likelihood has no largest value


@dataclass(frozen=True)
class CalibrationError:
    """Mean over bins of |share that is right - mean probability|, without the part that chance adds.

    Attributes:
        plain: The same with that part.
        chance: What perfectly calibrated probabilities would be expected to show.
        freedom: Degrees of freedom of `error`, the standard error.
    """

    plain: float
    chance: float
    error: float
    freedom: float

    @property
    def value(self) -> float:
        return max(0.0, self.plain - self.chance)

    def compute_interval(self, alpha: float = 0.05) -> Bounds:
        """Bounds wide enough for any miscalibration: chance adds at least 0 and at most `chance`."""
        from scipy.special import stdtrit

        half = float(stdtrit(self.freedom, 1 - alpha / 2)) * self.error
        return max(0.0, self.value - half), min(1.0, self.plain + half)


def cut_bins(probabilities: Floats, n_bins: int = N_BINS) -> NDArray[np.int64]:
    """Bin of each example, (n,): bins of equal numbers, equal probabilities in one bin."""
    edges = np.quantile(probabilities, np.arange(1, n_bins) / n_bins)
    return np.searchsorted(np.unique(edges), probabilities, "left").astype(np.int64)


def estimate_calibration_error(probabilities: Floats, is_right: NDArray[np.bool_], units: Units) -> CalibrationError:
    """Estimate the calibration error of probabilities, (n,), that something is right, (n,).

    Source: J. Broecker, Climate Dynamics 39 (2012) 655-667 (what chance adds to bins); M. P. Naeini et al., AAAI 29
    (2015) 2901-2907 (expected calibration error).
    """
    n, rest = len(probabilities), is_right - probabilities
    bins = cut_bins(probabilities)
    sums = np.bincount(bins, rest)
    by_group = np.unique(bins * units.n_units + units.groups, return_inverse=True)
    spread = np.bincount(by_group[1], rest)
    own = np.bincount(by_group[0] // units.n_units, spread**2, len(sums))
    expected = np.bincount(bins, probabilities * (1 - probabilities))
    variance = np.maximum(own, expected) if units.n_units < n else expected
    chance = math.sqrt(2 / math.pi) * float(np.sqrt(variance).sum()) / n
    signed = units.estimate_mean(np.sign(sums)[bins] * rest)
    floor = float(expected.sum()) / n**2
    error = math.sqrt(max(signed.variance, floor))
    return CalibrationError(float(np.abs(sums).sum()) / n, chance, error, signed.freedom)


def estimate_intercept(logits: Floats, is_positive: NDArray[np.bool_], units: Units) -> Linear | None:
    """Estimate what to add to all logits, (n,), so that probabilities are right on average; None if nothing is enough.

    Source: D. R. Cox, Biometrika 45 (1958) 562-565; B. Van Calster et al., BMC Medicine 17 (2019) 230.
    """
    column = np.ones((1, len(logits)))
    found = _fit(column, logits, is_positive)
    return None if found is None else _linearise(found, 0, column, logits, is_positive, units).cautious


def estimate_slope(logits: Floats, is_positive: NDArray[np.bool_], units: Units) -> Linear | None:
    """Estimate the factor of the logits, (n,), in a logistic regression: below 1 where they are too extreme.

    None where the logits separate the classes, or are all the same. Source: as above.
    """
    columns = np.stack([np.ones(len(logits)), logits])
    offset = np.zeros(len(logits))
    found = _fit(columns, offset, is_positive)
    return None if found is None else _linearise(found, 1, columns, offset, is_positive, units)


def _fit(columns: Floats, offset: Floats, is_positive: NDArray[np.bool_]) -> Floats | None:
    """Coefficients of a logistic regression by Newton's method; None where there is no largest likelihood."""
    from scipy.special import expit

    found = np.zeros(len(columns))
    for _ in range(MAX_STEPS):
        chances = expit(found @ columns + offset)
        weights = chances * (1 - chances)
        bend = (columns * weights) @ columns.T
        if not np.isfinite(bend).all() or np.linalg.cond(bend) > 1 / np.finfo(float).eps:
            return None
        step = np.linalg.solve(bend, columns @ (is_positive - chances))
        step *= min(1.0, 2 / max(1e-300, float(np.abs(step @ columns).max())))  # a longer one may never come back
        found += step
        if np.abs(found).max() > MAX_SLOPE:
            return None
        if np.abs(step).max() < SMALL_STEP:
            return found
    return None


def _linearise(
    found: Floats, index: int, columns: Floats, offset: Floats, is_positive: NDArray[np.bool_], units: Units
) -> Linear:
    """Variance of one coefficient from the residuals, each divided by what the fit leaves of it (leverage)."""
    from scipy.special import expit

    chances = expit(found @ columns + offset)
    weights = chances * (1 - chances)
    inverse = np.linalg.inv((columns * weights) @ columns.T)
    leverage = weights * np.einsum("in,ij,jn->n", columns, inverse, columns)
    parts = (inverse @ columns)[index] * (is_positive - chances) / np.maximum(1 - leverage, 0.1)
    return units.linearise(float(found[index]), parts)


def estimate_shared_slope(logits: Floats, units: Units) -> Linear | None:
    """Estimate the factor of all logits, (n, class), that makes them most likely, without intercepts; None if any does.

    Source: C. Guo et al., ICML 2017, PMLR 70 1321-1330: its inverse is their temperature.
    """
    from scipy.special import softmax

    right = np.take_along_axis(logits, units.labels[:, None], 1)[:, 0]
    found = 1.0
    for _ in range(MAX_STEPS):
        chances = softmax(found * logits, axis=1)
        means = (chances * logits).sum(1)
        bend = float((chances * logits**2).sum() - (means**2).sum())
        if not bend > 0 or abs(found) > MAX_SLOPE:
            return None
        step = float((right - means).sum()) / bend
        found += float(np.clip(step, -abs(found) / 2 - SMALL_STEP, abs(found) + SMALL_STEP))
        if abs(step) < SMALL_STEP * max(1.0, abs(found)):
            return units.linearise(found, (right - means) / bend)
    return None
