"""Difference of two areas under the ROC curve over the same examples."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlmi_bench.metrics.discrimination import make_auc_bounds, rank_all
from dlmi_bench.metrics.predictions import Predictions, make_logits
from dlmi_bench.stats.linear import Bounds, Units
from dlmi_bench.stats.ranking import Ranked

N_HALVINGS = 40
LEAST_P = 1e-12


@dataclass(frozen=True)
class AreaDifference:
    """First area less second, with bounds, and the two-sided p-value of no difference."""

    value: float
    lo: float
    hi: float
    p: float


def compare_areas(
    first: NDArray[Any],
    second: NDArray[Any],
    labels: NDArray[Any],
    *,
    class_names: Sequence[str],
    groups: NDArray[Any] | None = None,
    are_probabilities: bool = False,
    alpha: float = 0.05,
) -> AreaDifference:
    """Compare the areas of two models, one training each; of several classes Hand and Till's.

    Args:
        first, second: Scores of the same examples, (n, class): logits or, with `are_probabilities`, probabilities.
        labels: (n,), classes from 0, at least two of which occur.
        groups: Whose each example is, (n,); None takes all examples for independent.
    """
    known, names = np.asarray(labels, np.int64), tuple(class_names)
    sides = [
        Predictions(make_logits(scores, are_probabilities=are_probabilities), known, names, groups, "", {})
        for scores in (first, second)
    ]
    units = sides[0].split_one(1)[1] if len(names) == 2 else sides[0].units
    a, b = (rank_all(side) for side in sides)
    bound = make_difference_bounds(a, b, units)
    lo, hi = bound(alpha)
    return AreaDifference(a.value - b.value, lo, hi, find_p(bound))


def make_difference_bounds(a: Ranked, b: Ranked, units: Units) -> Callable[[float], Bounds]:
    """Make the function of alpha that gives bounds of a difference, from those of both areas and their correlation.

    DeLong's covariance alone would take two areas of 1 for certainly the same.

    Source: G. Y. Zou, Psychological Methods 12 (2007) 399-413.
    """
    own, its, both = (units.linearise(0.0, parts).variance for parts in (a.parts, b.parts, a.parts - b.parts))
    scale = math.sqrt(own * its)
    correlation = min(1.0, max(-1.0, (own + its - both) / (2 * scale))) if scale > 0 else 0.0
    bounds = [make_auc_bounds(side, units) for side in (a, b)]

    def bound(alpha: float) -> Bounds:
        (low, high), (low_b, high_b) = (find(alpha) or (0.0, 1.0) for find in bounds)
        below = _combine(a.value - low, high_b - b.value, correlation)
        above = _combine(high - a.value, b.value - low_b, correlation)
        return a.value - b.value - below, a.value - b.value + above

    return bound


def _combine(own: float, its: float, correlation: float) -> float:
    return math.sqrt(max(0.0, own**2 + its**2 - 2 * correlation * own * its))


def find_p(bound: Callable[[float], Bounds]) -> float:
    """Largest level at which bounds leave 0 out, by bisection of its logarithm."""
    lo, hi = math.log(LEAST_P), 0.0
    for _ in range(N_HALVINGS):
        middle = (lo + hi) / 2
        below, above = bound(math.exp(middle))
        lo, hi = (lo, middle) if below > 0 or above < 0 else (middle, hi)
    return math.exp(hi)
