"""Percentiles of single calls with the bounds their number supports, and outliers, which are counted only. Pure."""

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import quantiles

PERCENTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p99.9": 0.999}
LEVEL = 0.95
FENCES = {"mild": 1.5, "severe": 3.0}  # interquartile ranges beyond the quartiles


@dataclass(frozen=True)
class Percentile:
    """A quantile of a sample and the one-sided upper bound of the true one."""

    value: float
    hi: float


def compute_n_needed(p: float, level: float = LEVEL) -> int:
    """Fewest values of which the largest bounds the `p` quantile: 1 - p^n >= level."""
    return math.ceil(math.log(1 - level) / math.log(p))


def compute_percentile(values: Sequence[float], p: float, level: float = LEVEL) -> Percentile | None:
    """The smallest value that a share `p` of the sample does not exceed, and a bound from order statistics.

    The k-th smallest of n is above the true quantile with probability P(Binomial(n, p) < k), whatever the distribution;
    the first k for which that is at least `level` is taken. None where not even the largest value will do.

    Source: H. A. David, H. N. Nagaraja, Order Statistics (2003), section 7.1. Values are taken as independent.
    """
    n = len(values)
    if n < compute_n_needed(p, level):
        return None
    from scipy.special import bdtr

    ordered = sorted(values)
    first = _find_rank(n, p)
    k = first
    while bdtr(k - 1, n, p) < level:
        k += 1
    return Percentile(ordered[first - 1], ordered[k - 1])


def _find_rank(n: int, p: float) -> int:
    """Find which of n ordered values is the quantile; the product must not round up past a whole number."""
    return math.ceil(round(n * p, 9))


def compute_exceedance(processes: Sequence[Sequence[float]], p: float) -> list[float]:
    """Compute for each process the share of the values of all others that lie above its own `p` quantile.

    Where processes are alike this is 1 - p. Empty where one of them is too short to have the quantile, 1 / (1 - p).
    """
    if len(processes) < 2 or min(map(len, processes)) * (1 - p) < 1 - 1e-9:
        return []
    ordered = [sorted(values) for values in processes]
    n_in_all = sum(map(len, ordered))
    shares = []
    for own in ordered:
        limit = own[_find_rank(len(own), p) - 1]
        n_above = sum(len(values) - bisect_right(values, limit) for values in ordered if values is not own)
        shares.append(n_above / (n_in_all - len(own)))
    return shares


def count_outliers(values: Sequence[float], fence: float) -> int:
    """Number of outliers. They stay in every figure."""
    return sum(find_outliers(values, fence))


def find_outliers(values: Sequence[float], fence: float) -> list[bool]:
    """Tell which values lie farther than `fence` interquartile ranges beyond the quartiles.

    Source: J. W. Tukey, Exploratory Data Analysis (1977), section 2D.
    """
    lower, _, upper = quantiles(values, n=4, method="inclusive")
    reach = fence * (upper - lower)
    return [value < lower - reach or value > upper + reach for value in values]
