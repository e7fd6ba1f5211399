"""Estimates to compare with a threshold: each knows its interval, its one-sided p-values, and what n decides.

The interval and the p-values of an estimate belong together: a two-sided 1 - alpha interval leaves the threshold out
exactly where one of the two p-values falls below alpha / 2.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist, fmean, median
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from dlmi_bench.stats.intervals import compute_satterthwaite, compute_sd, compute_sign_interval, compute_wilson

Table = NDArray[np.float64]  # (seed, example)
SEEDS = "seeds"  # what is sampled, where it is trainings that more can be done of
MAX_N = 1_000_000  # what needs more than this is not decided by more of the same


class Estimate(Protocol):
    """Interface that a claim needs: value, interval, p-values, and the sizes that would decide."""

    @property
    def value(self) -> float: ...

    @property
    def samples_seeds(self) -> bool:
        """Tell whether seeds are sampled, whatever they add: it must not depend on what they showed."""

    def compute_interval(self, alpha: float) -> tuple[float, float]:
        """Two-sided bounds, each missed with probability alpha / 2."""

    def compute_p(self, threshold: float) -> tuple[float, float]:
        """One-sided p-values of "at most `threshold`" and of "at least `threshold`": a small first one says above."""

    def find_needed(self, threshold: float, alpha: float) -> dict[str, int]:
        """Smallest n by what is sampled that brings the smaller p-value to `alpha`, if the estimate stays."""

    def compute_fraction(self, n_seeds: int) -> float:
        """Information so far as a fraction of that of `n_seeds`; 1 where seeds are not what is sampled."""


@dataclass(frozen=True)
class Exact:
    """A count: no sampling, so no doubt."""

    value: float
    samples_seeds: ClassVar[bool] = False

    def compute_interval(self, alpha: float) -> tuple[float, float]:
        return self.value, self.value

    def compute_p(self, threshold: float) -> tuple[float, float]:
        return (0.0, 1.0) if self.value > threshold else (1.0, 0.0)

    def find_needed(self, threshold: float, alpha: float) -> dict[str, int]:
        return {}

    def compute_fraction(self, n_seeds: int) -> float:
        return 1.0


@dataclass(frozen=True)
class VarianceSource:
    """One source of variation: what is sampled, how much it varies, how many of it there are."""

    what: str
    sd: float
    n: int

    @property
    def variance(self) -> float:
        """Variance of the mean."""
        return self.sd**2 / self.n


@dataclass(frozen=True)
class Mean:
    """A mean with one or more independent sources of variance; its error is t with Satterthwaite's freedom.

    Where nothing varies there is no error to judge by: the p-values are 1.

    Attributes:
        twice: Variance that two sources share: noise of one seed on one example.
    """

    value: float
    sources: tuple[VarianceSource, ...]
    twice: tuple[VarianceSource, ...] = ()

    @property
    def error(self) -> float:
        """Standard error: the sum of the variances; what two sources share counts once, and once at least."""
        whole, twice = (math.fsum(source.variance for source in sources) for sources in (self.sources, self.twice))
        return math.sqrt(max(whole - twice, twice))

    @property
    def samples_seeds(self) -> bool:
        return any(source.what == SEEDS for source in self.sources)

    @property
    def freedom(self) -> float:
        return compute_satterthwaite([s.variance for s in self.sources], [s.n for s in self.sources])

    def compute_interval(self, alpha: float) -> tuple[float, float]:
        from scipy.special import stdtrit

        half = float(stdtrit(self.freedom, 1 - alpha / 2)) * self.error
        return self.value - half, self.value + half

    def compute_p(self, threshold: float) -> tuple[float, float]:
        from scipy.special import stdtr

        if self.error == 0:
            return 1.0, 1.0
        t = (self.value - threshold) / self.error
        return float(stdtr(self.freedom, -t)), float(stdtr(self.freedom, t))

    def find_needed(self, threshold: float, alpha: float) -> dict[str, int]:
        needed = {}
        for what in dict.fromkeys(source.what for source in self.sources):
            n_now = min(source.n for source in self.sources if source.what == what)
            n = _search(lambda n, what=what: min(self._with_n(what, n).compute_p(threshold)) <= alpha, n_now)  # type: ignore[misc]
            if n is not None:
                needed[what] = n
        return needed

    def compute_fraction(self, n_seeds: int) -> float:
        if not self.samples_seeds:
            return 1.0
        if self.error == 0:  # no p-value to spend a share on
            return min(1.0, min(source.n for source in self.sources if source.what == SEEDS) / n_seeds)
        return min(1.0, self._with_n(SEEDS, n_seeds).error ** 2 / self.error**2)

    def _with_n(self, what: str, n: int) -> "Mean":
        n_now = min(source.n for source in self.sources if source.what == what)
        sources = tuple(replace(source, n=n) if source.what == what else source for source in self.sources)
        return replace(self, sources=sources, twice=tuple(replace(s, n=s.n * n // n_now) for s in self.twice))


def estimate_mean(values: Sequence[float], what: str) -> Mean:
    """Mean of independent values, for instance of log ratios by process; at least two."""
    return Mean(fmean(values), (make_source(values, what),))


def estimate_accuracy(table: Table, what: str = "examples") -> Mean:
    """Mean of a table of correctness, which varies with the seed and with the example.

    Args:
        table: (seed, example), 1 where right and 0 where wrong. One seed is a network as it is: only examples vary.
        what: Name of the columns, for instance groups of examples.

    Two right and two wrong examples are added to the spread over examples, so that a net without errors is not taken
    for certain.

    Source: A. B. Owen, Annals of Applied Statistics 1 (2007) 386-411 (two ways); A. Agresti, B. A. Coull, American
    Statistician 52 (1998) 119-126 (four more).
    """
    examples = np.concatenate([table.mean(0), [1.0, 1.0, 0.0, 0.0]])
    seeds, noise = _vary_by_seed([table])
    return Mean(float(table.mean()), (*seeds, make_source(examples, what)), noise)


def estimate_difference(first: Table, second: Table, *, is_paired: bool, what: str = "examples") -> Mean:
    """Difference of two mean accuracies over the same examples, first less second.

    Args:
        first: (seed, example). One seed is a network as it is: only examples vary.
        second: (seed, example), the same examples in the same order.
        is_paired: Whether equal rows share a seed; else seeds vary apart on each side.
        what: Name of the columns, for instance groups of examples.

    One example gained and one lost are added to the spread over examples.

    Source: as above; D. G. Bonett, R. M. Price, Journal of Educational and Behavioral Statistics 37 (2012) 479-488.
    """
    shift = np.concatenate([first.mean(0) - second.mean(0), [1.0, -1.0]])
    seeds, noise = _vary_by_seed([first - second] if is_paired else [first, second])
    return Mean(float(first.mean() - second.mean()), (*seeds, make_source(shift, what)), noise)


def _vary_by_seed(tables: Sequence[Table]) -> tuple[list[VarianceSource], tuple[VarianceSource, ...]]:
    """Variation over the seeds of tables that have several, and what it shares with that over examples."""
    several = [table for table in tables if len(table) > 1]
    return [make_source(table.mean(1), SEEDS) for table in several], tuple(map(_make_noise, several))


def _make_noise(table: Table) -> VarianceSource:
    """Variance left in a table without the means of its rows and of its columns."""
    rest = table - table.mean(1, keepdims=True) - table.mean(0) + table.mean()
    return VarianceSource(
        "seeds x examples", math.sqrt((rest**2).sum() / max(1, math.prod(n - 1 for n in table.shape))), table.size
    )


def make_source(values: Sequence[float] | NDArray[np.float64], what: str) -> VarianceSource:
    """Make the variation of sampled values, two at least."""
    sd = compute_sd([float(value) for value in values])
    if sd is None:
        raise ValueError(f"two {what} are needed to see how much they differ, got {len(values)}")
    return VarianceSource(what, sd, len(values))


@dataclass(frozen=True)
class Share:
    """A share of trials, with Wilson's interval and the score test that belongs to it."""

    n_success: int
    n: int
    what: str

    @property
    def value(self) -> float:
        return self.n_success / self.n

    def compute_interval(self, alpha: float) -> tuple[float, float]:
        return compute_wilson(self.n_success, self.n, NormalDist().inv_cdf(1 - alpha / 2))

    def compute_p(self, threshold: float) -> tuple[float, float]:
        return self._compute_p(threshold, self.n)

    def _compute_p(self, threshold: float, n: int) -> tuple[float, float]:
        z = (self.value - threshold) / math.sqrt(threshold * (1 - threshold) / n)
        return NormalDist().cdf(-z), NormalDist().cdf(z)

    def find_needed(self, threshold: float, alpha: float) -> dict[str, int]:
        n = _search(lambda n: min(self._compute_p(threshold, n)) <= alpha, self.n)
        return {} if n is None else {self.what: n}

    @property
    def samples_seeds(self) -> bool:
        return self.what == SEEDS

    def compute_fraction(self, n_seeds: int) -> float:
        return min(1.0, self.n / n_seeds) if self.samples_seeds else 1.0


@dataclass(frozen=True)
class MedianEstimate:
    """Median of paired effects of which some are infinite (one side never got there), by the sign test."""

    values: tuple[float, ...]
    what: str

    @property
    def value(self) -> float:
        return median(self.values)

    def compute_interval(self, alpha: float) -> tuple[float, float]:
        return compute_sign_interval(self.values, alpha / 2) or (-math.inf, math.inf)

    def compute_p(self, threshold: float) -> tuple[float, float]:
        above, below = sum(v > threshold for v in self.values), sum(v < threshold for v in self.values)
        return _compute_tail(above, above + below), _compute_tail(below, above + below)

    def find_needed(self, threshold: float, alpha: float) -> dict[str, int]:
        sides = sum(v > threshold for v in self.values), sum(v < threshold for v in self.values)
        share = max(sides) / max(1, sum(sides))
        n = _search(lambda n: _compute_tail(round(share * n), n) <= alpha, len(self.values))
        return {} if n is None else {self.what: n}

    @property
    def samples_seeds(self) -> bool:
        return self.what == SEEDS

    def compute_fraction(self, n_seeds: int) -> float:
        return min(1.0, len(self.values) / n_seeds) if self.samples_seeds else 1.0


def _compute_tail(n_hits: int, n: int) -> float:
    """P(at least `n_hits` heads in `n` tosses)."""
    from scipy.special import bdtrc

    return 1.0 if n_hits == 0 else float(bdtrc(n_hits - 1, n, 0.5))


def _search(is_enough: Callable[[int], bool], n_now: int) -> int | None:
    """Smallest n above `n_now` that is enough, by doubling and bisection; None above MAX_N."""
    too_few, n = n_now, n_now + 1
    while not is_enough(n):
        too_few, n = n, 2 * n
        if n > MAX_N:
            return None
    while n - too_few > 1:
        middle = (n + too_few) // 2
        too_few, n = (too_few, middle) if is_enough(middle) else (middle, n)
    return n
