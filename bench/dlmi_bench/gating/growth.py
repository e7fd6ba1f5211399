"""Growth of exact counts, and how much of it the settings allow."""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from fractions import Fraction

from dlmi_bench.gating.settings import COUNTS, AllowedGrowth, Settings
from dlmi_bench.gating.sides.baseline import Entry


@dataclass(frozen=True)
class Growth:
    """Change of one count from the baseline to the candidate.

    Attributes:
        allowed: Growth that the settings allow; None where they allow none.
    """

    name: str
    before: int
    now: int
    allowed: AllowedGrowth | None

    @property
    def is_within(self) -> bool:
        """True where the count did not grow, or not beyond what is allowed; exact, without rounding."""
        if self.now <= self.before or self.allowed is None:
            return self.now <= self.before
        return 100 * (self.now - self.before) <= self.before * Fraction(self.allowed.percentage.rstrip("% "))

    def describe(self) -> str:
        """Describe the change in one sentence, for instance "macs 10 -> 13"."""
        change = f"{self.name} {self.before} -> {self.now}"
        if self.is_within or self.allowed is None:
            return change
        return f"{change}: {self._format_change()}, more than the allowed {self.allowed.percentage}"

    def describe_allowance(self, *, is_used: bool) -> tuple[str, ...]:
        """Say how much of the allowance is used, or that it is not, with its reason; empty without an allowance."""
        if self.allowed is None:
            return ()
        if is_used:
            use = f"{self._format_change()} of the allowed {self.allowed.percentage}"
        else:
            use = f"the allowed {self.allowed.percentage} is not needed, remove it from the settings"
        return (f"{self.name}: {use} (reason: {self.allowed.reason.strip()})",)

    def _format_change(self) -> str:
        return f"{100 * (self.now / self.before - 1):+.1f} %" if self.before else "from nothing"


def list_unused(settings: Settings, entries: Sequence[Entry]) -> list[str]:
    """List the allowances for counts that no model of the baseline has, one a line."""
    return [
        f"allowance of {pattern!r} for {name}: no model of the baseline has this name and count, remove it"
        for pattern, allowance in settings.allow.items()
        for name in allowance.growths
        if not any(fnmatchcase(e.name, pattern) and (name in e.costs or name == COUNTS[-1]) for e in entries)
    ]
