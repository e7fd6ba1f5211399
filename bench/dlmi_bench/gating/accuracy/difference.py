"""Difference of two accuracies with its bounds, and the smallest margin that its test set can resolve."""

import math
from dataclasses import dataclass

CONFIDENCE = 0.95  # of each bound alone: a verdict errs with probability .05, one-sided, as for latency
RESOLUTION_Z = 2.93  # z(.95) + z(.90): one-sided 5 % test, power 90 % when nothing changed


@dataclass(frozen=True)
class AccuracyDifference:
    """Accuracy of the candidate minus that of the baseline; negative is a loss.

    Attributes:
        value: AccuracyDifference of the accuracies [fraction].
        lo: Lower bound, one-sided confidence CONFIDENCE [fraction].
        hi: Upper bound, one-sided confidence CONFIDENCE [fraction].
        psi: Disagreement rate: mean over examples of the squared difference of correctness. One run on each side: the
            share of examples that one side gets right and the other wrong.
        n_examples: Test examples.
    """

    value: float
    lo: float
    hi: float
    psi: float
    n_examples: int

    @property
    def resolvable_margin(self) -> float:
        """Smallest margin at which an unchanged candidate passes nine times out of ten [fraction].

        sqrt(psi / n) bounds the standard error that examples cause, since Var = (psi - d^2) / n.
        """
        return RESOLUTION_Z * math.sqrt(self.psi / self.n_examples)

    def compute_n_needed(self, margin: float) -> int:
        """Number of test examples that would resolve `margin` at this disagreement rate."""
        return math.ceil(self.psi * (RESOLUTION_Z / margin) ** 2)

    def resolves(self, margin: float) -> bool:
        """Return True where the test set is large enough for `margin`."""
        return self.compute_n_needed(margin) <= self.n_examples
