"""Ratios."""

import math
from collections.abc import Sequence
from statistics import median


def compute_log_ratio(baseline_s: Sequence[float], other_s: Sequence[float]) -> float:
    """Median over rounds of ln(other / baseline): the one number that leaves a process."""
    return median(math.log(other / base) for base, other in zip(baseline_s, other_s, strict=True))
