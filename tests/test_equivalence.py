"""Equivalence against scipy's one-sided tests, by hand, and its error rates where it is hardest."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from dlmi_bench.stats.equivalence import Within
from dlmi_bench.stats.estimates import Estimate, Mean, MedianEstimate, VarianceSource, estimate_mean

VALUES = st.lists(st.floats(-50, 50).map(lambda x: round(x, 3)), min_size=3, max_size=9, unique=True)
N_SIMULATED, LEVEL = 2000, 0.025


@given(VALUES, st.floats(0.01, 60))
def test_p_is_that_of_two_one_sided_t_tests(values: list[float], margin: float) -> None:
    """Support takes the larger of two p-values, refutation twice the smaller of the two opposite ones."""
    one = {(m, side): stats.ttest_1samp(values, m, alternative=side).pvalue
           for m in (-margin, margin) for side in ("less", "greater")}  # fmt: skip
    wanted = (
        max(one[-margin, "greater"], one[margin, "less"]),
        min(1.0, 2 * min(one[-margin, "less"], one[margin, "greater"])),
    )
    assert Within(estimate_mean(values, "seeds")).compute_p(margin) == pytest.approx(wanted, rel=1e-6, abs=1e-12)


@given(VALUES, st.floats(0.01, 60), st.sampled_from([0.05, 0.01]))
def test_support_is_an_interval_within_the_margin(values: list[float], margin: float, alpha: float) -> None:
    """The 1 - alpha interval lies within the margin exactly where the p-value is at most alpha / 2."""
    found = Within(estimate_mean(values, "seeds"))
    lo, hi = found.compute_interval(alpha)
    if min(abs(lo + margin), abs(hi - margin)) > 1e-6:
        assert (found.compute_p(margin)[0] <= alpha / 2) == (-margin < lo and hi < margin)


def test_sides_are_alike() -> None:
    """The same estimate with the other sign has the same p-values; no sign is favoured."""
    up, down = (Within(estimate_mean([s * v for v in (0.1, 0.4, 0.2, 0.9)], "seeds")) for s in (1, -1))
    assert up.compute_p(0.5) == pytest.approx(down.compute_p(0.5))
    assert up.find_needed(0.5, 0.01) == down.find_needed(0.5, 0.01) != {}


def test_infinite_effects_are_counted() -> None:
    """Nine of ten within, one infinite: at most P(9 or more heads of 10) = 11/1024; it is no mean."""
    values = (*np.linspace(-0.1, 0.1, 9).tolist(), math.inf)
    assert Within(MedianEstimate(values, "seeds")).compute_p(0.2) == (11 / 1024, 1.0)


def estimate(value: float) -> Mean:
    """Five seeds with a standard deviation of 1."""
    return Mean(value, (VarianceSource("seeds", 1.0, 5),))


@pytest.mark.parametrize(("value", "is_within"), [(0.0, True), (-0.2, True), (0.7, False), (-0.7, False)])
def test_needed_seeds_decide_and_one_less_does_not(value: float, is_within: bool) -> None:
    """Both one-sided tests within a margin of .5, one of the opposite ones beyond it, by the t distribution itself."""
    n = Within(estimate(value)).find_needed(0.5, LEVEL)["seeds"]

    def compute_p(n: int) -> float:
        gap = 0.5 - abs(value)
        return float(stats.t.sf(abs(gap) * math.sqrt(n), n - 1)) * (1 if is_within else 2)

    assert compute_p(n) <= LEVEL < compute_p(n - 1)


def test_at_the_margin_nothing_decides() -> None:
    """No number of seeds tells a difference of just the margin from one beside it; other sources are named."""
    assert Within(estimate(0.5)).find_needed(0.5, LEVEL) == {}
    both = Mean(0.0, (VarianceSource("seeds", 0.01, 5), VarianceSource("examples", 9.0, 1000)))
    assert list(Within(both).find_needed(0.5, LEVEL)) == ["examples"]


def find_rates(true: float, sd: float, margin: float) -> tuple[float, float]:
    """Shares of simulated sessions of five seeds that support and that refute."""
    draws = np.random.default_rng(4).normal(true, sd, (N_SIMULATED, 5)).tolist()
    p = np.array([Within(estimate_mean(row, "seeds")).compute_p(margin) for row in draws])
    support, refute = (p <= LEVEL).mean(0)
    return float(support), float(refute)


@pytest.mark.parametrize("sd", [0.1, 1.0, 10.0])
@pytest.mark.parametrize("true", [1.0, -1.0])
def test_errors_at_the_margin(true: float, sd: float) -> None:
    """A difference of the margin itself is called within, or beyond, in at most 2.5 %, give or take 3 errors."""
    most = LEVEL + 3 * math.sqrt(LEVEL * (1 - LEVEL) / N_SIMULATED)
    support, refute = find_rates(true, sd, 1.0)
    assert support <= most
    assert refute <= most
    if sd == 0.1:  # and where the other side is far, no fewer than the level grants
        assert support >= LEVEL - 3 * math.sqrt(LEVEL * (1 - LEVEL) / N_SIMULATED)


def test_equal_arms_are_rarely_called_different() -> None:
    """Noise of many margins, which either opposite test could take for a difference: without the factor 2 in 5 %."""
    assert find_rates(0.0, 100.0, 1.0)[1] <= LEVEL + 3 * math.sqrt(LEVEL * (1 - LEVEL) / N_SIMULATED)


def test_power() -> None:
    """Equal arms with small noise are nearly always within, and far ones beyond."""
    assert find_rates(0.0, 0.2, 1.0)[0] > 0.99
    assert find_rates(3.0, 0.2, 1.0)[1] > 0.99


def test_growing_data_is_that_of_the_estimate() -> None:
    """Ten of forty seeds are a quarter of the information."""
    inner: Estimate = Mean(0.0, (VarianceSource("seeds", 1.0, 10),))
    assert Within(inner).compute_fraction(40) == inner.compute_fraction(40) == pytest.approx(0.25)
