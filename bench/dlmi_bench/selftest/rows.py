"""A row of the self-test: what was asked of an instrument, what it answered, whether that is good enough."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, median
from typing import Literal

from numpy.random import Generator

from dlmi_bench.stats.intervals import compute_clopper_pearson, compute_sign_interval, compute_t_interval

Part = Literal["bias", "coverage", "detection", "studies"]
Verdict = Literal["shown", "met", "MISSED"]
ALPHA = 0.05  # intervals are 95 %
Bounds = tuple[float, float, float]  # lo, hi, truth
Simulate = Callable[[Generator], Bounds]


@dataclass(frozen=True)
class Row:
    """One figure with the range that it has to lie in; bias is relative to the truth, all else a share.

    Attributes:
        lo, hi: 95 % bounds of the figure: Clopper and Pearson's of a share, the sign test's of a median, both exact,
            and Student's of a mean; None where n is too small for any.
        lowest, highest: What is accepted.
        remark: What a reader has to know to judge it.
    """

    part: Part
    subject: str
    value: float
    lo: float | None
    hi: float | None
    n: int
    lowest: float
    highest: float
    remark: str = ""

    @property
    def is_met(self) -> bool:
        return self.lowest <= self.value <= self.highest

    @property
    def verdict(self) -> Verdict:
        """`shown` where the bounds lie in the target as well: another sample would most likely meet it too."""
        if not self.is_met:
            return "MISSED"
        if self.lo is None or self.hi is None:
            return "met"
        return "shown" if self.lowest <= self.lo and self.hi <= self.highest else "met"

    def to_json(self) -> dict[str, object]:
        return asdict(self) | {"verdict": self.verdict}


def make_share(
    part: Part, subject: str, hits: Sequence[bool], *, lowest: float, highest: float = 1.0, remark: str = ""
) -> Row:
    """Make a row that says how often it was right."""
    n = len(hits)
    lo, hi = compute_clopper_pearson(sum(hits), n)
    return Row(part, subject, sum(hits) / n, lo, hi, n, lowest, highest, remark)


def make_mean(part: Part, subject: str, values: Sequence[float], *, lowest: float, highest: float = 1.0) -> Row:
    """Make a row of a mean over independent sessions, with a t-interval."""
    lo, hi = compute_t_interval(values, ALPHA / 2)
    return Row(part, subject, fmean(values), lo, hi, len(values), lowest, highest)


def make_bias(subject: str, read: Sequence[float], truth: float, *, most: float, remark: str = "") -> Row:
    """Median over sessions of the relative error of what they read."""
    errors = [value / truth - 1 for value in read]
    lo, hi = compute_sign_interval(errors, ALPHA / 2) or (None, None)
    return Row("bias", subject, median(errors), lo, hi, len(errors), -most, most, remark)
