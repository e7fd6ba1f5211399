"""The intervals of the accuracy gate: published figures, properties, exact and simulated coverage."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.optimize import minimize_scalar
from scipy.stats import binomtest, multinomial

from dlmi_bench.gating.accuracy.convergence import Effort, compute_speedup_p
from dlmi_bench.gating.accuracy.difference import AccuracyDifference
from dlmi_bench.gating.accuracy.discordance import (
    Discordance,
    compute_discordance,
    compute_tango_difference,
    compute_tango_z,
)
from dlmi_bench.gating.accuracy.seeds import compute_recipe_difference

Z = 1.6448536  # one-sided 5 %


def test_counts_by_hand() -> None:
    """Of five examples one is lost, one gained, one wrong in another way: three changed."""
    labels, before, now = np.array([[0, 1, 2, 0, 1], [0, 0, 1, 0, 1], [1, 1, 0, 0, 1]])
    assert compute_discordance(before, now, labels) == Discordance(n_lost=1, n_gained=1, n_changed=3, n_examples=5)


def test_tango_of_the_published_example() -> None:
    """7 lost and 1 gained of 21 have the 95 % score interval [-.517, -.026] (Fagerland et al. 2014, airway data)."""
    difference = compute_tango_difference(Discordance(7, 1, 8, 21), confidence=0.975)
    assert (round(difference.lo, 3), round(difference.hi, 3)) == (-0.517, -0.026)


def test_tango_without_discordance() -> None:
    """Where nothing is lost or gained the bounds are -/+ z^2 / (n + z^2), not zero."""
    difference = compute_tango_difference(Discordance(0, 0, 3, 797))
    assert difference.hi == pytest.approx(Z**2 / (797 + Z**2), abs=1e-6)
    assert difference.lo == -difference.hi


@pytest.mark.parametrize(("lost", "gained", "delta"), [(7, 1, -0.1), (7, 1, 0.2), (0, 4, 0.01), (30, 12, -0.03)])
def test_tango_maximises_the_likelihood(lost: int, gained: int, delta: float) -> None:
    """The nuisance share in the statistic is the one that a numerical search finds."""
    n = 100

    def loss(p: float) -> float:
        cells = [p, p + delta, 1 - 2 * p - delta]
        counts = [lost, gained, n - lost - gained]
        return -sum(k * np.log(c) for k, c in zip(counts, cells, strict=True) if k)

    low = max(0, -delta) + 1e-12
    p = minimize_scalar(loss, bounds=(low, (1 - delta) / 2 - 1e-9), method="bounded", options={"xatol": 1e-12}).x
    expected = (gained - lost - n * delta) / np.sqrt(n * (2 * p + delta - delta**2))
    assert float(compute_tango_z(lost, gained, n, delta)) == pytest.approx(expected, rel=1e-3)


@given(st.integers(0, 40), st.integers(0, 40), st.integers(1, 2000))
def test_tango_swaps_and_holds_the_estimate(lost: int, gained: int, rest: int) -> None:
    """Swapping the sides negates the interval, and the estimate lies inside it, inside [-1, 1]."""
    n = lost + gained + rest
    there = compute_tango_difference(Discordance(lost, gained, lost + gained, n))
    back = compute_tango_difference(Discordance(gained, lost, lost + gained, n))
    assert (there.value, there.lo, there.hi) == (-back.value, -back.hi, -back.lo)
    assert -1 <= there.lo <= there.value <= there.hi <= 1


def compute_error_rates(n: int, margin: float, psi: float) -> tuple[float, float]:
    """Exact probabilities of PASS and of REGRESSED when the true loss is just `margin`, by all outcomes that matter."""
    p_lost, p_gained = (psi + margin) / 2, (psi - margin) / 2
    most = int(n * psi + 8 * np.sqrt(n * psi)) + 10
    lost, gained = (grid.ravel() for grid in np.mgrid[:most, :most])
    table = np.stack([lost, gained, n - lost - gained], axis=1)
    weights = multinomial.pmf(table, n, [p_lost, p_gained, 1 - psi])
    z = compute_tango_z(lost, gained, n, -margin)
    return float(weights[z > Z].sum()), float(weights[z < -Z].sum())


@pytest.mark.parametrize("n", [797, 2007])
@pytest.mark.parametrize("margin", [0.005, 0.01])
def test_tango_bounds_keep_their_level(n: int, margin: float) -> None:
    """At a true loss of just the margin, P(PASS) <= 5.1 % and P(REGRESSED) <= 6.5 %, by enumeration."""
    for psi in (1.2 * margin, 1.5 * margin, 2 * margin, 0.03, 0.06):
        passed, regressed = compute_error_rates(n, margin, psi)
        assert 0.03 < passed <= 0.051
        assert 0.04 < regressed <= 0.065


def test_recipe_difference_by_hand() -> None:
    """The difference is that of the mean accuracies, and psi the mean squared shift of an example."""
    baseline = np.array([[1, 1, 0, 0], [1, 1, 1, 0]], bool)
    candidate = np.array([[1, 0, 0, 0], [1, 0, 0, 0]], bool)
    difference = compute_recipe_difference(baseline, candidate)
    assert difference.value == pytest.approx(0.25 - 0.625)
    assert difference.psi == pytest.approx((0 + 1 + 0.25 + 0) / 4)


def test_recipe_bounds_of_a_normal_sample() -> None:
    """Where only seeds vary, the half-width is Welch's t quantile times the standard error, within 8 %."""
    rng = np.random.default_rng(3)
    n = 20_000
    tables = [np.array([np.arange(n) < n * (0.9 + 0.01 * rng.standard_normal()) for _ in range(40)]) for _ in range(2)]
    difference = compute_recipe_difference(*tables)
    variances = [t.mean(1).var(ddof=1) / 40 for t in tables]
    shift = tables[1].mean(0) - tables[0].mean(0)
    expected = 1.665 * np.sqrt(sum(variances) + shift.var(ddof=1) / n)
    assert (difference.hi - difference.lo) / 2 == pytest.approx(expected, rel=0.08)


tables = hnp.arrays(bool, st.tuples(st.just(5), st.just(12)))


@settings(max_examples=40)
@given(tables, tables)
def test_recipe_swaps(baseline: np.ndarray, candidate: np.ndarray) -> None:
    """Swapping the sides negates the interval; between equal accuracies only up to resampling noise."""
    there, back = compute_recipe_difference(baseline, candidate), compute_recipe_difference(candidate, baseline)
    assert there.value == -back.value
    tolerance = 1e-12 if there.value else 0.05
    assert (there.lo, there.hi) == pytest.approx((-back.hi, -back.lo), abs=tolerance)
    assert there.lo <= there.value <= there.hi


@settings(max_examples=40)
@given(tables, tables, st.randoms(use_true_random=False))
def test_recipe_ignores_order(baseline: np.ndarray, candidate: np.ndarray, random) -> None:
    """The order of the seeds and of the examples changes nothing, to the last bit."""
    seeds, examples = random.sample(range(5), 5), random.sample(range(12), 12)
    shuffled = compute_recipe_difference(baseline[seeds][:, examples], candidate[:, examples])
    assert shuffled == compute_recipe_difference(baseline, candidate)


def test_resolution_by_hand() -> None:
    """At 4 % disagreement 2007 examples resolve 1.31 points; one point takes 3434."""
    difference = AccuracyDifference(value=0, lo=-0.01, hi=0.01, psi=0.04, n_examples=2007)
    assert difference.resolvable_margin == pytest.approx(0.01308, abs=1e-5)
    assert difference.compute_n_needed(0.01) == 3434
    assert not difference.resolves(0.01)


@given(st.floats(1e-4, 1), st.floats(1e-3, 0.2))
def test_needed_examples_are_enough_and_no_more(psi: float, margin: float) -> None:
    """The n that is asked for resolves the margin, and one example less does not."""
    n = AccuracyDifference(0, 0, 0, psi, 1).compute_n_needed(margin)
    assert AccuracyDifference(0, 0, 0, psi, n).resolves(margin)
    assert n == 1 or not AccuracyDifference(0, 0, 0, psi, n - 1).resolves(margin)


def test_resolvable_margin_has_nine_tenths_power() -> None:
    """At the smallest margin that n resolves, an unchanged candidate passes in 89-91 % of all outcomes."""
    n, psi = 2007, 0.03
    margin = AccuracyDifference(0, 0, 0, psi, n).resolvable_margin
    lost, gained = (grid.ravel() for grid in np.mgrid[:120, :120])
    table = np.stack([lost, gained, n - lost - gained], axis=1)
    weights = multinomial.pmf(table, n, [psi / 2, psi / 2, 1 - psi])
    assert weights[compute_tango_z(lost, gained, n, -margin) > Z].sum() == pytest.approx(0.9, abs=0.015)


def make_efforts(*amounts: float, censored: int = 0) -> list[Effort]:
    return [Effort(a, i < len(amounts) - censored) for i, a in enumerate(amounts)]


def test_speedup_by_counting() -> None:
    """Five runs that all end before five others have one arrangement of 252; two that tie with two have all."""
    assert compute_speedup_p(make_efforts(6, 7, 8, 9, 10), make_efforts(1, 2, 3, 4, 5), 1) == pytest.approx(1 / 252)
    assert compute_speedup_p(make_efforts(3, 3), make_efforts(3, 3), 1) == 1


def test_speedup_is_measured_beyond_the_factor() -> None:
    """Runs twice as fast are significant against a factor of 1.5 and not against 2.5."""
    slow, fast = make_efforts(20, 21, 22, 23, 24), make_efforts(10, 10.5, 11, 11.5, 12)
    assert compute_speedup_p(slow, fast, 1.5) < 0.01
    assert compute_speedup_p(slow, fast, 2.5) > 0.9


def test_censored_runs_prove_nothing_that_was_not_seen() -> None:
    """A baseline stopped before the candidate's time is no evidence; one that ran longer without success is."""
    candidate = make_efforts(10, 11, 12, 13, 14)
    assert compute_speedup_p(make_efforts(5, 5, 5, 5, 5, censored=5), candidate, 1) > 0.5
    assert compute_speedup_p(make_efforts(30, 30, 30, 30, 30, censored=5), candidate, 1) == pytest.approx(1 / 252)


@settings(max_examples=40)
@given(st.lists(st.integers(1, 6), min_size=4, max_size=4), st.lists(st.integers(1, 6), min_size=3, max_size=3))
def test_speedup_p_is_a_share_of_arrangements(baseline: list[int], candidate: list[int]) -> None:
    """The p-value is a whole number of the 35 arrangements, and both directions together cover them all."""
    a, b = make_efforts(*baseline), make_efforts(*candidate)
    p, q = compute_speedup_p(a, b, 1), compute_speedup_p(b, a, 1)
    assert p * 35 == pytest.approx(round(p * 35))
    assert p + q >= 1


def test_speedup_false_alarms() -> None:
    """At 5 against 5 runs of one distribution, p <= .01 in about 1 % of 1 000 simulations or in fewer."""
    rng = np.random.default_rng(5)
    draws = np.ceil(rng.lognormal(3, 0.3, (1000, 10)))
    n_alarms = sum(compute_speedup_p(make_efforts(*d[:5]), make_efforts(*d[5:]), 1) <= 0.01 for d in draws)
    assert binomtest(n_alarms, 1000).proportion_ci(0.9, "exact").low < 0.01
    assert n_alarms < 20
