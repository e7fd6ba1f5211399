"""Figures of an order of examples: area under the ROC curve and under that of precision and recall."""

import math
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Ranked:
    """A figure, and what each example adds to its error, (n,); the parts of a class have the sum 0."""

    value: float
    parts: Floats

    def spread(self) -> Floats:
        """Values of each example, (n,), of which the mean is the figure and the variance that of the figure."""
        return self.value + len(self.parts) * self.parts


def rank_auc(scores: Floats, is_positive: NDArray[np.bool_]) -> Ranked:
    """Area under the ROC curve: how often a positive example has the higher score, a tie counting half.

    Args:
        scores: (n,).
        is_positive: (n,); both classes occur.

    Source: E. R. DeLong et al., Biometrics 44 (1988) 837-845; by ranks, X. Sun, W. Xu, IEEE Signal Processing Letters
    21 (2014) 1389-1393.
    """
    from scipy.stats import rankdata

    n_positive = int(is_positive.sum())
    n_negative = len(scores) - n_positive
    placements = np.empty(len(scores))
    ranks = rankdata(scores)
    placements[is_positive] = (ranks[is_positive] - rankdata(scores[is_positive])) / n_negative
    placements[~is_positive] = 1 - (ranks[~is_positive] - rankdata(scores[~is_positive])) / n_positive
    value = float(placements[is_positive].mean())
    return Ranked(value, (placements - value) / np.where(is_positive, n_positive, n_negative))


def count_worth(value: float, n: float, n_other: float) -> float:
    """Number of independent trials that an area is worth where the scores of both classes are normal.

    A few examples may vary less by chance: an interval of the area takes it for worth no more than this. An area of 1
    counts as half a pair that is the wrong way round.

    Args:
        n, n_other: Examples, or groups of them, in both classes.

    Source: J. A. Hanley, B. J. McNeil, Radiology 143 (1982) 29-36, with the integral of D. B. Owen, Annals of
    Mathematical Statistics 27 (1956) 1075-1090.
    """
    from scipy.special import ndtri, owens_t

    n_pairs = n * n_other
    value = min(max(value, 0.5 / n_pairs), 1 - 0.5 / n_pairs)
    single = value * (1 - value)
    shared = single - 2 * float(
        owens_t(float(ndtri(value)), 1 / math.sqrt(3))
    )  # of two pairs with one example in common
    return single * n_pairs / (single + (n + n_other - 2) * shared)


def rank_hand_till(probabilities: Floats, labels: NDArray[np.int64]) -> Ranked:
    """Mean over the pairs of classes that occur of both areas under their ROC curve, (n, class) scores.

    Source: D. J. Hand, R. J. Till, Machine Learning 45 (2001) 171-186.
    """
    classes = np.unique(labels)
    places = {int(c): np.flatnonzero(labels == c) for c in classes}
    parts, values = np.zeros(len(labels)), []
    pairs = list(combinations(places, 2))
    for first, second in pairs:
        index = np.concatenate([places[first], places[second]])
        is_first = np.arange(len(index)) < len(places[first])
        for column, is_positive in ((first, is_first), (second, ~is_first)):
            found = rank_auc(probabilities[index, column], is_positive)
            values.append(found.value)
            parts[index] += found.parts / (2 * len(pairs))
    return Ranked(float(np.mean(values)), parts)


def rank_precision(scores: Floats, is_positive: NDArray[np.bool_]) -> Ranked:
    """Area under the curve of precision and recall, as a sum of steps (average precision), at this prevalence.

    Each positive example gives the precision at its score, and moves that of all positives with a lower score.
    """
    n, n_positive = len(scores), int(is_positive.sum())
    positive, negative = np.sort(scores[is_positive]), np.sort(scores[~is_positive])
    share = n_positive / n
    recall = 1 - np.searchsorted(positive, positive, "left") / n_positive
    fallout = 1 - np.searchsorted(negative, positive, "left") / len(negative)
    chosen = share * recall + (1 - share) * fallout
    precision = share * recall / chosen
    slope = share * (1 - share) / chosen**2
    value = float(precision.mean())
    parts = np.empty(n)
    for is_own, weights, at in ((is_positive, slope * fallout, recall), (~is_positive, -slope * recall, fallout)):
        sums = np.concatenate([[0.0], np.cumsum(weights)]) / n_positive
        gains = sums[np.searchsorted(positive, scores[is_own], "right")] - float((weights * at).mean())
        parts[is_own] = gains
    own = np.searchsorted(positive, scores[is_positive], "left")
    parts[is_positive] += precision[own] - value
    return Ranked(value, parts / np.where(is_positive, n_positive, n - n_positive))
