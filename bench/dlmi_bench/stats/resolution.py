"""Smallest difference that can be detected, from the noise between equal programs. Pure numbers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from dlmi_bench.stats.intervals import compute_sd, compute_t_interval
from dlmi_bench.stats.ratios import compute_log_ratio

POWER = 0.8  # chance that a difference of the stated size is found
LEVEL = 0.95


@dataclass(frozen=True)
class Noise:
    """Differences of a program from itself, as logarithms of ratios, process by process.

    Attributes:
        paired: Median over rounds of ln(A / A'), two equal programs side by side in one process.
        between: ln of the process median of A; its mean says nothing, its spread is the difference between processes.
        process_s: What one process costs, its start included [s].
    """

    paired: tuple[float, ...]
    between: tuple[float, ...]
    process_s: float

    def compute_bias(self) -> tuple[float, float]:
        """95 % interval of the mean of `paired`; without a flaw of the method it holds 0."""
        return compute_t_interval(self.paired, (1 - LEVEL) / 2)

    def compute_paired(self, duration_s: float, *, is_worst: bool = False) -> float | None:
        """Smallest relative difference found in that time with A and B in the same processes; None: too short."""
        return _resolve(self.paired, int(duration_s / self.process_s), 1, is_worst)

    def compute_between(self, duration_s: float, *, is_worst: bool = False) -> float | None:
        """Smallest relative difference with A and B in processes of their own, half of the time each."""
        return _resolve(self.between, int(duration_s / 2 / self.process_s), 2, is_worst)


def compute_noise(rounds: Sequence[tuple[Sequence[float], Sequence[float]]], process_s: float) -> Noise:
    """Compute the noise from the times of two equal programs, round by round, in each of several processes."""
    return Noise(
        paired=tuple(compute_log_ratio(b_s, a_s) for a_s, b_s in rounds),
        between=tuple(math.log(median(pair[0])) for pair in rounds),
        process_s=process_s,
    )


def _resolve(values: Sequence[float], n: int, n_groups: int, is_worst: bool) -> float | None:
    """(t(.975) + t(POWER)) s sqrt(groups / n), as a ratio less 1; n processes in each group.

    With `is_worst`, s is the upper 95 % bound of the standard deviation that the few processes leave open.
    """
    sd = compute_sd(values)
    if n < 2 or sd is None:
        return None
    from scipy.special import chdtri, stdtrit

    if is_worst:
        sd *= math.sqrt((len(values) - 1) / float(chdtri(len(values) - 1, LEVEL)))
    n_free = n_groups * (n - 1)
    factor = float(stdtrit(n_free, (1 + LEVEL) / 2) + stdtrit(n_free, POWER))
    return math.expm1(factor * sd * math.sqrt(n_groups / n))
