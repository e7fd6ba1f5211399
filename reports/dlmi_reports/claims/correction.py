"""Correction of the tests of a family, for all its claims and for the looks at each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dlmi_bench.stats.families import adjust_p, find_weights, make_graph
from dlmi_reports.claims.looks import Course
from dlmi_reports.claims.predicate import OnTask

Pair = tuple[float, float]  # for and against a claim


@dataclass(frozen=True)
class CorrectedTest:
    """Test of one claim of a family.

    Attributes:
        p: P-values, corrected for looks and family.
        level: Level of either side.
        now: Levels at which each side is tested while the others are as they are, before the share of a look.
    """

    p: Pair
    level: float
    now: Pair

    @property
    def side(self) -> int:
        """Side that the estimate is on: 0 for, 1 against the claim."""
        return int(self.p[1] < self.p[0])

    @property
    def is_decided(self) -> bool:
        return self.p[self.side] <= self.level


def correct_family(claims: Sequence[OnTask], courses: Mapping[str, Course], alpha: float) -> dict[str, CorrectedTest]:
    """Correct the tests of one family, each side at half of its level; exact claims are no tests and stay as they are.

    Args:
        claims: Claims of the family that have looks.
        courses: Looks at each claim by its id.
    """
    tested = [claim for claim in claims if not courses[claim.id].last.finding.is_exact]
    graph = make_graph([claim.role == "primary" for claim in tested])
    sides = []
    for side in (0, 1):
        p = [courses[claim.id].p[side] for claim in tested]
        levels = [weight * alpha / 2 for weight in find_weights(p, graph, alpha / 2)]
        sides.append(dict(zip([c.id for c in tested], zip(adjust_p(p, graph), levels, strict=True), strict=True)))
    tests = {}
    for claim in claims:
        level, own = min(alpha, claim.alpha or alpha) / 2, courses[claim.id].p
        (support, now), (refute, now_against) = (sides[i].get(claim.id, (own[i], level)) for i in (0, 1))
        tests[claim.id] = CorrectedTest((support, refute), level, (min(now, level), min(now_against, level)))
    return tests
