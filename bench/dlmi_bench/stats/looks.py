"""Looks at growing data: each pays a share of the level, so that many looks err no more often than one.

A look's share is what it adds to the information. The information is 1 over the variance of the estimate, of which
test examples are a part that does not shrink with more seeds. The shares add up to 1 at most, so that the level holds
by Bonferroni's inequality, however the looks depend on each other.
"""

import math
from collections.abc import Sequence
from statistics import NormalDist

LOOKS = (5, 10, 20, 40)  # seeds


def compute_spent(fraction: float) -> float:
    """Share of the level that is spent once this fraction of the information is there.

    Source: K. K. G. Lan, D. L. DeMets, Biometrika 70 (1983) 659-663, their function of Pocock's type.
    """
    return math.log1p((math.e - 1) * min(1.0, max(0.0, fraction)))


def share_level(fractions: Sequence[float]) -> list[float]:
    """Share the level among looks.

    Args:
        fractions: Of the information of the last possible look, at each look so far; estimates, so they may fall.
    """
    shares, spent = [], 0.0
    for fraction in fractions:
        now = max(spent, compute_spent(fraction))
        shares.append(now - spent)
        spent = now
    return shares


def list_looks(n_seeds: int, planned: Sequence[int]) -> list[int]:
    """List the planned looks that so many seeds allow; what there is now where none was planned, or none is reached.

    Seeds between two planned looks wait for the next: a look at them too would be paid by nobody.
    """
    return sorted({n for n in planned if n <= n_seeds}) or [n_seeds]


def predict(p: float, growth: float, level: float) -> float:
    """Predict the probability that a later look brings the one-sided p-value to `level`, as the data now suggest.

    Args:
        p: One-sided p-value now.
        growth: Information then, divided by the information now; at least 1.

    Source: D. J. Spiegelhalter, L. S. Freedman, P. R. Blackburn, Controlled Clinical Trials 7 (1986) 8-17.
    """
    normal = NormalDist()
    if p <= 0 or p >= 1:
        return float(p <= 0)
    if level <= 0:
        return 0.0
    z, needed = -normal.inv_cdf(p), -normal.inv_cdf(level) / math.sqrt(growth)  # 1 - p would round to 1
    spread = math.sqrt(max(0.0, 1 - 1 / growth))
    return float(z >= needed) if spread == 0 else normal.cdf((z - needed) / spread)
