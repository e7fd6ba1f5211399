"""Differences and ratios of figures that others reported: accuracies with their n, costs with their bounds."""

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import ClassVar

from dlmi_bench.stats.estimates import Mean, VarianceSource
from dlmi_bench.stats.intervals import Z95


@dataclass(frozen=True)
class Normal:
    """An estimate with a known standard error; what it was sampled from is not known."""

    value: float
    error: float
    samples_seeds: ClassVar[bool] = False

    def compute_interval(self, alpha: float) -> tuple[float, float]:
        half = NormalDist().inv_cdf(1 - alpha / 2) * self.error
        return self.value - half, self.value + half

    def compute_p(self, threshold: float) -> tuple[float, float]:
        z = (self.value - threshold) / self.error
        return NormalDist().cdf(-z), NormalDist().cdf(z)

    def find_needed(self, threshold: float, alpha: float) -> dict[str, int]:
        if self.value == threshold:
            return {}
        times = (NormalDist().inv_cdf(1 - alpha) * self.error / (self.value - threshold)) ** 2
        return {"times as many measurements": max(2, math.ceil(times))}

    def compute_fraction(self, n_seeds: int) -> float:
        return 1.0


def estimate_reported(
    above: float, above_lo: float, above_hi: float, below: float, below_lo: float, below_hi: float
) -> Normal:
    """Estimate the logarithm of `above` over `below`, independent and each with a 95 % interval above 0."""
    widths = (math.log(above_hi / above_lo), math.log(below_hi / below_lo))
    return Normal(math.log(above / below), math.hypot(*widths) / (2 * Z95))


def estimate_apart(first: tuple[float, int], second: tuple[float, int]) -> Mean:
    """Difference of two accuracies of which only their sizes are known, as of two independent samples of examples.

    Args:
        first, second: Accuracy and number of examples.

    One right and one wrong example are added to the spread on each side. Errors that coincide on the same examples
    make the difference surer than this says.

    Source: A. Agresti, B. Caffo, American Statistician 54 (2000) 280-288.
    """
    shares = [((accuracy * n + 1) / (n + 2), n + 2) for accuracy, n in (first, second)]
    sources = [VarianceSource("examples", math.sqrt(share * (1 - share)), n) for share, n in shares]
    return Mean(first[0] - second[0], tuple(sources))
