"""Equivalence: an estimate that lies within a margin, either way."""

from dataclasses import dataclass

from dlmi_bench.stats.estimates import Estimate


@dataclass(frozen=True)
class Within:
    """An estimate to compare with a margin both ways: it must lie above -margin and below margin.

    Two one-sided tests say that it lies within, each at the full level; one of the two opposite ones, corrected for
    both, says that it lies outside. Value and interval are those of the estimate.

    Source: D. J. Schuirmann, Journal of Pharmacokinetics and Biopharmaceutics 15 (1987) 657-680.
    """

    estimate: Estimate

    @property
    def value(self) -> float:
        return self.estimate.value

    def compute_interval(self, alpha: float) -> tuple[float, float]:
        return self.estimate.compute_interval(alpha)

    def compute_p(self, threshold: float) -> tuple[float, float]:
        """P-values of "outside the margin" and of "within it": a small first one says within."""
        over_lower, under_lower = self.estimate.compute_p(-threshold)
        over_upper, under_upper = self.estimate.compute_p(threshold)
        return max(over_lower, under_upper), min(1.0, 2 * min(under_lower, over_upper))

    def find_needed(self, threshold: float, alpha: float) -> dict[str, int]:
        """Smallest n that brings both one-sided tests to `alpha`; outside the margin, one opposite test to half."""
        if abs(self.value) > threshold:
            nearer = threshold if self.value > 0 else -threshold
            return self.estimate.find_needed(nearer, alpha / 2)
        lower, upper = (self.estimate.find_needed(limit, alpha) for limit in (-threshold, threshold))
        return {what: max(n, upper[what]) for what, n in lower.items() if what in upper}

    @property
    def samples_seeds(self) -> bool:
        return self.estimate.samples_seeds

    def compute_fraction(self, n_seeds: int) -> float:
        return self.estimate.compute_fraction(n_seeds)
