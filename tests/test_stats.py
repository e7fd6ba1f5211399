"""Pure statistics against hand figures and properties."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlmi_bench.stats.intervals import (
    compute_clopper_pearson,
    compute_front,
    compute_kaplan_meier,
    compute_process_summary,
    compute_sd,
    compute_sign_interval,
    compute_t_interval,
    compute_wilson,
)


def test_wilson_of_the_published_test_figure() -> None:
    """1895 of 2007 has the Wilson 95 % interval [93.3, 95.3] %."""
    lo, hi = compute_wilson(1895, 2007)
    assert (round(lo, 3), round(hi, 3)) == (0.933, 0.953)


@given(st.integers(1, 5000), st.data())
def test_wilson_holds_the_estimate_and_mirrors(n: int, data: st.DataObject) -> None:
    """The interval holds the share, stays in [0, 1], and that of the failures is its mirror image."""
    k = data.draw(st.integers(0, n))
    lo, hi = compute_wilson(k, n)
    assert 0 <= lo <= k / n <= hi <= 1
    mirrored = compute_wilson(n - k, n)
    assert mirrored == pytest.approx((1 - hi, 1 - lo))


@pytest.mark.parametrize(("k", "n"), [(1, 0), (-1, 5), (6, 5)])
def test_wilson_refuses_nonsense(k: int, n: int) -> None:
    """Counts that cannot be are refused."""
    with pytest.raises(ValueError):
        compute_wilson(k, n)


def test_clopper_pearson_by_hand() -> None:
    """No event in n: the upper bound p solves (1 - p)^n = tail, 4.9 % for 60 at one-sided 95 %; published 4 of 20."""
    assert compute_clopper_pearson(0, 60, 0.90) == pytest.approx((0, 1 - 0.05 ** (1 / 60)))
    assert compute_clopper_pearson(30, 30) == pytest.approx((0.025 ** (1 / 30), 1))
    assert compute_clopper_pearson(4, 20) == pytest.approx((0.0573, 0.4366), abs=1e-4)


@given(st.integers(1, 60), st.data())
def test_clopper_pearson_inverts_the_binomial(n: int, data: st.DataObject) -> None:
    """At the lower bound, k or more events have probability 2.5 %; the failures have the mirrored interval."""
    k = data.draw(st.integers(1, n))
    lo, hi = compute_clopper_pearson(k, n)
    assert sum(math.comb(n, i) * lo**i * (1 - lo) ** (n - i) for i in range(k, n + 1)) == pytest.approx(0.025)
    assert compute_clopper_pearson(n - k, n) == pytest.approx((1 - hi, 1 - lo))


def test_t_interval_by_hand() -> None:
    """Mean 2, standard error 1/sqrt(3) and t(.975, 2) = 4.3027; one value bounds nothing."""
    half = 4.302653 / 3**0.5
    assert compute_t_interval([1, 2, 3], 0.025) == pytest.approx((2 - half, 2 + half))
    with pytest.raises(ValueError):
        compute_t_interval([1], 0.025)


@pytest.mark.parametrize(
    ("n", "alpha", "bounds"),
    [(3, 0.04, None), (5, 0.02, None), (5, 0.04, (0, 4)), (8, 0.02, (0, 7)), (8, 0.04, (1, 6)), (3, 0.13, (0, 2))],
)
def test_sign_interval_by_hand(n: int, alpha: float, bounds: tuple[int, int] | None) -> None:
    """Levels are 1/8 at 3, 1/32 at 5, 1/256 and 9/256 at 8; without an order statistic that keeps alpha, none."""
    assert compute_sign_interval(range(n), alpha) == bounds


@pytest.mark.parametrize("k", [-1, 6])
def test_clopper_pearson_refuses_nonsense(k: int) -> None:
    """Counts that cannot be are refused."""
    with pytest.raises(ValueError):
        compute_clopper_pearson(k, 5)


def test_sd_is_the_sample_sd() -> None:
    """Squared deviations are divided by n - 1, and one value has no spread."""
    assert compute_sd([1, 2, 3, 4]) == pytest.approx((5 / 3) ** 0.5)
    assert compute_sd([7]) is None


def test_kaplan_meier_by_hand() -> None:
    """Events at 1, 2, 4 with censoring at 3 among five runs: survival .8, .6, .3."""
    curve = compute_kaplan_meier([1, 2, 3, 4, 5], [True, True, False, True, False])
    assert curve.times == (1, 2, 4)
    assert curve.surviving == pytest.approx((0.8, 0.6, 0.3))
    assert curve.median == 4


def test_kaplan_meier_midway() -> None:
    """Half of four are there from 2 to 5: the median is 3.5, as of four numbers; 2 where no other ever gets there."""
    assert compute_kaplan_meier([1, 2, 5, 9], [True] * 4).median == 3.5
    assert compute_kaplan_meier([1, 2, 5, 9], [True, True, False, False]).median == 2


def test_kaplan_meier_without_half_has_no_median() -> None:
    """Where fewer than half of the runs reach the target the median is not known, rather than wrong."""
    assert compute_kaplan_meier([1, 9, 9], [True, False, False]).median is None


@given(st.lists(st.floats(0.1, 100), min_size=1, max_size=20))
def test_kaplan_meier_without_censoring_is_the_empirical_survival(times: list[float]) -> None:
    """With every event seen, survival after the last is zero and falls at every step."""
    curve = compute_kaplan_meier(times, [True] * len(times))
    assert curve.surviving[-1] == pytest.approx(0)
    assert list(curve.surviving) == sorted(curve.surviving, reverse=True)


def test_process_is_the_replicate() -> None:
    """One slow process of three does not move the median, however many rounds it ran."""
    summary = compute_process_summary([[1.0, 1.1, 0.9], [1.0], [1.6] * 100])
    assert (summary.value, summary.lo, summary.hi, summary.n) == (1.0, 1.0, 1.6, 3)
    assert summary.is_mixed


def test_processes_that_agree_are_not_mixed() -> None:
    """Within 15 % of each other the processes are of one regime."""
    assert not compute_process_summary([[1.0], [1.14]]).is_mixed


def test_front_by_hand() -> None:
    """Cheaper and better dominates; equal points both stay."""
    assert compute_front([1, 2, 2, 3], [5, 6, 4, 6]) == [True, True, False, False]
    assert compute_front([1, 1], [5, 5]) == [True, True]
