"""Linear estimates: what each example adds to a figure, and the interval that follows for whole groups of examples."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlmi_bench.stats.intervals import compute_satterthwaite

Floats = NDArray[np.float64]
Bounds = tuple[float, float]

MAX_LOG = 700.0  # of a factor that is still a number


@dataclass(frozen=True)
class Linear:
    """A figure with the variance of sampling groups of examples, the number of each class kept.

    Attributes:
        freedom: Degrees of freedom of the variance.
        n_units: Groups in the class that has fewest: one shows no spread, and leaves the figure without interval.
    """

    value: float
    variance: float
    freedom: float
    n_units: int

    @property
    def error(self) -> float:
        return math.sqrt(self.variance)

    @property
    def cautious(self) -> "Linear":
        """The same with the freedom of the smallest class, for figures that lie on few examples of it.

        Source: P. L. Hsu, Statistical Research Memoirs 2 (1938) 1-24.
        """
        return replace(self, freedom=self.n_units - 1)

    def compute_interval(self, alpha: float = 0.05) -> Bounds | None:
        """Value -/+ t standard errors."""
        if self.n_units < 2:
            return None
        half = self._find_t(alpha) * self.error
        return self.value - half, self.value + half

    def compute_log_interval(self, alpha: float = 0.05) -> Bounds | None:
        """Bounds of a positive figure, of which the logarithm has the symmetric interval."""
        if self.n_units < 2 or self.value <= 0:
            return None
        factor = math.exp(min(MAX_LOG, self._find_t(alpha) * self.error / self.value))
        return self.value / factor, self.value * factor

    def compute_share_interval(self, alpha: float = 0.05, n_most: float = math.inf) -> Bounds | None:
        """Bounds of a figure between 0 and 1: Wilson's, of as many examples as have this variance.

        Args:
            n_most: Examples that it is worth at most, where few vary less than they should.

        Source: N. Dean, M. Pagano, Journal of Survey Statistics and Methodology 3 (2015) 484-503 (shares of clusters).
        """
        if self.n_units < 2:
            return None
        varies = self.variance > 0 and 0 < self.value < 1
        n = min(self.value * (1 - self.value) / self.variance if varies else math.inf, n_most)
        n = n if math.isfinite(n) else self.n_units
        return compute_score_interval(self.value, n, self._find_t(alpha))

    def _find_t(self, alpha: float) -> float:
        from scipy.special import stdtrit

        return float(stdtrit(self.freedom, 1 - alpha / 2))


def compute_score_interval(share: float, n: float, z: float) -> Bounds:
    """Wilson's interval of a share of `n` examples, which need not be whole."""
    centre, half = share + z * z / (2 * n), z * math.sqrt(share * (1 - share) / n + (z / (2 * n)) ** 2)
    below = 1 + z * z / n
    return max(0.0, min(share, (centre - half) / below)), min(1.0, max(share, (centre + half) / below))


def bound_share(is_hit: NDArray[np.bool_], groups: NDArray[Any] | None, alpha: float = 0.05) -> Bounds:
    """Bounds of the share of examples, (n,), at least one, that hit: Wilson's, wider by what groups share."""
    return make_share_bounds(is_hit, groups)(alpha)


def make_share_bounds(is_hit: NDArray[np.bool_], groups: NDArray[Any] | None) -> Callable[[float], Bounds]:
    """Make the function of alpha that gives these bounds."""
    n, units, share = len(is_hit), Units(np.zeros(len(is_hit), np.int64), groups, 1), float(is_hit.mean())
    if units.n_units == n or units.n_units < 2:
        return lambda alpha: compute_score_interval(share, units.n_units, NormalDist().inv_cdf(1 - alpha / 2))
    found, n_most = units.estimate_mean(is_hit.astype(float)), n if 0 < share < 1 else units.n_units
    return lambda alpha: found.compute_share_interval(alpha, n_most) or (0.0, 1.0)


class Units:
    """Whose the examples are and of which class: groups of examples are sampled, not examples.

    Args:
        labels: Class of each example, (n,).
        groups: Whose it is, (n,); None where each is one of its own.
    """

    def __init__(self, labels: NDArray[np.int64], groups: NDArray[Any] | None, n_classes: int) -> None:
        self.labels = labels
        self.groups = np.arange(len(labels)) if groups is None else np.unique(groups, return_inverse=True)[1]
        self.n_classes = n_classes
        self.n_units = int(self.groups.max(initial=-1)) + 1
        places = np.unique(self.groups * n_classes + labels)
        self.n_groups = np.bincount(places % n_classes, minlength=n_classes)

    def linearise(self, value: float, parts: Floats) -> Linear:
        """Find the variance of a figure.

        Args:
            parts: What each example adds to the error of the figure, (n,), up to a constant by class.

        Source: N. A. Obuchowski, Biometrics 53 (1997) 567-578; without groups this is E. R. DeLong et al., Biometrics
        44 (1988) 837-845.
        """
        n = np.maximum(np.bincount(self.labels, minlength=self.n_classes), 1)
        means = np.bincount(self.labels, parts, self.n_classes) / n
        places, shape = self.groups * self.n_classes + self.labels, (self.n_units, self.n_classes)
        sums = np.bincount(places, parts - means[self.labels], math.prod(shape)).reshape(shape)
        occurs = self.n_groups > 0
        by_class = ((sums**2).sum(0) * self.n_groups / np.maximum(self.n_groups - 1, 1))[occurs]
        shared = float((sums.sum(1) ** 2).sum() - (sums**2).sum()) * self.n_units / max(1, self.n_units - 1)
        sizes = np.maximum(self.n_groups[occurs], 2)
        freedom = compute_satterthwaite(by_class.tolist(), sizes.tolist())
        return Linear(value, max(float(by_class.sum()) + shared, 0.0), freedom, int(self.n_groups[occurs].min()))

    def estimate_mean(self, values: Floats) -> Linear:
        """Mean of a value of each example, (n,), the number of each class kept."""
        return self.linearise(float(values.mean()), values / len(values))
