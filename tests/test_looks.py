"""Looks at growing numbers of seeds: what each pays, what the next is worth, which is shown."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlmi_bench.stats.equivalence import Within
from dlmi_bench.stats.estimates import Exact, Mean, Share, VarianceSource, estimate_mean
from dlmi_bench.stats.looks import compute_spent, list_looks, predict, share_level
from dlmi_reports.claims.comparisons import Comparison, Finding, show_points
from dlmi_reports.claims.looks import Course, Look
from test_claims import store as toy  # noqa: F401 - a fixture


def test_shares_by_hand() -> None:
    """ln(1 + (e - 1) f) at a quarter, a half and all of the information is .3574, .6201 and 1; a look pays the rest."""
    assert [compute_spent(f) for f in (0.0, 0.25, 0.5, 1.0)] == pytest.approx([0, 0.35737, 0.62011, 1], abs=1e-5)
    assert share_level([0.25, 0.5, 1.0]) == pytest.approx([0.35737, 0.26274, 0.37989], abs=1e-5)
    assert share_level([0.5, 0.25, 1.0]) == pytest.approx([0.62011, 0.0, 0.37989], abs=1e-5)
    assert share_level([1.0]) == [1.0]


@given(st.lists(st.floats(0, 2), max_size=8))
def test_shares_are_at_most_one_together(fractions: list[float]) -> None:
    """Whatever the estimates of the information do, no look pays less than nothing and all pay the largest at most."""
    shares = share_level(fractions)
    assert min(shares, default=0.0) >= 0
    assert sum(shares) == pytest.approx(compute_spent(max(fractions, default=0.0)))
    assert sum(shares) <= 1 + 1e-12


def test_looks_so_far() -> None:
    """The planned numbers that are reached; what there is before the first of them, or without a plan."""
    assert list_looks(10, (5, 10, 20)) == [5, 10]
    assert list_looks(12, (5, 10, 20)) == list_looks(19, (20, 10, 5)) == [5, 10]
    assert list_looks(99, (5, 10, 20)) == [5, 10, 20]
    assert list_looks(3, (5, 10)) == [3]
    assert list_looks(7, ()) == [7]


def test_prediction_by_hand() -> None:
    """z = 2 now, twice the information then, level 2.5 %: Phi((2 - 1.95996 / sqrt 2) / sqrt(1 - 1/2)) = Phi(.8684)."""
    assert predict(0.0227501, 2.0, 0.025) == pytest.approx(0.80742, abs=2e-5)
    assert predict(0.024, 1.0, 0.025) == 1.0
    assert predict(0.026, 1.0, 0.025) == 0.0
    assert [predict(p, 2.0, 0.025) for p in (0.0, 1.0)] == [1.0, 0.0]
    assert predict(0.01, 2.0, 0.0) == 0.0
    assert predict(1e-30, 2.0, 0.025) == 1.0
    assert predict(0.01, 2.0, 1e-30) < 1e-6


@pytest.mark.parametrize(("z", "growth", "level"), [(1.0, 4.0, 0.025), (2.2, 1.3, 0.005), (-0.5, 8.0, 0.02)])
def test_prediction_against_simulation(z: float, growth: float, level: float) -> None:
    """Effects as likely as the data leave them, then new data: the share of later tests that succeed, within 1 %."""
    from scipy.special import ndtri

    rng = np.random.default_rng(1)
    effects = z + rng.standard_normal(40_000)  # in standard errors of now
    new = effects + rng.standard_normal(40_000) / math.sqrt(growth - 1)
    later = (z + (growth - 1) * new) / growth * math.sqrt(growth)
    share = float((later >= ndtri(1 - level)).mean())
    p = 0.5 * math.erfc(z / math.sqrt(2))
    assert predict(p, growth, level) == pytest.approx(share, abs=0.01)


SEEDS, EXAMPLES = VarianceSource("seeds", 0.01, 5), VarianceSource("examples", 0.2, 400)
NOISE = VarianceSource("seeds x examples", 0.1, 2000)


def test_information_is_of_seeds_and_examples() -> None:
    """A variance is 2e-5 (seeds) + 1e-4 (examples) - 5e-6 (both), four times the seeds leave 5e-6 + 1e-4 - 1.25e-6.

    The fraction is 103.75 / 115; by seeds alone it is a quarter.
    """
    found = Mean(0.9, (SEEDS, EXAMPLES), (NOISE,))
    assert found.compute_fraction(20) == pytest.approx(103.75 / 115, rel=1e-12)
    assert Within(found).compute_fraction(20) == pytest.approx(103.75 / 115, rel=1e-12)
    assert found.compute_fraction(5) == 1.0
    assert found.compute_fraction(2) == 1.0  # it is never more than all
    assert Mean(0.9, (SEEDS,)).compute_fraction(20) == pytest.approx(0.25)


def test_information_that_seeds_do_not_add() -> None:
    """Processes, timed seeds and counts are not grown; a share of seeds and a sign test are by number."""
    for what in ("processes", "timed seeds", "examples"):
        assert estimate_mean([1.0, 2.0, 3.0], what).compute_fraction(40) == 1.0
    assert Exact(3.0).compute_fraction(40) == 1.0
    assert Share(4, 5, "seeds").compute_fraction(40) == pytest.approx(1 / 8)
    assert Share(4, 5, "examples").compute_fraction(40) == 1.0


def test_seeds_that_are_alike_do_not_spend_the_level() -> None:
    """Five equal values have no p-value: they count by number, so that 35 more that vary can still decide."""
    alike = Mean(0.5, (VarianceSource("seeds", 0.0, 5),))
    assert alike.compute_p(0.0) == (1.0, 1.0)
    assert alike.compute_fraction(40) == pytest.approx(1 / 8)


def test_whether_seeds_are_sampled_does_not_depend_on_what_they_showed() -> None:
    """Where noise exceeds the variance of seeds no more seeds would help, and the look has all information.

    Seeds 1e-6 + examples 1e-4 - noise 5e-6 is less than examples alone: once it was taken for a claim without looks.
    """
    quiet = Mean(0.9, (VarianceSource("seeds", math.sqrt(5) * 1e-3, 5), EXAMPLES), (NOISE,))
    assert quiet.compute_fraction(1_000_000) == 1.0
    assert quiet.samples_seeds
    assert Within(quiet).samples_seeds
    others = estimate_mean([1.0, 2.0], "processes"), Share(4, 5, "examples"), Exact(3.0)
    assert not any(estimate.samples_seeds for estimate in others)
    assert Finding((Comparison("x", quiet, 0.0, show_points, ""),)).samples_seeds


def make_look(n_seeds: int, value: float, share: float) -> Look:
    """A look at a difference above 0 with a standard error of .02 / sqrt(n)."""
    estimate = Mean(value, (VarianceSource("seeds", 0.02, n_seeds),))
    return Look(n_seeds, Finding((Comparison("x", estimate, 0.0, show_points, ""),)), share)


def test_course_takes_the_best_look_and_each_pays() -> None:
    """p is the smallest p-value over its share; a look without a share decides nothing."""
    looks = make_look(5, 0.03, 0.4), make_look(10, 0.001, 0.2), make_look(20, 0.05, 0.0)
    course = Course(looks)
    assert course.p[0] == pytest.approx(looks[0].finding.p_support / 0.4)
    assert looks[2].p == (1.0, 1.0)
    assert course.find_decisive(0) is looks[0]
    assert course.last is looks[2]
    assert Course(looks[:1]).p[0] == pytest.approx(course.p[0])


def test_chances_of_later_looks_by_hand() -> None:
    """10 of 40 seeds so far, spread over seeds only: the looks at 20 and 40 have twice and four times the information.

    Their shares are ln(1 + (e - 1) / 2) - ln(1 + (e - 1) / 4) and 1 - ln(1 + (e - 1) / 2).
    """
    course = Course((make_look(10, 0.008, 0.35737),), (20, 40))
    support, refute = course.last.finding.comparisons[0].p
    expected = {
        n: max(predict(support, growth, 0.0125 * share), predict(refute, growth, 0.025 * share))
        for n, growth, share in ((20, 2.0, 0.26274), (40, 4.0, 0.37989))
    }
    chances = course.list_chances((0.0125, 0.025))
    assert chances == pytest.approx(expected, abs=1e-4)
    assert 0.1 < chances[20] < chances[40] < 0.9
    assert Course(course.looks).list_chances((0.025, 0.025)) == {}


def test_narrowest_of_all_intervals_is_shown() -> None:
    """All hold together, so that any may be shown: ten seeds at a share of 1e-6 say less than five at all the rest."""
    five, ten, many = make_look(5, 0.01, 0.9), make_look(10, 0.01, 1e-6), make_look(400, 0.01, 0.09)
    assert Course((five, ten)).find_narrowest(0.05) is five
    assert Course((five, ten, many)).find_narrowest(0.05) is many
    assert Course((five,)).find_narrowest(0.05) is five
