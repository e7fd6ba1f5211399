"""Test for a candidate that converges suspiciously fast, with runs that never reached the target (censored)."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True)
class Effort:
    """Epochs or samples of one run to its target, or to its end where the target was not reached (right-censored)."""

    amount: float
    is_reached: bool


def compute_speedup_p(baseline: Sequence[Effort], candidate: Sequence[Effort], speedup: float) -> float:
    """Compute the one-sided p-value of the hypothesis that the candidate is not more than `speedup` times faster.

    Gehan's generalised Wilcoxon test: pairs of runs are ordered only where censoring leaves the order known. The
    distribution over all assignments of runs to sides is exact, ties included. Between 5 and 5 runs it can reach 1/252.

    Source: E. A. Gehan, Biometrika 52 (1965) 203-223.
    """
    slowed = [Effort(run.amount * speedup, run.is_reached) for run in candidate]
    runs = [*slowed, *baseline]
    scores = [sum(_order(run, other) for other in runs) for run in runs]
    observed = sum(scores[: len(slowed)])
    sums = _count_sums(scores, len(slowed))
    return float(Fraction(sum(n for s, n in sums.items() if s <= observed), sum(sums.values())))


def _order(run: Effort, other: Effort) -> int:
    """Order of two runs: 1 where `run` certainly took more, -1 where certainly less, 0 where censoring hides it."""
    if other.is_reached and (run.amount > other.amount or (run.amount == other.amount and not run.is_reached)):
        return 1
    if run.is_reached and (run.amount < other.amount or (run.amount == other.amount and not other.is_reached)):
        return -1
    return 0


def _count_sums(scores: Sequence[int], size: int) -> Counter[int]:
    """Number of subsets of `size` scores, by their sum."""
    by_size: list[Counter[int]] = [Counter({0: 1}), *(Counter[int]() for _ in range(size))]
    for score in scores:
        for k in range(size, 0, -1):
            for total, n in list(by_size[k - 1].items()):
                by_size[k][total + score] += n
    return by_size[size]
