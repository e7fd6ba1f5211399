"""Estimates with two sides: known between bounds only, or that must lie below a limit instead of above."""

from dataclasses import dataclass

from dlmi_bench.stats.estimates import Estimate, Mean


@dataclass(frozen=True)
class Between:
    """A value that lies between two means: what speaks for "above" rests on the lower one, for "below" on the upper."""

    lower: Mean
    upper: Mean

    @property
    def value(self) -> float:
        return self.lower.value

    @property
    def samples_seeds(self) -> bool:
        return self.lower.samples_seeds

    def compute_interval(self, alpha: float) -> tuple[float, float]:
        return self.lower.compute_interval(alpha)[0], self.upper.compute_interval(alpha)[1]

    def compute_p(self, threshold: float) -> tuple[float, float]:
        return self.lower.compute_p(threshold)[0], self.upper.compute_p(threshold)[1]

    def find_needed(self, threshold: float, alpha: float) -> dict[str, int]:
        """Smallest n that decides; none where the threshold lies between the two."""
        if self.lower.value <= threshold <= self.upper.value:
            return {}
        side = self.lower if self.lower.value > threshold else self.upper
        return side.find_needed(threshold, alpha)

    def compute_fraction(self, n_seeds: int) -> float:
        return self.upper.compute_fraction(n_seeds)


@dataclass(frozen=True)
class Negative:
    """The negative of an estimate: what must be more than -limit is less than the limit."""

    estimate: Estimate

    @property
    def value(self) -> float:
        return -self.estimate.value

    @property
    def samples_seeds(self) -> bool:
        return self.estimate.samples_seeds

    def compute_interval(self, alpha: float) -> tuple[float, float]:
        lo, hi = self.estimate.compute_interval(alpha)
        return -hi, -lo

    def compute_p(self, threshold: float) -> tuple[float, float]:
        above, below = self.estimate.compute_p(-threshold)
        return below, above

    def find_needed(self, threshold: float, alpha: float) -> dict[str, int]:
        return self.estimate.find_needed(-threshold, alpha)

    def compute_fraction(self, n_seeds: int) -> float:
        return self.estimate.compute_fraction(n_seeds)
