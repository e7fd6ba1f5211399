"""Comparisons: an estimate, the line that it has to lie above, and how both are written down."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from dlmi_bench.stats.estimates import Estimate, Exact
from dlmi_bench.units import format_range

Show = Callable[[float, float, float], str]


def show_percent(value: float, lo: float, hi: float) -> str:
    return format_range(100 * value, 100 * lo, 100 * hi, "") + " %"


def show_share(value: float, lo: float, hi: float) -> str:
    return f"{100 * value:.0f} [{100 * lo:.0f}, {100 * hi:.0f}] %"


def show_points(value: float, lo: float, hi: float) -> str:
    return format_range(100 * value, 100 * lo, 100 * hi, "") + " points"


def show_factor(value: float, lo: float, hi: float) -> str:
    if not all(map(math.isfinite, (value, lo, hi))):
        return f"{value:.3g} [{lo:.3g}, {hi:.3g}] x"
    return format_range(value, lo, hi, "") + " x"


def show_log(value: float, lo: float, hi: float) -> str:
    return show_factor(math.exp(value), math.exp(lo), math.exp(hi))


@dataclass(frozen=True)
class Comparison:
    """One estimate and the threshold that it must exceed for the claim to hold.

    Attributes:
        label: What it is about.
        show: Value and bounds as text.
        wanted: The threshold as text.
        may_refute: Whether the claim fails where this one does.
        exactly: What to say instead of an interval where there is no doubt.
    """

    label: str
    estimate: Estimate
    threshold: float
    show: Show
    wanted: str
    may_refute: bool = True
    exactly: str = "; exact"

    @property
    def p(self) -> tuple[float, float]:
        """One-sided p-values against the claim being false, and against its being true."""
        for_it, against_it = self.estimate.compute_p(self.threshold)
        return for_it, against_it if self.may_refute else 1.0

    def describe(self, alpha: float) -> str:
        """The figure with its interval, and what was claimed."""
        if isinstance(self.estimate, Exact):
            return self.label + self.exactly
        return f"{self.label}: {self.show(self.estimate.value, *self.estimate.compute_interval(alpha))}{self.wanted}"


@dataclass(frozen=True)
class Finding:
    """All comparisons of a claim, which must all hold, and what has to be said with them."""

    comparisons: tuple[Comparison, ...]
    notes: tuple[str, ...] = ()

    @property
    def is_exact(self) -> bool:
        return all(isinstance(c.estimate, Exact) for c in self.comparisons)

    @property
    def p_support(self) -> float:
        """All must hold: the worst of them decides (intersection-union)."""
        return max(c.p[0] for c in self.comparisons)

    @property
    def p_refute(self) -> float:
        """One that fails is enough: the best of them, times their number."""
        return min(1.0, len(self.comparisons) * min(c.p[1] for c in self.comparisons))
