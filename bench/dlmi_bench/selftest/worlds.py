"""Simulated test sets of known truth: normal scores of two classes, miscalibrated by a known map, some in pairs."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

GRID = np.linspace(-8.0, 12.0, 4001)
GROUP_SIZE, SHARED = 2, 0.5  # examples of a group, and the part of their variance that they share
ALIKE = 0.7  # variance that two models share on one example
CLASS_NAMES = ("without", "with")


@dataclass(frozen=True)
class Setting:
    """How many examples, which share of them is positive, and whether groups of them share what makes them hard."""

    n: int
    prevalence: float
    is_clustered: bool

    @property
    def text(self) -> str:
        return f"n {self.n}, {100 * self.prevalence:g} %{', pairs' if self.is_clustered else ''}"


SETTINGS = tuple(Setting(n, share, pairs) for n in (60, 600) for share in (0.5, 0.05) for pairs in (False, True))


def compute_area(distance: float) -> float:
    """Area under the ROC curve of two normal classes this far apart."""
    from scipy.special import ndtr

    return float(ndtr(distance / np.sqrt(2)))


@dataclass(frozen=True)
class World:
    """Scores N(0, 1) of negative and N(distance, 1) of positive examples; log odds are offset + factor x score."""

    setting: Setting
    distance: float
    offset: float
    factor: float

    @classmethod
    def draw(cls, setting: Setting, rng: np.random.Generator) -> "World":
        distance = float(rng.uniform(1, 3))
        factor = distance * float(rng.uniform(0.6, 1.6))
        share = round(setting.n * setting.prevalence) / setting.n
        offset = float(np.log(share / (1 - share))) - distance * factor / 2 + float(rng.uniform(-0.5, 0.5))
        return cls(setting, distance, offset, factor)

    @property
    def n_positive(self) -> int:
        return round(self.setting.n * self.setting.prevalence)

    @property
    def share(self) -> float:
        return self.n_positive / self.setting.n

    @property
    def labels(self) -> NDArray[np.int64]:
        return np.repeat(np.array([0, 1]), [self.setting.n - self.n_positive, self.n_positive])

    @property
    def groups(self) -> NDArray[np.int64] | None:
        """Groups of one class each."""
        if not self.setting.is_clustered:
            return None
        sizes = self.setting.n - self.n_positive, self.n_positive
        return np.concatenate([i * self.setting.n + np.arange(n) // GROUP_SIZE for i, n in enumerate(sizes)])

    def draw_odds(self, rng: np.random.Generator) -> Floats:
        """Log odds of a test set, (n,)."""
        noise = rng.standard_normal(self.setting.n)
        if (groups := self.groups) is not None:
            common = rng.standard_normal(2 * self.setting.n)[groups]
            noise = np.sqrt(SHARED) * common + np.sqrt(1 - SHARED) * noise
        return self.offset + self.factor * (self.distance * self.labels + noise)

    def draw_rival(self, odds: Floats, rng: np.random.Generator) -> tuple[Floats, float]:
        """Scores of another model that finds mostly the same examples hard, (n,), and its distance."""
        distance = self.distance + float(rng.uniform(-0.5, 0.5))
        own, new = (self._get_noise(x) for x in (odds, self.draw_odds(rng)))
        return distance * self.labels + np.sqrt(ALIKE) * own + np.sqrt(1 - ALIKE) * new, distance

    def _get_noise(self, odds: Floats) -> Floats:
        return (odds - self.offset) / self.factor - self.distance * self.labels

    @cached_property
    def weights(self) -> tuple[Floats, Floats]:
        """Share of all examples at each point of the grid, by class."""
        step = (GRID[1] - GRID[0]) / np.sqrt(2 * np.pi)
        negative, positive = (step * np.exp(-((GRID - mean) ** 2) / 2) for mean in (0.0, self.distance))
        return (1 - self.share) * negative, self.share * positive

    def compute_rates(self, limit: float) -> tuple[float, float]:
        """Sensitivity and specificity at a threshold of the log odds."""
        from scipy.special import ndtr

        score = (limit - self.offset) / self.factor
        return float(ndtr(self.distance - score)), float(ndtr(score))

    def compute_confusion(self, limit: float = 0.0) -> NDArray[Any]:
        """Expected counts of decisions."""
        sensitivity, specificity = self.compute_rates(limit)
        rates = np.array([[specificity, 1 - specificity], [1 - sensitivity, sensitivity]])
        return rates * np.array([[self.setting.n - self.n_positive], [self.n_positive]])

    def compute_truths(self) -> dict[str, float]:
        """Figures of infinitely many examples with the same share of positive ones."""
        from scipy.special import expit, log_expit, ndtr

        (negative, positive), odds = self.weights, self.offset + self.factor * GRID
        both, chances = negative + positive, expit(odds)
        recall, fallout = ndtr(self.distance - GRID), ndtr(-GRID)
        precision = self.share * recall / (self.share * recall + (1 - self.share) * fallout)
        return {
            "test_auc": compute_area(self.distance),
            "test_auprc": float((positive * precision).sum() / positive.sum()),
            "test_log_loss": float(-(positive * log_expit(odds) + negative * log_expit(-odds)).sum()),
            "test_brier": float((positive * (1 - chances) ** 2 + negative * chances**2).sum()),
            "test_ece": float(np.abs(positive - both * chances).sum()),
            "test_calibration_slope": self.distance / self.factor,
            "test_calibration_intercept": self._find_intercept(both, odds),
            "test_confident_accuracy": self._compute_confident(odds),
        }

    def _find_intercept(self, both: Floats, odds: Floats) -> float:
        """Find what to add to all log odds so that their mean probability is the share, by bisection."""
        from scipy.special import expit

        lo, hi = -20.0, 20.0
        for _ in range(50):
            middle = (lo + hi) / 2
            lo, hi = (middle, hi) if (both * expit(odds + middle)).sum() < self.share else (lo, middle)
        return lo

    def _compute_confident(self, odds: Floats) -> float:
        """Accuracy of the 90 % whose probabilities are farthest from a half."""
        negative, positive = self.weights
        order = np.argsort(-np.abs(odds))
        kept = order[np.cumsum((negative + positive)[order]) <= 0.9]
        right = np.where(odds >= 0, positive, negative)
        return float(right[kept].sum() / (negative + positive)[kept].sum())
