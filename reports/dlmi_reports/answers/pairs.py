"""Verdicts on pairs of algorithms: which is better, which are alike, and what would decide the rest."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from dlmi_reports.claims.kinds.bounded import Bounded
from dlmi_reports.claims.kinds.paired import Paired
from dlmi_reports.claims.verdicts import ClaimVerdict, Judgement, Verdicts


@dataclass(frozen=True)
class PairVerdict:
    """Verdicts on one pair.

    Attributes:
        difference: Accuracy of the first minus that of the second, with its interval, as text.
        is_better, is_alike: Whether the first was shown to be better, and both to differ by less than the margin.
        decides, decides_alike: What would decide the two; empty where they are decided.
    """

    first: str
    second: str
    difference: str
    is_better: bool
    is_alike: bool
    margin: float
    decides: str
    decides_alike: str

    @property
    def key(self) -> tuple[str, str]:
        return self.first, self.second

    @property
    def verdict(self) -> str:
        """The verdict in a word."""
        return "better" if self.is_better else "alike" if self.is_alike else "open"

    @property
    def said(self) -> str:
        """The verdict in words."""
        margin = f"less than {100 * self.margin:.4g} {'point' if round(100 * self.margin, 9) == 1 else 'points'}"
        if self.is_better:
            return f"{self.first} is better" + (f", by {margin}" if self.is_alike else "")
        if self.is_alike:
            return f"alike: {margin} either way"
        return f"open which is better: {self.decides}. Open whether alike: {self.decides_alike}"


def list_pairs(verdicts: Verdicts) -> list[PairVerdict]:
    """List the pairs of which one claim says that a model is better, and its nearest that both are alike; best first.

    The more accurate of each pair is its first: it is better where the claim is supported, or refuted the other way.
    """
    found = [
        _make_pair(judged, verdicts.get(judged.claim.nearest))
        for judged in verdicts.judgements
        if isinstance(judged.claim, Paired)
        and judged.claim.nearest
        and isinstance(verdicts.get(judged.claim.nearest).claim, Bounded)
        and judged.finding
    ]
    wins = Counter(pair.first for pair in found)
    return sorted(found, key=lambda pair: (-wins[pair.first], -wins[pair.second]))


def _make_pair(better: Judgement, alike: Judgement) -> PairVerdict:
    assert isinstance(better.claim, Paired)
    assert isinstance(alike.claim, Bounded)
    assert better.finding is not None
    (comparison,) = better.finding.comparisons
    value, (lo, hi) = comparison.estimate.value, comparison.estimate.compute_interval(better.alpha)
    first, second, is_turned = better.claim.model, better.claim.control_model, value < 0
    return PairVerdict(
        second if is_turned else first,
        first if is_turned else second,
        comparison.show(*((-value, -hi, -lo) if is_turned else (value, lo, hi))),
        better.verdict is (ClaimVerdict.refuted if is_turned else ClaimVerdict.supported),
        alike.verdict is ClaimVerdict.supported,
        alike.claim.margin or 0.0,
        better.decides,
        alike.decides,
    )


def describe_pairs(pairs: Iterable[PairVerdict]) -> Iterator[str]:
    """Say whom the first of all was shown to be better than, whom it equals, and what is open."""
    found = list(pairs)
    if not found:
        return
    best = found[0].first
    own = [pair for pair in found if pair.first == best]
    if better := [pair.second for pair in own if pair.is_better]:
        yield f"{best} is shown to be more accurate than {_join(better)}."
    if alike := [pair.second for pair in own if pair.is_alike and not pair.is_better]:
        yield f"{best} is shown to differ from {_join(alike)} by less than {100 * own[0].margin:.4g} points."
    if still := [pair.second for pair in own if not (pair.is_alike or pair.is_better)]:
        yield f"That {best} is more accurate than {_join(still)} is not shown."


def _join(names: list[str]) -> str:
    *rest, last = names
    return f"{', '.join(rest)} and {last}" if rest else last
