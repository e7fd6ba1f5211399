"""Pure statistics. No input, no output, no clock: numbers in, numbers out."""

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, median

Z95 = NormalDist().inv_cdf(0.975)


def compute_wilson(n_success: float, n: float, z: float = Z95) -> tuple[float, float]:
    """Wilson score interval of a proportion.

    Args:
        n_success: Successes; a mean over seeds may be fractional.
        n: Trials, at least 1; an effective number may be fractional.
        z: Normal quantile; the default gives 95 %.

    Source: E. B. Wilson, JASA 22 (1927) 209-212.
    """
    if n < 1 or not 0 <= n_success <= n:
        raise ValueError(f"need 0 <= n_success <= n and n >= 1, got {n_success} of {n}")
    p = n_success / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    # Rounding must not push the estimate itself out of its interval.
    return max(0.0, min(p, centre - half)), min(1.0, max(p, centre + half))


def compute_clopper_pearson(n_success: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Exact two-sided interval of a proportion: it covers at least `level`, however small n is.

    Args:
        n_success: Successes.
        n: Trials, at least 1.

    Source: C. J. Clopper, E. S. Pearson, Biometrika 26 (1934) 404-413, by quantiles of the beta distribution.
    """
    if n < 1 or not 0 <= n_success <= n:
        raise ValueError(f"need 0 <= n_success <= n and n >= 1, got {n_success} of {n}")
    from scipy.special import betaincinv

    tail = (1 - level) / 2
    lo = float(betaincinv(n_success, n - n_success + 1, tail)) if n_success else 0.0
    hi = float(betaincinv(n_success + 1, n - n_success, 1 - tail)) if n_success < n else 1.0
    return lo, hi


def compute_sd(values: Sequence[float]) -> float | None:
    """Sample standard deviation (n - 1); None for fewer than two values."""
    if len(values) < 2:
        return None
    mean = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (len(values) - 1))


def compute_t_interval(values: Sequence[float], alpha: float) -> tuple[float, float]:
    """Bounds of the mean, each missed with probability `alpha`: mean -/+ t(1 - alpha, n - 1) s / sqrt(n).

    Raises:
        ValueError: fewer than two values; one has no spread, and so bounds nothing.

    Source: Student, Biometrika 6 (1908) 1-25.
    """
    sd = compute_sd(values)
    if sd is None:
        raise ValueError(f"a t-interval needs two values, got {len(values)}")
    from scipy.special import stdtrit

    mean = math.fsum(values) / len(values)
    half = float(stdtrit(len(values) - 1, 1 - alpha)) * sd / math.sqrt(len(values))
    return mean - half, mean + half


def compute_sign_interval(values: Sequence[float], alpha: float) -> tuple[float, float] | None:
    """Bounds of the median from the sign test, each missed with probability `alpha` at most.

    They are the narrowest pair of order statistics, counted alike from both ends, that keeps the level; None where not
    even the extremes do. No distribution is assumed, and a few values may lie anywhere.

    Source: W. R. Thompson, Annals of Mathematical Statistics 7 (1936) 122-128.
    """
    ordered = sorted(values)
    n = len(ordered)
    n_cut, missed = 0, 0.5**n
    while missed <= alpha and n_cut < n / 2:
        n_cut += 1
        missed += math.comb(n, n_cut) * 0.5**n
    return (ordered[n_cut - 1], ordered[n - n_cut]) if n_cut else None


def compute_satterthwaite(variances: Sequence[float], sizes: Sequence[int]) -> float:
    """Degrees of freedom of a sum of independent variances of means; those of the smallest where nothing varies.

    Source: F. E. Satterthwaite, Biometrics Bulletin 2 (1946) 110-114.
    """
    if not any(variances):
        return min(sizes) - 1
    parts = math.fsum(v * v / (n - 1) for v, n in zip(variances, sizes, strict=True))
    return math.fsum(variances) ** 2 / parts


def compute_holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values: rejecting where they are at most alpha errs anywhere in the family with probability alpha.

    Source: S. Holm, Scandinavian Journal of Statistics 6 (1979) 65-70. No independence is assumed.
    """
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted, worst = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        worst = max(worst, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = worst
    return adjusted


MIN_STEP = 1e-12  # of a survival; below it two are the same


@dataclass(frozen=True)
class Survival:
    """Kaplan-Meier estimate of the time to an event under right censoring."""

    times: tuple[float, ...]
    surviving: tuple[float, ...]
    median: float | None


def compute_kaplan_meier(times: Sequence[float], reached: Sequence[bool]) -> Survival:
    """Product-limit estimate of P(not yet reached) after each observed event.

    Args:
        times: Time to the event, or to the end of observation where it was not reached [any unit].
        reached: Whether the event was seen; False is right-censored.

    Returns:
        Event times, the survival just after each, and the median: the first time at which survival is below one half,
        midway to the next event where it stays at one half until then, None where half of the runs never got there.

    Source: E. L. Kaplan, P. Meier, JASA 53 (1958) 457-481. Censored runs count as at risk at their own time. The first
    time at which survival is at most one half would read 1 % too early for 20 runs whose times vary by 20 %.
    """
    ends, hits = sorted(times), Counter(t for t, hit in zip(times, reached, strict=True) if hit)
    events: list[float] = []
    surviving: list[float] = []
    s = 1.0
    for t in sorted(hits):
        at_risk = len(ends) - bisect_left(ends, t)
        s *= 1 - hits[t] / at_risk
        events.append(t)
        surviving.append(s)
    around = [t for t, left in zip(events, surviving, strict=True) if abs(left - 0.5) < MIN_STEP]
    around += [t for t, left in zip(events, surviving, strict=True) if left < 0.5 - MIN_STEP][:1]
    return Survival(tuple(events), tuple(surviving), sum(around) / len(around) if around else None)


def compute_cost_per_success(to_target: float, in_vain: float, share: float) -> float:
    """Expected cost until the first success when failed runs are repeated: t + (1 - p) / p f.

    Args:
        to_target: Mean cost t of a run that succeeds, up to its success [any unit].
        in_vain: Mean cost f of a run that does not.
        share: Probability p of success, above 0.

    Source: N. Hansen et al., "Real-parameter black-box optimization benchmarking 2010: experimental setup", INRIA
    RR-7215, section 3: expected running time.
    """
    return to_target + (1 - share) / share * in_vain


@dataclass(frozen=True)
class ProcessSummary:
    """Median over processes of the process medians, and how far the processes disagree."""

    value: float
    lo: float
    hi: float
    n: int

    @property
    def is_mixed(self) -> bool:
        """Test if the processes fell into different regimes (MIXED_RATIO), so that a single number would mislead."""
        return self.hi > MIXED_RATIO * self.lo


# Max over min of the process medians above which a row is called mixed; measured on shared virtual machines,
# where most processes agree within 2 % and one in seven runs 1.6 x slow throughout (METHOD.md).
MIXED_RATIO = 1.15


def compute_process_summary(rounds: Sequence[Sequence[float]]) -> ProcessSummary:
    """Summarise rounds by process; the process is the replicate, never the round.

    Args:
        rounds: For each process, the mean duration of a call in each round [s].
    """
    medians = [median(r) for r in rounds]
    return ProcessSummary(median(medians), min(medians), max(medians), len(medians))


def compute_front(costs: Sequence[float], gains: Sequence[float]) -> list[bool]:
    """Tell which points are Pareto-optimal: no other costs no more and gains no less, with one of the two strict."""
    points = list(zip(costs, gains, strict=True))
    return [not any((c <= cost and g >= gain) and (c < cost or g > gain) for c, g in points) for cost, gain in points]


def compute_welch_interval(a: Sequence[float], b: Sequence[float], alpha: float) -> tuple[float, float, float]:
    """Mean of `a` less mean of `b`, with bounds each missed with probability `alpha`; unpaired, unequal variances.

    Raises:
        ValueError: fewer than two values on a side; one has no spread.

    Source: B. L. Welch, Biometrika 34 (1947) 28-35; degrees of freedom after F. E. Satterthwaite.
    """
    sd_a, sd_b = compute_sd(a), compute_sd(b)
    if sd_a is None or sd_b is None:
        raise ValueError(f"Welch's interval needs two values on each side, got {len(a)} and {len(b)}")
    difference = math.fsum(a) / len(a) - math.fsum(b) / len(b)
    part_a, part_b = sd_a**2 / len(a), sd_b**2 / len(b)
    if part_a + part_b == 0:
        return difference, difference, difference
    from scipy.special import stdtrit

    freedom = (part_a + part_b) ** 2 / (part_a**2 / (len(a) - 1) + part_b**2 / (len(b) - 1))
    half = float(stdtrit(freedom, 1 - alpha)) * math.sqrt(part_a + part_b)
    return difference, difference - half, difference + half
