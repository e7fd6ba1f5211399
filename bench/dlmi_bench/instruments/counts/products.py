"""Result of one counter of multiply-accumulates, with the operators that it could not count."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Products:
    """Multiply-accumulates of convolutions and matrix products for one example, by one counter.

    Attributes:
        macs: None where the counter failed; `reason` says why.
        n_counted: Calls of operators that it has a formula for; None where it does not tell.
        uncounted: Calls by operator that might multiply and have no formula.
        n_activations: Elements of the outputs of the counted operators; None where it does not tell.
        notes: What a reader of the figure must know.
    """

    counter: str
    source: str
    macs: int | None
    n_counted: int | None = None
    uncounted: dict[str, int] = field(default_factory=dict)
    n_activations: int | None = None
    reason: str = ""
    notes: tuple[str, ...] = ()

    @property
    def coverage(self) -> float | None:
        """Share of the calls that might multiply for which there was a formula."""
        if self.n_counted is None:
            return None
        n_calls = self.n_counted + sum(self.uncounted.values())
        return self.n_counted / n_calls if n_calls else 1.0


def select_uncounted(operators: Iterable[str], free: frozenset[str] = frozenset()) -> dict[str, int]:
    """Calls by operator, sorted, of those that are not known to be free of convolutions and matrix products."""
    return dict(sorted(Counter(name for name in operators if name not in free).items()))
