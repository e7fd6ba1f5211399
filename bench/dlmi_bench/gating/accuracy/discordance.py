"""Compare one set of weights in two programs, by the examples that only one of them classifies correctly."""

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dlmi_bench.gating.accuracy.difference import CONFIDENCE, AccuracyDifference

TOLERANCE = 1e-10  # width at which the search for a bound ends [fraction]


@dataclass(frozen=True)
class Discordance:
    """Numbers of examples: lost by the candidate, gained by it, with another prediction, and in all."""

    n_lost: int
    n_gained: int
    n_changed: int
    n_examples: int


def compute_discordance(
    baseline: NDArray[np.integer], candidate: NDArray[np.integer], labels: NDArray[np.integer]
) -> Discordance:
    """Count the examples on which two predictions differ; all arrays (example,), class indices."""
    was_right, is_right = baseline == labels, candidate == labels
    return Discordance(
        n_lost=int(np.sum(was_right & ~is_right)),
        n_gained=int(np.sum(~was_right & is_right)),
        n_changed=int(np.sum(baseline != candidate)),
        n_examples=len(labels),
    )


def compute_tango_z(n_lost: ArrayLike, n_gained: ArrayLike, n_examples: int, difference: float) -> NDArray[np.float64]:
    """Score statistic of the hypothesis that the true difference of paired proportions is `difference`.

    Standard normal under it; positive where the data lie above. At 0 it is McNemar's statistic. 0 where the hypothesis
    leaves nothing to chance and the data agree.

    Args:
        n_lost: Examples that only the baseline gets right; a number or an array.
        n_gained: Examples that only the candidate gets right, of the same shape.
        n_examples: All examples, concordant ones included.
        difference: Candidate minus baseline [fraction], in (-1, 1).

    Source: T. Tango, Statistics in Medicine 17 (1998) 891-908, equations 9-12.
    """
    lost, gained = np.asarray(n_lost, float), np.asarray(n_gained, float)
    slack = difference * (1 - difference)
    b = (2 * n_examples + lost - gained) * difference - lost - gained
    # Most likely P(lost) under the hypothesis; rounding must not make the root imaginary.
    p_lost = (np.sqrt(np.maximum(b * b + 8 * n_examples * lost * slack, 0)) - b) / (4 * n_examples)
    sd = np.sqrt(np.maximum(n_examples * (2 * p_lost + slack), 0))
    excess = gained - lost - n_examples * difference
    return np.divide(excess, sd, out=np.zeros_like(excess), where=sd > 0)


def compute_tango_difference(counts: Discordance, confidence: float = CONFIDENCE) -> AccuracyDifference:
    """Compute the difference of the accuracies with Tango's score bounds, each of one-sided `confidence`."""
    lost, gained, n = counts.n_lost, counts.n_gained, counts.n_examples
    value = (gained - lost) / n
    return AccuracyDifference(
        value=value,
        lo=-_search_upper(gained, lost, n, confidence),
        hi=_search_upper(lost, gained, n, confidence),
        psi=(lost + gained) / n,
        n_examples=n,
    )


def _search_upper(n_lost: int, n_gained: int, n: int, confidence: float) -> float:
    """Largest difference that the data do not reject, by bisection: the statistic falls as the difference grows."""
    z = NormalDist().inv_cdf(confidence)
    inside, outside = (n_gained - n_lost) / n, 1.0
    while outside - inside > TOLERANCE:
        middle = (inside + outside) / 2
        if compute_tango_z(n_lost, n_gained, n, middle) > -z:
            inside = middle
        else:
            outside = middle
    return inside
