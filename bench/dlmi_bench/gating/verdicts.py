"""Verdicts of the gate, their exit codes, and one decision per benchmark."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """Outcome of one benchmark. Only the first four decide anything."""

    PASS = "PASS"  # noqa: S105 - a verdict, not a password
    IMPROVED = "IMPROVED"
    SAME = "SAME"
    REGRESSED = "REGRESSED"
    INCONCLUSIVE = "INCONCLUSIVE"
    SUSPICIOUS_IMPROVEMENT = "SUSPICIOUS_IMPROVEMENT"
    INCOMPARABLE = "INCOMPARABLE"
    INVALID = "INVALID"

    @property
    def exit_code(self) -> int:
        return EXIT_CODES[self]

    @property
    def is_decided(self) -> bool:
        """True where the evidence was enough for an answer, good or bad."""
        return self in (Verdict.PASS, Verdict.IMPROVED, Verdict.SAME, Verdict.REGRESSED)


# 1 is a crash of the tool and 2 wrong usage. A suspicious improvement needs a person to look, like INCONCLUSIVE.
EXIT_CODES = {
    Verdict.PASS: 0,
    Verdict.IMPROVED: 0,
    Verdict.SAME: 0,
    Verdict.REGRESSED: 10,
    Verdict.INCONCLUSIVE: 11,
    Verdict.SUSPICIOUS_IMPROVEMENT: 11,
    Verdict.INCOMPARABLE: 12,
    Verdict.INVALID: 13,
}
WORST_FIRST = (13, 10, 12, 11, 0)


@dataclass(frozen=True)
class Decision:
    """Decision on one benchmark. It starts INVALID and only evidence upgrades it.

    Attributes:
        why: One sentence for a person.
        estimate: Candidate over baseline; None where nothing was measured.
        lo: Lower bound of the estimate; None where the data are too few for a bound.
        hi: Upper bound of the estimate; None likewise.
        tau: Largest slowdown that passes, as a fraction.
        n_processes: Processes behind the interval.
        look: Number of the look at the data, from 1; 0 before the first.
        is_disturbed: True where it is INVALID because of the machine alone: pre-empted, stopped, or a failed control.
    """

    name: str
    verdict: Verdict = Verdict.INVALID
    why: str = "no evidence yet"
    estimate: float | None = None
    lo: float | None = None
    hi: float | None = None
    tau: float | None = None
    n_processes: int = 0
    look: int = 0
    is_disturbed: bool = False
    notes: tuple[str, ...] = ()

    @property
    def reads_slower(self) -> bool:
        """True where the interval lies beyond the limit, whatever the verdict."""
        return self.lo is not None and self.tau is not None and self.lo > 1 + self.tau


def judge_closed(name: str, judge: Callable[[], Decision]) -> Decision:
    """Return the decision of `judge`, or INVALID with the reason where anything goes wrong in it."""
    try:
        return judge()
    except Exception as error:  # noqa: BLE001 - a gate that fails must fail closed, whatever the cause
        return Decision(name, why=f"{type(error).__name__}: {error}")


def compute_exit_code(decisions: Sequence[Decision]) -> int:
    """Compute the exit code of the gate: the worst in the order of WORST_FIRST; 13 without any decision."""
    codes = {decision.verdict.exit_code for decision in decisions} or {Verdict.INVALID.exit_code}
    return next(code for code in WORST_FIRST if code in codes)


def format_decided(decisions: Sequence[Decision]) -> str:
    """Count the decided benchmarks, for instance "5 of 6 decided"."""
    return f"{sum(d.verdict.is_decided for d in decisions)} of {len(decisions)} decided"
