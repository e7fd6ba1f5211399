"""Claims about one difference share its level: which do, what it gains, and that no error is more likely by it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from dlmi_bench.stats.equivalence import Within
from dlmi_bench.stats.estimates import estimate_mean
from dlmi_reports.claims.comparisons import Comparison, Finding, show_points
from dlmi_reports.claims.correction import correct_family, number_differences
from dlmi_reports.claims.file import ClaimFile, load_claims
from dlmi_reports.claims.looks import Course, Look
from dlmi_reports.claims.predicate import OnTask

MARGIN, N_SEEDS = 1.0, 6
ARMS = {"model": "vgg16-c+synthetic", "control_model": "vgg16-c"}
BETTER: dict[str, Any] = {"kind": "paired", **ARMS}
ALIKE: dict[str, Any] = {"kind": "bounded", "margin": 0.05, **ARMS}


def make_claims(*rows: dict[str, Any]) -> list[OnTask]:
    """Claims with names of their own."""
    common = {"sentence": "It is so.", "source": "us", "task": "spect"}
    file = ClaimFile.model_validate({"claim": [{"id": f"c{i}", **common, **row} for i, row in enumerate(rows)]})
    return [claim for claim in file.claim if isinstance(claim, OnTask)]


def follow(claims: Sequence[OnTask], values: Sequence[float], limits: Sequence[float]) -> dict[str, Course]:
    """One look at claims about the same values; `bounded` and `equivalent` ones are two-sided."""
    estimate, courses = estimate_mean(values, "seeds"), {}
    for claim, limit in zip(claims, limits, strict=True):
        own = Within(estimate) if claim.kind in ("bounded", "equivalent") else estimate  # type: ignore[attr-defined]
        found = Finding((Comparison("difference", own, limit, show_points, ""),))
        courses[claim.id] = Course((Look(len(values), found, 1.0),))
    return courses


def number(*rows: dict[str, Any], limits: Sequence[float]) -> list[int]:
    claims = make_claims(*rows)
    return number_differences(claims, follow(claims, [0.0, 0.1, 0.2], limits))


def test_same_arms_and_metric_are_one_difference() -> None:
    """Of another metric, another control or several opponents there is no common difference."""
    other = BETTER | {"metric": "validation_accuracy"}
    assert number(BETTER, ALIKE, other, limits=[0, 0.05, 0]) == [0, 0, 1]
    assert number(BETTER, ALIKE | {"control_model": "resnet-c"}, limits=[0, 0.05]) == [0, 1]
    not_worse = {"kind": "non_inferior", "model": "vgg16-c", "margin": 0.01}
    equal = {"kind": "equivalent", "model": "vgg16-c", "margin": 0.02}
    both, one = {"against": ["resnet-c", "vit-c"]}, {"against": ["resnet-c"]}
    assert number(not_worse | one, equal | one, limits=[-0.01, 0.02]) == [0, 0]
    assert number(not_worse | both, equal | both, limits=[-0.01, 0.02]) == [0, 1]


def test_limits_that_cross_share_nothing() -> None:
    """ "Above 2" and "within 1" are wrong together from 1 to 2 too, by two tests on two sides."""
    assert number(BETTER, ALIKE, limits=[0.02, 0.01]) == [0, 1]
    assert number(BETTER, ALIKE, limits=[0.0099, 0.01]) == [0, 0]


def test_equivalence_has_the_level_of_the_primary_claim_on_its_difference() -> None:
    """Alone as a secondary claim it would have a fifth of the level; refuted, both are tests of their own."""
    claims = make_claims(BETTER, ALIKE | {"role": "secondary"}, BETTER | {"metric": "validation_accuracy"})
    courses = follow(claims[:2], [-0.1, 0.0, 0.1], [0.0, 0.05]) | follow(claims[2:], [-0.1, 0.0, 0.1], [0.0])
    tests = correct_family(claims, courses, 0.05)
    p = courses["c1"].p
    assert tests["c1"].p[0] == pytest.approx(2 * p[0])
    assert [tests[name].now[0] for name in ("c0", "c1", "c2")] == pytest.approx([0.0125] * 3)
    assert [tests[name].now[1] for name in ("c0", "c1", "c2")] == pytest.approx([0.01, 0.005, 0.01])


@pytest.mark.parametrize("truth", [-3 * MARGIN, -MARGIN, 0.0, 0.5 * MARGIN, MARGIN])
@pytest.mark.parametrize("sd", [0.4, 2.0])
def test_no_truth_makes_errors_more_likely(truth: float, sd: float) -> None:
    """Any wrong SUPPORTED of "above 0", "above -0.5" and "within 1" in at most 2.5 %, at the worst truths too."""
    claims = make_claims(BETTER, BETTER, ALIKE)
    limits, rng, n = [0.0, -0.5 * MARGIN, MARGIN], np.random.default_rng(7), 1500
    is_true = [truth > 0, truth > -0.5 * MARGIN, abs(truth) < MARGIN]
    n_wrong = 0
    for _ in range(n):
        courses = follow(claims, list(rng.normal(truth, sd, N_SEEDS)), limits)
        assert number_differences(claims, courses) == [0, 0, 0]
        tests = correct_family(claims, courses, 0.05)
        supported = [test.is_decided and test.side == 0 for test in tests.values()]
        n_wrong += any(said and not true for said, true in zip(supported, is_true, strict=True))
    assert n_wrong / n < 0.025 + 3 * np.sqrt(0.025 * 0.975 / n)


def test_course_shares_levels_where_one_claim_explains_another() -> None:
    """In the course's own file each "raises" and "stabilises" has its equivalence beside it."""
    file = load_claims()
    tested = [claim for claim in file.claim if isinstance(claim, OnTask) and claim.difference]
    differences = {claim.id: claim.difference for claim in tested}
    same = [claim.id for claim in tested if differences.get(claim.nearest) == claim.difference]
    assert "transfer-vit-raises-accuracy" in same
    assert "preprocessing-stabilises" in same
    assert len(same) >= 14
