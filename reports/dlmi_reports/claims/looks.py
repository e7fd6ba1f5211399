"""A claim at each look: what its seeds showed then, and the share of the level that the look paid.

An earlier look is computed again from the first seeds, so that a verdict depends on the stored results and the planned
looks only, and a claim that one look decided stays decided.
"""

from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property

from dlmi_bench.stats.looks import compute_spent, list_looks, predict, share_level
from dlmi_reports.claims.comparisons import Finding
from dlmi_reports.claims.evidence import Evidence
from dlmi_reports.claims.predicate import OnTask
from dlmi_reports.results.arrays import UnmeasuredError

FUTILE = 0.1  # probability of a decision below which more seeds are not worth their time


@dataclass(frozen=True)
class Look:
    """One look at a claim.

    Attributes:
        share: Of the claim's level; all looks together have 1 at most.
    """

    n_seeds: int
    finding: Finding
    share: float

    @cached_property
    def p(self) -> tuple[float, float]:
        """P-values for and against the claim that pay for all looks."""
        found = self.finding.p_support, self.finding.p_refute
        support, refute = (min(1.0, p / self.share) if self.share else 1.0 for p in found)
        return support, refute

    def compute_width(self, alpha: float) -> float:
        """Width of the widest interval of its comparisons, at the look's share of `alpha`."""
        bounds = [c.estimate.compute_interval(alpha * self.share) for c in self.finding.comparisons]
        return max(hi - lo for lo, hi in bounds)


@dataclass(frozen=True)
class Course:
    """All looks at a claim so far, and the numbers of seeds at which it will be looked at again.

    Attributes:
        is_synthetic: Whether the data is synthetic.
    """

    looks: tuple[Look, ...]
    later: tuple[int, ...] = ()
    is_synthetic: bool = False

    @property
    def last(self) -> Look:
        return self.looks[-1]

    @property
    def p(self) -> tuple[float, float]:
        """Smallest p-values for and against the claim of all looks."""
        support, refute = (min(look.p[side] for look in self.looks) for side in (0, 1))
        return support, refute

    def find_decisive(self, side: int) -> Look:
        """Find the look with the smallest p-value for (0) or against (1) the claim."""
        return min(self.looks, key=lambda look: look.p[side])

    def find_narrowest(self, alpha: float) -> Look:
        """Find the look with the narrowest interval, the last of those that are alike.

        Each look's is at its share of `alpha`, so that those of all looks hold together, and any may be shown.
        """
        paid = [look for look in reversed(self.looks) if look.share > 0]
        return min(paid, key=lambda look: look.compute_width(alpha))

    def list_chances(self, levels: tuple[float, float]) -> dict[int, float]:
        """Predict for each later look how probably it decides, if the estimates do not change.

        Args:
            levels: At which the claim is supported and refuted now.
        """
        if not self.later:
            return {}
        finding, most = self.last.finding, self.later[-1]
        spent, chances = max(compute_spent(look.finding.compute_fraction(most)) for look in self.looks), {}
        for n_seeds in self.later:
            growths = [1 / c.estimate.compute_fraction(n_seeds) for c in finding.comparisons]
            now = max(spent, compute_spent(finding.compute_fraction(most) / finding.compute_fraction(n_seeds)))
            share, spent = now - spent, now
            pairs = [(c.p, growth) for c, growth in zip(finding.comparisons, growths, strict=True)]
            support = min(predict(p[0], growth, levels[0] * share) for p, growth in pairs)
            refute = max(predict(p[1], growth, levels[1] * share / len(pairs)) for p, growth in pairs)
            chances[n_seeds] = max(support, refute)
        return chances


def follow(claim: OnTask, evidence: Evidence, planned: tuple[int, ...]) -> Course:
    """Look at a claim at each of the planned numbers of seeds that all its models have.

    Raises:
        UnmeasuredError: the store holds too little.
    """
    n_seeds, finding = evidence.count_seeds(claim), _find(claim, evidence)
    is_synthetic = evidence.is_synthetic(claim.task)
    if not (finding.samples_seeds and planned):
        return Course((Look(n_seeds, finding, 1.0),), is_synthetic=is_synthetic)
    *earlier, last = list_looks(n_seeds, planned)
    found = {}
    for n in earlier:
        with suppress(UnmeasuredError):  # too few for this claim
            found[n] = _find(claim, evidence.look_back(n))
    # Of a model that has more, for another claim's sake, no more are taken: the look is the same once all have them.
    found[last] = _find(claim, evidence.look_back(last))
    shares = share_level([each.compute_fraction(max(planned)) for each in found.values()])
    looks = [Look(n, each, share) for (n, each), share in zip(found.items(), shares, strict=True)]
    return Course(tuple(looks), tuple(n for n in planned if n > last), is_synthetic)


def _find(claim: OnTask, evidence: Evidence) -> Finding:
    """Compare what is there with what is claimed, with what makes the intervals too narrow."""
    found = claim.find(evidence)
    return replace(found, notes=(*found.notes, *evidence.list_doubts(claim)))
