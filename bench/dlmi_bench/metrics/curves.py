"""Curves of answers, which plots draw: calibration by bins, risk and coverage, net benefit."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dlmi_bench.metrics.predictions import Floats
from dlmi_bench.stats.calibration import cut_bins


@dataclass(frozen=True)
class Reliability:
    """By bin: mean probability, share that came true, and number of examples."""

    expected: Floats
    observed: Floats
    n: NDArray[np.int64]


def compute_reliability(probabilities: Floats, is_right: NDArray[np.bool_]) -> Reliability:
    """Compare probabilities, (n,), with what came true, (n,), in bins of equal size."""
    bins = cut_bins(probabilities)
    n = np.bincount(bins)
    kept = n > 0
    expected, observed = (np.bincount(bins, values)[kept] / n[kept] for values in (probabilities, is_right))
    return Reliability(expected, observed, n[kept])


def compute_risk_coverage(certainty: Floats, is_right: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Share of examples that are answered, the most certain first, and the share of wrong ones among them; (n,)."""
    wrong = ~is_right[np.argsort(-certainty, kind="stable")]
    n = np.arange(1, len(wrong) + 1)
    return n / len(wrong), np.cumsum(wrong) / n


def compute_net_benefit(probabilities: Floats, is_positive: NDArray[np.bool_], thresholds: Floats) -> Floats:
    """Share of true positives less that of false ones, weighed by the odds of each threshold below 1.

    Source: A. J. Vickers, E. B. Elkin, Medical Decision Making 26 (2006) 565-574.
    """
    is_called = probabilities >= thresholds[:, None]
    true, false = (is_called & is_positive).mean(1), (is_called & ~is_positive).mean(1)
    return np.asarray(true - false * thresholds / (1 - thresholds))
