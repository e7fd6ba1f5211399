"""Pure statistics against hand figures and properties."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.stats import (
    compute_front,
    compute_kaplan_meier,
    compute_process_summary,
    compute_sd,
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
