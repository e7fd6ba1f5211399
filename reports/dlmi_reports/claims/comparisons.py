"""Comparisons of an estimate with a threshold, and how both are written."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from dlmi_bench.stats.estimates import Estimate, Exact
from dlmi_bench.units import format_count, format_range

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
    """One estimate and the threshold that it must exceed, or lie `Within`, for the claim to hold.

    Attributes:
        label: Subject of the comparison.
        show: Function that writes value and bounds.
        wanted: The threshold as text.
        may_refute: Whether a comparison that fails refutes the claim.
        exactly: Text instead of an interval for exact figures.
        kind: Kind of machine of both costs, where the store has several.
    """

    label: str
    estimate: Estimate
    threshold: float
    show: Show
    wanted: str
    may_refute: bool = True
    exactly: str = "; exact"
    kind: str = ""

    @property
    def p(self) -> tuple[float, float]:
        """One-sided p-values: small first if the claim holds, small second if it does not."""
        for_it, against_it = self.estimate.compute_p(self.threshold)
        return for_it, against_it if self.may_refute else 1.0

    @property
    def subject(self) -> str:
        """Subject of the comparison, with the kind of machine where the store has several."""
        return f"{self.label}, on {self.kind}" if self.kind else self.label

    def describe(self, alpha: float) -> str:
        """Write the figure with its interval, and what was claimed."""
        if isinstance(self.estimate, Exact):
            return self.label + self.exactly
        return f"{self.subject}: {self.show(self.estimate.value, *self.estimate.compute_interval(alpha))}{self.wanted}"

    def describe_bound(self, alpha: float) -> str:
        """Write what a wider interval leaves: how large a difference can be either way, or where a value lies."""
        lo, hi = self.estimate.compute_interval(alpha)
        if self.show is show_points and lo < 0 < hi:
            return f"{self.subject}: less than {100 * max(-lo, hi):.2g} points either way"
        return f"{self.subject}: {self.show(self.estimate.value, lo, hi)}"


@dataclass(frozen=True)
class Finding:
    """All comparisons of a claim, which must all hold, with notes on them."""

    comparisons: tuple[Comparison, ...]
    notes: tuple[str, ...] = ()

    @property
    def is_exact(self) -> bool:
        return all(isinstance(c.estimate, Exact) for c in self.comparisons)

    @property
    def samples_seeds(self) -> bool:
        """Tell whether seeds are what is sampled: then every look at them pays, also where more would tell no more."""
        return any(c.estimate.samples_seeds for c in self.comparisons)

    def compute_fraction(self, n_seeds: int) -> float:
        """Information so far as a fraction of that of `n_seeds`, of the comparison that has least."""
        return min(c.estimate.compute_fraction(n_seeds) for c in self.comparisons)

    @property
    def p_support(self) -> float:
        """Largest p-value: all must hold (intersection-union test)."""
        return max(c.p[0] for c in self.comparisons)

    @property
    def p_refute(self) -> float:
        """Smallest p-value times the number of comparisons: one that fails is enough."""
        return min(1.0, len(self.comparisons) * min(c.p[1] for c in self.comparisons))


def say(name: str) -> str:
    """Write a figure's name in words, without its unit."""
    name = name.removeprefix("n_")
    return (name[:-2] if name.endswith(("_s", "_j")) else name.removesuffix("_bytes")).replace("_", " ")


def say_counts(metric: str, counts: dict[str, float]) -> str:
    return f"{say(metric)}: " + ", ".join(f"{name} {format_count(value)}" for name, value in counts.items())
