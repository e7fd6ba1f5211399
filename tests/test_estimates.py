"""Estimates against hand figures, against each other and against simulated truth."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from dlmi_bench.gating.accuracy.seeds import compute_recipe_difference
from dlmi_bench.stats.estimates import (
    Estimate,
    Exact,
    Mean,
    MedianEstimate,
    Share,
    VarianceSource,
    estimate_accuracy,
    estimate_difference,
    estimate_mean,
)
from dlmi_bench.stats.intervals import compute_holm, compute_satterthwaite

VALUES = st.lists(st.floats(-50, 50).map(lambda x: round(x, 3)), min_size=3, max_size=9, unique=True)


def simulate(
    rng: np.random.Generator, accuracy: float, *, n_seeds: int = 5, n: int = 800, seed_sd: float = 0.005
) -> np.ndarray:
    """Correctness (seed, example): examples of their own difficulty, seeds of their own luck."""
    ease = rng.beta(accuracy * 2, (1 - accuracy) * 2, n)
    luck = rng.normal(0, seed_sd, (n_seeds, 1))
    return (rng.random((n_seeds, n)) < ease + luck).astype(float)


def test_holm_by_hand() -> None:
    """.005 x 4, .01 x 3, .03 x 2 and .04 held up by the one before; the order of the input stays."""
    assert compute_holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert compute_holm([0.6, 0.7]) == [1.0, 1.0]
    assert compute_holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_between_alone_and_bonferroni(p_values: list[float]) -> None:
    """Never smaller than alone, never larger than Bonferroni, and in the same order."""
    adjusted = compute_holm(p_values)
    for p, q in zip(p_values, adjusted, strict=True):
        assert p <= q <= min(1, p * len(p_values)) + 1e-12
    order = np.argsort(p_values, kind="stable")
    assert list(np.array(adjusted)[order]) == sorted(adjusted)


def test_holm_keeps_the_familywise_error() -> None:
    """20 true nulls, 2 000 families: one is rejected in 5 % of them, give or take 3 standard errors; alone in 64 %."""
    p = np.random.default_rng(1).random((2000, 20))
    wrong = np.mean([min(compute_holm(row)) <= 0.05 for row in p.tolist()])
    assert wrong == pytest.approx(0.05, abs=3 * math.sqrt(0.05 * 0.95 / 2000))
    assert np.mean(p.min(1) <= 0.05) > 0.6


def test_satterthwaite_by_hand() -> None:
    """Equal variances of two means of 5: (2 v)^2 / (2 v^2 / 4) = 8; one that vanishes leaves the other's 4."""
    assert compute_satterthwaite([0.3, 0.3], [5, 5]) == pytest.approx(8)
    assert compute_satterthwaite([0.3, 0.0], [5, 100]) == pytest.approx(4)
    assert compute_satterthwaite([0.0, 0.0], [5, 100]) == 4


def test_mean_is_the_t_test() -> None:
    """One source: interval and p-values are those of scipy's one-sample t-test."""
    values = [1.0, 2.5, 2.0, 4.0]
    estimate = estimate_mean(values, "seeds")
    assert estimate.compute_interval(0.05) == pytest.approx(stats.ttest_1samp(values, 0).confidence_interval(0.95))
    greater = stats.ttest_1samp(values, 1.0, alternative="greater").pvalue
    assert estimate.compute_p(1.0) == pytest.approx((greater, 1 - greater))


def test_needed_seeds_by_hand() -> None:
    """sd 1, mean .5 above: t = .5 sqrt(n) exceeds t(.975, n - 1) first at n = 18, whose p is below .025."""
    estimate = Mean(0.5, (VarianceSource("seeds", 1.0, 5),))
    assert estimate.find_needed(0.0, 0.025) == {"seeds": 18}
    assert stats.t.sf(0.5 * math.sqrt(18), 17) <= 0.025 < stats.t.sf(0.5 * math.sqrt(17), 16)
    assert Mean(0.0, (VarianceSource("seeds", 1.0, 5),)).find_needed(0.0, 0.025) == {}


def test_noise_of_one_seed_on_one_example_counts_once() -> None:
    """Variances of 1 and 1 that share .5 make 1.5; a shared 1.8 is the least there is; sums share nothing."""
    sources = VarianceSource("seeds", 3.0, 9), VarianceSource("examples", 2.0, 4)
    assert Mean(0.0, sources, (VarianceSource("both", 1.0, 2),)).error ** 2 == pytest.approx(1.5)
    assert Mean(0.0, sources, (VarianceSource("both", 3.0, 5),)).error ** 2 == pytest.approx(1.8)
    table = np.array([[0.1], [0.3], [0.2]]) + np.array([0.0, 0.5, 0.4, 0.1])
    assert estimate_accuracy(table).twice[0].sd == pytest.approx(0)
    flips = np.array([[1.0, 0.0], [0.0, 1.0]])  # nothing but noise: sums of squares of 1 with one degree of freedom
    assert estimate_accuracy(flips).twice[0].variance == pytest.approx(1 / 4)


def test_more_seeds_cannot_replace_examples() -> None:
    """Where the examples' error alone is too large only more of these decide."""
    estimate = Mean(0.01, (VarianceSource("seeds", 0.001, 5), VarianceSource("examples", 0.3, 1000)))
    assert list(estimate.find_needed(0.0, 0.025)) == ["examples"]


def test_nothing_varies_decides_nothing() -> None:
    """Equal values have no error to judge by."""
    assert estimate_mean([2.0, 2.0, 2.0], "seeds").compute_p(1.0) == (1.0, 1.0)
    with pytest.raises(ValueError, match="two seeds"):
        estimate_mean([2.0], "seeds")


def test_no_error_is_not_certainty() -> None:
    """All of 20 examples right in all seeds: the interval still reaches below 95 %."""
    lo, _ = estimate_accuracy(np.ones((5, 20))).compute_interval(0.05)
    assert lo < 0.95


def test_share_by_hand() -> None:
    """5 of 5 against one half: z = sqrt(5), Wilson [57, 100] %; at one in 2 400 ten of ten are enough."""
    share = Share(5, 5, "seeds")
    assert share.compute_interval(0.05) == pytest.approx((0.5655, 1.0), abs=1e-4)
    assert share.compute_p(0.5)[0] == pytest.approx(stats.norm.sf(math.sqrt(5)))
    assert share.find_needed(0.5, stats.norm.sf(math.sqrt(10))) == {"seeds": 10}


def test_sign_test_by_hand() -> None:
    """Four of five above: P(4 or more heads of 5) = 6/32; infinite values count as what they are."""
    middle = MedianEstimate((0.1, math.inf, 0.3, math.inf, -0.2), "seeds")
    assert middle.compute_p(0.0) == pytest.approx((6 / 32, 31 / 32))
    assert middle.compute_interval(0.05) == (-math.inf, math.inf)


@pytest.mark.parametrize("alpha", [0.05, 0.001])
@given(VALUES)
def test_interval_and_p_agree(alpha: float, values: list[float]) -> None:
    """A bound of the 1 - alpha interval, taken as threshold, has the p-value alpha / 2; beyond it the claim holds."""
    estimates: list[Estimate] = [estimate_mean(values, "seeds"), Share(len(values) - 1, len(values), "seeds")]
    for estimate in estimates:
        lo, hi = estimate.compute_interval(alpha)
        assert estimate.compute_p(lo)[0] == pytest.approx(alpha / 2, rel=1e-3)
        if hi < 1 or not isinstance(estimate, Share):
            assert estimate.compute_p(hi)[1] == pytest.approx(alpha / 2, rel=1e-3)
        assert lo <= estimate.value <= hi


@given(VALUES, st.floats(0.1, 10), st.floats(-20, 20))
def test_mean_moves_and_scales_with_its_values(values: list[float], factor: float, shift: float) -> None:
    """Bounds follow a change of unit."""
    lo, hi = estimate_mean(values, "seeds").compute_interval(0.05)
    moved = estimate_mean([factor * v + shift for v in values], "seeds").compute_interval(0.05)
    assert moved == pytest.approx((factor * lo + shift, factor * hi + shift), rel=1e-6, abs=1e-6)


def test_swapped_sides_mirror() -> None:
    """The difference the other source round has the mirrored bounds."""
    rng = np.random.default_rng(3)
    a, b = simulate(rng, 0.95), simulate(rng, 0.93)
    lo, hi = estimate_difference(a, b, is_paired=False).compute_interval(0.05)
    assert estimate_difference(b, a, is_paired=False).compute_interval(0.05) == pytest.approx((-hi, -lo))


def test_bounds_agree_with_the_gates_bootstrap() -> None:
    """Two sources to the same 90 % bounds, by variances and by resampling: within a tenth of their width."""
    rng = np.random.default_rng(5)
    for _ in range(5):
        a, b = simulate(rng, 0.95), simulate(rng, 0.94)
        lo, hi = estimate_difference(b, a, is_paired=False).compute_interval(0.1)
        other = compute_recipe_difference(a.astype(bool), b.astype(bool))
        assert (lo, hi) == pytest.approx((other.lo, other.hi), abs=0.1 * (hi - lo))


def test_two_way_interval_covers() -> None:
    """400 simulated tables at true 95 %: the 95 % interval holds it in at least 92 % (it errs to the wide side)."""
    rng = np.random.default_rng(7)
    bounds = [estimate_accuracy(simulate(rng, 0.95)).compute_interval(0.05) for _ in range(400)]
    share = np.mean([lo <= 0.95 <= hi for lo, hi in bounds])
    assert 0.92 <= share <= 0.999


def test_exact_has_no_doubt() -> None:
    """A count above the threshold is above; at it, it is not."""
    assert Exact(3.0).compute_p(2.0) == (0.0, 1.0)
    assert Exact(2.0).compute_p(2.0) == (1.0, 0.0)
