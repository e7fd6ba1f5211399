"""Simulated studies: that they are what a store would give, their figures, and that they see a wrong correction."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from dlmi_bench.selftest import studies
from dlmi_bench.selftest.experiments import DrawnEvidence, Setting, cut, draw_evidence, follow_all, run_study
from dlmi_bench.selftest.rows import Row, make_mean
from dlmi_bench.selftest.studies import AT_LIMIT, NULL, ONE, PRIMARY, TRUE, Scenario, make_file, simulate
from dlmi_bench.stats.estimates import SEEDS, Mean
from dlmi_bench.stats.families import Graph
from dlmi_bench.stats.looks import LOOKS
from dlmi_reports.claims import correction, looks
from dlmi_reports.claims.comparisons import Finding
from dlmi_reports.claims.file import Family
from dlmi_reports.claims.verdicts import ClaimVerdict, judge_courses
from dlmi_reports.results.load import Results, TaskResults

FEW = Setting(200, 0.01)


def draw(n_seeds: int = LOOKS[-1]) -> DrawnEvidence:
    """The first seeds of one study."""
    drawn = draw_evidence(np.random.default_rng(1), FEW)
    (task,) = drawn.results.tasks.values()
    models = {name: model.take(n_seeds) for name, model in task.models.items()}
    tables = {name: table[:n_seeds] for name, table in drawn.tables.items()}
    return DrawnEvidence(Results({task.name: TaskResults(task.name, models)}, [], [], []), tables)


@pytest.mark.parametrize("n_seeds", LOOKS)
def test_looks_so_far_are_those_of_a_store_with_no_more(n_seeds: int) -> None:
    """What later looks would show changes nothing: the same p-values, shares, chances and intervals."""
    file = make_file(AT_LIMIT)
    courses = follow_all(file, draw())
    for name, course in follow_all(file, draw(n_seeds)).items():
        was = cut(courses[name], n_seeds)
        assert [look.share for look in was.looks] == [look.share for look in course.looks]
        assert (was.p, was.later) == (course.p, course.later)
        assert was.list_chances((0.02, 0.02)) == course.list_chances((0.02, 0.02))


def test_truth_lies_as_far_above_the_limits_as_is_said() -> None:
    """Over many seeds and examples each estimate less its limit is the effect of its claim, within four errors."""
    effects = dict(zip(AT_LIMIT, (0.02, -0.01, 0.015, 0.2, 0.0, -0.02), strict=True))
    drawn = draw_evidence(np.random.default_rng(2), Setting(20_000, 0.002))
    for name, course in follow_all(make_file(effects), drawn).items():
        (found,) = course.last.finding.comparisons
        assert isinstance(found.estimate, Mean)
        assert abs(found.estimate.value - found.threshold - effects[name]) < 4 * found.estimate.error
        assert found.estimate.error < 0.04


def test_decided_claims_stay_decided_until_the_study_ends() -> None:
    """No verdict changes while seeds are added, for itself or for others."""
    file = make_file(studies.EFFECTS)
    courses = follow_all(file, draw())
    before: dict[str, ClaimVerdict] = {}
    for n_seeds in LOOKS:
        verdicts = judge_courses(file, {name: cut(course, n_seeds) for name, course in courses.items()})
        now = {j.claim.id: j.verdict for j in verdicts.judgements if j.is_decided}
        assert before.items() <= now.items()
        before = now
    assert before
    ended = run_study(file, courses)
    assert {name for name, test in ended.tests.items() if test.is_decided} <= before.keys()


def test_a_study_ends_where_no_claim_is_likely_to_be_decided() -> None:
    """Open claims have a best chance below one in ten, or no look to come."""
    for ended in simulate(replace(NULL, setting=FEW), 5):
        for outcome in (ended.holm, ended.two_group):
            for name, test in outcome.tests.items():
                chances = outcome.courses[name].list_chances(test.now)
                assert test.is_decided or max(chances.values(), default=0.0) < 0.1
        assert set(ended.planned.counts.values()) == {LOOKS[0]}  # nothing is added to what was planned at once


def test_groups_are_those_of_the_claims() -> None:
    roles = {claim.id: claim.role for claim in make_file(AT_LIMIT, is_two_group=True).claim}
    assert {name for name, role in roles.items() if role == "primary"} == set(PRIMARY)
    assert {claim.role for claim in make_file(AT_LIMIT).claim} == {"primary"}


def test_bounds_are_those_that_are_printed() -> None:
    """The bounds of open claims, at the level that holds together for all six, are the verdicts' words."""
    file = make_file(AT_LIMIT)
    courses = follow_all(file, draw())
    opened = [j for j in judge_courses(file, courses).judgements if not j.is_decided]
    assert len(opened) > 3
    for judged in opened:
        look = courses[judged.claim.id].find_narrowest(0.05)
        (comparison,) = look.finding.comparisons
        assert judged.bound == comparison.describe_bound(0.05 / 6 * look.share)
        assert judged.finding is look.finding


def test_mean_by_hand() -> None:
    """Of 1, 2, 3 the mean is 2 -/+ 4.303 x 1 / sqrt 3."""
    row = make_mean("studies", "x", [1.0, 2.0, 3.0], lowest=0.0, highest=3.0)
    assert (row.value, row.lo, row.hi) == pytest.approx((2.0, -0.4841, 4.4841), abs=1e-4)
    assert row.verdict == "met"


def find_rows(scenario: Scenario, n_studies: int) -> list[Row]:
    return list(studies.check_errors(scenario, simulate(scenario, n_studies)))


def test_few_studies_meet_their_targets() -> None:
    """One claim errs in at most 7 % of 150 studies, six in at most 5 % of 25, whose intervals hold."""
    assert all(row.value <= row.highest + 0.02 for row in find_rows(ONE, 150))
    ended = simulate(NULL, 25)
    rows = [*studies.check_errors(NULL, ended), *studies.check_intervals(NULL, ended)]
    assert len(rows) == 4
    assert all(row.is_met for row in rows), rows


def test_looks_that_do_not_pay_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of four looks at the whole level: one claim at its limit is decided wrongly in more than 10 %."""
    monkeypatch.setattr(looks, "share_level", lambda fractions: [1.0] * len(fractions))
    row = find_rows(ONE, 150)[0]
    assert row.value > 0.1
    assert row.verdict == "MISSED"


def test_claims_that_are_not_corrected_together_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Six claims, each at the whole level: any of them errs in more than 10 % of the studies."""
    monkeypatch.setattr(correction, "make_graph", lambda roles: Graph(np.ones(len(roles)), np.zeros((len(roles),) * 2)))
    rows = find_rows(NULL, 30)
    assert all(row.value > 0.1 and row.verdict == "MISSED" for row in rows)


def test_verdicts_of_the_point_estimate_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever takes the side of the estimate without its interval is wrong in every study."""

    def is_above(finding: Finding) -> bool:
        return all(c.estimate.value > c.threshold for c in finding.comparisons)

    monkeypatch.setattr(Finding, "p_support", property(lambda finding: float(not is_above(finding))))
    monkeypatch.setattr(Finding, "p_refute", property(lambda finding: float(is_above(finding))))
    assert [row.value for row in find_rows(NULL, 10)] == [1.0, 1.0]


def count_by_seeds(mean: Mean, n_seeds: int) -> float:
    return min(1.0, min(source.n for source in mean.sources if source.what == SEEDS) / n_seeds)


def test_information_by_seeds_alone_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """It errs no more often, but waits for seeds that tell nothing: their number misses its target.

    Examples are most of the variance. By the right count the first looks have most of the information and the level.
    """
    scenario = replace(TRUE, effects={name: e for name, e in TRUE.effects.items() if name != "faster"}, setting=FEW)
    right, wrong = [], []
    for found, count in ((right, Mean.compute_fraction), (wrong, count_by_seeds)):
        monkeypatch.setattr(Mean, "compute_fraction", count)
        rows = list(studies.check_effort(scenario, simulate(scenario, 10)))
        found += [row for row in rows if row.subject.startswith("seeds")]
    assert right[0].is_met
    assert wrong[0].verdict == "MISSED"
    assert wrong[0].value > right[0].value + 0.2


def judge_in_families(families: Callable[[str], str]) -> dict[str, ClaimVerdict]:
    """Verdicts on one study with claims in these families."""
    file = make_file(studies.EFFECTS)
    claims = tuple(claim.model_copy(update={"family": families(claim.id)}) for claim in file.claim)
    named: Sequence[str] = list(dict.fromkeys(claim.family for claim in claims))
    own = file.model_copy(update={"claim": claims, "family": tuple(Family(id=name) for name in named)})
    found = judge_courses(own, follow_all(file, draw(5)))
    assert [family.family.id for family in found.families] == named
    return {j.claim.id: j.verdict for j in found.judgements}


def test_families_in_one_decide_less() -> None:
    """Claims in families of their own, in two and in one: what the larger family decides is decided in the smaller."""
    alone, two, pooled = (
        {name for name, verdict in judge_in_families(rule).items() if verdict is not ClaimVerdict.inconclusive}
        for rule in (lambda name: name, lambda name: "primary" if name in PRIMARY else "other", lambda _: "all")
    )
    assert pooled <= two <= alone
    assert pooled < alone
