"""Probability that a claimed superiority is false, from two accuracies and the number of cases alone."""

from dataclasses import dataclass


@dataclass(frozen=True)
class FalseClaim:
    """Posterior probability that the first of two methods is not more accurate than the second.

    Attributes:
        congruence: Share of the cases that both are taken to answer rightly.
        value: Probability at that congruence.
        lo, hi: Smallest and largest probability over all congruences that the two accuracies allow.
    """

    congruence: float
    value: float
    lo: float
    hi: float


def compute_false_claim(first: float, second: float, n: int, congruence: float | None = None) -> FalseClaim:
    """Compute the posterior probability that the first is no more accurate than the second on the same `n` cases.

    The counts of cases that both, only the first, only the second and none answer rightly are multinomial, with a
    uniform prior on their four probabilities. Of these counts the accuracies leave one free, the congruence. Then the
    share of the first among the cases that only one answers rightly has a beta distribution, and the claim is false
    where it is at most one half.

    Args:
        first, second: Accuracies.
        congruence: Share of the cases that both answer rightly; by default as if errors were independent, which
            overstates the probability where the two err on the same cases.

    Raises:
        ValueError: no two methods of these accuracies have that congruence.

    Source: E. Christodoulou et al., "False promises in medical imaging AI? Assessing validity of outperformance
    claims", arXiv 2505.04720 (2025). They estimate the congruence from predictions of other studies.
    """
    least, most = find_congruences(first, second)
    chosen = first * second if congruence is None else congruence
    if not least - 1e-9 <= chosen <= most + 1e-9:
        raise ValueError(f"the share that both answer rightly is between {least:.4g} and {most:.4g}, not {chosen:.4g}")
    found = [_compute(first, second, n, share) for share in (chosen, least, most)]
    return FalseClaim(chosen, found[0], min(found), max(found))


def find_congruences(first: float, second: float) -> tuple[float, float]:
    """Find the smallest and the largest share of cases that two methods of these accuracies can both answer rightly."""
    return max(0.0, first + second - 1), min(first, second)


def _compute(first: float, second: float, n: int, congruence: float) -> float:
    from scipy.special import betainc

    only_first, only_second = (max(0.0, n * (accuracy - congruence)) for accuracy in (first, second))
    return float(betainc(only_first + 1, only_second + 1, 0.5))
