"""Correction of the tests of a family, for all its claims and for the looks at each."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dlmi_bench.stats.equivalence import Within
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
    sides = []
    for side, nodes in enumerate((number_differences(tested, courses), list(range(len(tested))))):
        graph = make_graph([_is_primary(node, tested, nodes) for node in range(max(nodes, default=-1) + 1)])
        p = [courses[claim.id].p[side] for claim in tested]
        levels = [weight * alpha / 2 for weight in find_weights(p, graph, alpha / 2, nodes)]
        corrected = zip(adjust_p(p, graph, nodes), levels, strict=True)
        sides.append(dict(zip([c.id for c in tested], corrected, strict=True)))
    tests = {}
    for claim in claims:
        level, own = min(alpha, claim.alpha or alpha) / 2, courses[claim.id].p
        (support, now), (refute, now_against) = (sides[i].get(claim.id, (own[i], level)) for i in (0, 1))
        tests[claim.id] = CorrectedTest((support, refute), level, (min(now, level), min(now_against, level)))
    return tests


def number_differences(claims: Sequence[OnTask], courses: Mapping[str, Course]) -> list[int]:
    """Number the differences that claims are about; those about the same one share its level where that is free.

    It is free for "above c" and "within m either way" with c < m. Both are wrong only of a difference of -m or less,
    and whatever supports either says that it is more than -m: one error of one test is all that can happen. What
    speaks against them may err on both sides and shares nothing.
    """
    found: dict[tuple[str, ...], list[OnTask]] = {}
    for claim in claims:
        found.setdefault(claim.difference, []).append(claim)
    free = {name for name, own in found.items() if name and _may_share([courses[claim.id] for claim in own])}
    keys = [claim.difference if claim.difference in free else (claim.id,) for claim in claims]
    numbers = {key: i for i, key in enumerate(dict.fromkeys(keys))}
    return [numbers[key] for key in keys]


def _may_share(courses: Sequence[Course]) -> bool:
    """Tell whether the limits of all claims that are one-sided lie below those of all that are two-sided."""
    pairs = [
        (isinstance(c.estimate, Within), c.threshold) for course in courses for c in course.last.finding.comparisons
    ]
    above, within = ([limit for is_within, limit in pairs if is_within is side] for side in (False, True))
    return max(above, default=-math.inf) < min(within, default=math.inf)


def _is_primary(node: int, claims: Sequence[OnTask], nodes: Sequence[int]) -> bool:
    """Tell whether a primary claim is among those of a node."""
    return any(claim.role == "primary" for claim, own in zip(claims, nodes, strict=True) if own == node)
