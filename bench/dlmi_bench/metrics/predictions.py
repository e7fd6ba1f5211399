"""Predictions of test examples: logits, probabilities, labels, and whose the examples are."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlmi_bench.records import Conditions, Figure, unavailable
from dlmi_bench.stats.linear import Bounds, Units

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]
NOTHING: Mapping[str, str] = MappingProxyType({})
DIGITS = 10  # after the point
LEAST = float(np.finfo(np.float64).eps)  # probability that stands for 0, as scikit-learn has it


@dataclass(frozen=True)
class Predictions:
    """Scores of examples with what is needed to make figures of them.

    Attributes:
        logits: (n, class): logits, or logarithms of probabilities.
        labels: (n,), classes from 0.
        class_names: Of two classes the second is the positive one.
        groups: Whose each example is, (n,); None where each is taken for independent.
        source: Where the scores come from.
        conditions: Part of the identity of each figure.
    """

    logits: Floats
    labels: Labels
    class_names: tuple[str, ...]
    groups: NDArray[Any] | None
    source: str
    conditions: Conditions

    @property
    def is_binary(self) -> bool:
        return len(self.class_names) == 2

    @property
    def classes(self) -> list[int]:
        """Classes that occur."""
        return np.unique(self.labels).tolist()

    @cached_property
    def logs(self) -> Floats:
        """Logarithms of the probabilities, (n, class)."""
        from scipy.special import log_softmax

        return np.asarray(log_softmax(self.logits, axis=1))

    @cached_property
    def probabilities(self) -> Floats:
        return np.exp(self.logs)

    @cached_property
    def decisions(self) -> Labels:
        return self.logits.argmax(1).astype(np.int64)

    @cached_property
    def units(self) -> Units:
        return Units(self.labels, self.groups, len(self.class_names))

    def get_odds(self, index: int) -> Floats:
        """Logarithm of the odds of a class, (n,), rounded so that what is equal stays a tie."""
        if self.is_binary:
            return np.round(self.logits[:, index] - self.logits[:, 1 - index], DIGITS)
        others = np.delete(self.logs, index, axis=1)
        return np.asarray(np.round(self.logs[:, index] - np.logaddexp.reduce(others, axis=1), DIGITS))

    def split_one(self, index: int) -> tuple[NDArray[np.bool_], Units]:
        """Tell which examples are of a class, (n,), and count them as two classes."""
        is_own = self.labels == index
        return is_own, Units(is_own.astype(np.int64), self.groups, 2)

    def make(
        self,
        name: str,
        value: float,
        bounds: Bounds | None,
        method: str,
        more: Mapping[str, str] = NOTHING,
        *,
        how: str = "",
        n: int = 0,
    ) -> Figure:
        """Make a figure; without bounds it says why there are none."""
        unit = "examples" if self.groups is None else "groups of examples"
        lo, hi = (min(bounds[0], value), max(bounds[1], value)) if bounds else (None, None)
        missing = "none: a class has a single example or group, which shows no spread"
        return Figure(
            name=name,
            value=value,
            lo=lo,
            hi=hi,
            n=n or len(self.labels),
            interval=f"{method} 95 %, sampling of {unit} within classes" if bounds else missing,
            method=how,
            kind="measured",
            source=self.source,
            conditions=self.conditions | dict(more),
        )

    def make_missing(self, name: str, reason: str, more: Mapping[str, str] = NOTHING) -> Figure:
        return unavailable(name, reason, **(self.conditions | dict(more)))


def make_logits(scores: NDArray[Any], *, are_probabilities: bool) -> Floats:
    """Logits of scores (n, class): themselves, or the logarithms of probabilities."""
    values = np.asarray(scores, np.float64)
    return np.log(np.clip(values, LEAST, None)) if are_probabilities else values
