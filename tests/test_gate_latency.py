"""Latency decisions by hand, by property, and on evidence that must not count."""

import math
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlmi_bench.gating.latency.decision import (
    INPROC,
    TWOPROC,
    Process,
    compute_interval,
    confirm_regression,
    count_more_processes,
    decide_latency,
)
from dlmi_bench.gating.verdicts import Decision, Verdict
from dlmi_bench.stats.ratios import compute_log_ratio
from regimes import make_process

logs = st.lists(st.floats(-0.5, 0.5), min_size=3, max_size=8)
times = st.lists(st.tuples(st.floats(1e-6, 1), st.floats(1e-6, 1)), min_size=1, max_size=30)
TIGHT = (-0.002, 0.0, 0.002)
RED = Decision("m", Verdict.REGRESSED, "slow", look=1, n_processes=3)


def decide(*log_ratios: float, **changes: float) -> Decision:
    return decide_latency("m", [make_process(x) for x in log_ratios], **changes)


def spread(centre: float, width: float) -> tuple[float, float, float]:
    """Three processes with this mean and a t-interval of about +-2.8 widths."""
    return centre - width, centre, centre + width


@pytest.mark.parametrize(
    ("centre", "width", "verdict"),
    [
        (math.log(1.1), 0.004, Verdict.REGRESSED),
        (0.0, 0.004, Verdict.PASS),
        (-0.015, 0.002, Verdict.PASS),
        (-0.03, 0.004, Verdict.IMPROVED),
        (-0.03, 0.013, Verdict.PASS),
        (math.log(1.07), 0.02, Verdict.INCONCLUSIVE),
        (math.log(1.03), 0.02, Verdict.INCONCLUSIVE),
    ],
)
def test_interval_decides(centre: float, width: float, verdict: Verdict) -> None:
    """Only an interval that lies wholly on one side of tau decides; the point estimate never does."""
    assert decide(*spread(centre, width)).verdict is verdict


def test_figures_of_a_decision_by_hand() -> None:
    """Three processes at +9, +10 and +11 log percent: the mean, and t(.98, 2) = 4.849 standard errors around it."""
    found = decide(0.09, 0.10, 0.11)
    half = 4.849 * 0.01 / math.sqrt(3)
    assert found.estimate == pytest.approx(math.exp(0.1))
    assert (found.lo, found.hi) == pytest.approx((math.exp(0.1 - half), math.exp(0.1 + half)), rel=1e-4)
    assert (found.n_processes, found.look, found.tau, found.notes) == (3, 1, 0.05, ())
    assert found.why == "+10.5 % [+7.5, +13.7], beyond the limit of +5.0 %"


def test_slower_candidate_reads_above_one() -> None:
    """The ratio is candidate over baseline."""
    assert compute_log_ratio([2.0], [3.0]) == pytest.approx(math.log(1.5))


def test_process_is_its_median_round() -> None:
    """A fifth of the rounds ten times slower moves nothing."""
    candidate_s = [1.0] * 8 + [10.0] * 2
    assert compute_log_ratio([1.0] * 10, candidate_s) == 0


def test_rounds_are_no_replicates() -> None:
    """Processes that disagree decide nothing, however many rounds agree within each of them."""
    long = [Process(*[list(series) * 100 for series in make_process(x).series]) for x in (0.02, 0.06, 0.13)]
    assert decide_latency("m", long).verdict is Verdict.INCONCLUSIVE


def test_tau_is_the_benchmarks_own() -> None:
    """A slowdown of 10 % passes where 15 % are allowed, and the positive control still has to be seen."""
    found = decide(*spread(math.log(1.1), 0.002), tau=0.15)
    assert (found.verdict, found.tau) == (Verdict.PASS, 0.15)
    blind = [make_process(x, slowed=0.0) for x in TIGHT]
    assert decide_latency("m", blind, tau=0.15, looks=(3,)).verdict is Verdict.INVALID


@pytest.mark.parametrize("tau", [0.0, -0.05, 1.0, math.nan])
def test_tau_that_is_no_fraction_is_refused(tau: float) -> None:
    """A limit of nothing, of everything or of no number is an error."""
    with pytest.raises(ValueError, match="tau"):
        decide(*TIGHT, tau=tau)


def test_one_slow_process_neither_accuses_nor_blocks() -> None:
    """One process of eight 1.6 x slower on one side: the sign test drops it, three and five are not enough to."""
    slow = [math.log(1.6), 0.001, -0.002, 0.0, 0.003, -0.001, 0.002, 0.0]
    assert [decide(*slow[:n]).verdict for n in INPROC] == [Verdict.INCONCLUSIVE, Verdict.INCONCLUSIVE, Verdict.PASS]
    assert decide(*slow[:3]).hi is None
    assert decide(*slow).notes == ("1 of 8 processes outlying: sign-test interval",)


def test_one_fast_process_does_not_hide_a_regression() -> None:
    """Seven processes of eight 10 % slower are a regression, whatever the eighth says."""
    assert decide(-0.47, *(0.095 + 0.001 * i for i in range(7))).verdict is Verdict.REGRESSED


def test_wide_sessions_keep_their_t_interval() -> None:
    """Where all processes scatter alike none of them is outlying, nor is one apart by less than tau."""
    assert compute_interval([-0.12, -0.06, 0.0, 0.05, 0.11], 0.05).n_outlying == 0
    assert compute_interval([0.0, 0.0001, 0.03], 0.05).n_outlying == 0


@given(times)
def test_swapping_sides_negates_the_ratio(pairs: list[tuple[float, float]]) -> None:
    """What is slower by a ratio one way is faster by it the other way."""
    base, other = zip(*pairs, strict=True)
    assert compute_log_ratio(base, other) == pytest.approx(-compute_log_ratio(other, base), abs=1e-12)


@given(times, st.floats(1e-3, 1e3))
def test_unit_of_time_does_not_matter(pairs: list[tuple[float, float]], factor: float) -> None:
    """Both sides in another unit, or on a machine that much slower, have the same ratio."""
    base, other = zip(*pairs, strict=True)
    scaled = compute_log_ratio([factor * t for t in base], [factor * t for t in other])
    assert scaled == pytest.approx(compute_log_ratio(base, other), abs=1e-12)


@given(logs)
def test_swapped_session_has_the_mirrored_interval(values: list[float]) -> None:
    """Negating every process negates the interval and swaps its ends."""
    here, there = compute_interval(values, 0.05), compute_interval([-x for x in values], 0.05)
    assert (there.lo, there.centre, there.hi) == pytest.approx((-here.hi, -here.centre, -here.lo))


@given(logs, st.randoms())
def test_order_of_processes_does_not_matter(values: list[float], order: random.Random) -> None:
    """A permutation of the processes changes no bound."""
    shuffled = order.sample(values, len(values))
    there, here = compute_interval(shuffled, 0.05), compute_interval(values, 0.05)
    assert (there.lo, there.centre, there.hi) == pytest.approx((here.lo, here.centre, here.hi))


def test_looks_go_on_until_decided() -> None:
    """An open verdict asks for the processes up to the next look, and for none after the last."""
    wide = [-0.1, 0.1, 0.0, 0.12, -0.11, 0.1, -0.1, 0.05]
    assert [count_more_processes(decide(*wide[:n])) for n in INPROC] == [2, 3, 0]
    assert count_more_processes(decide(*wide[:5], looks=TWOPROC), TWOPROC) == 3
    assert count_more_processes(decide(*TIGHT)) == 0
    assert count_more_processes(Decision("m", Verdict.INCONCLUSIVE)) == 0


@pytest.mark.parametrize("n", [0, 1, 2, 4])
def test_missing_processes_are_invalid(n: int) -> None:
    """A session that lost a process is not judged by those that are left, and asks for no more."""
    found = decide(*[0.0] * n)
    assert found.verdict is Verdict.INVALID
    assert f"{n} processes reported" in found.why
    assert count_more_processes(found) == 0


def test_one_process_is_no_session() -> None:
    """Not even declared looks let one or two processes decide."""
    assert decide(0.3, looks=(1, 3)).verdict is Verdict.INVALID
    assert decide(0.3, 0.3, looks=(2,)).verdict is Verdict.INVALID


@pytest.mark.parametrize("bad", [math.nan, 0.0, -1e-6, math.inf])
@pytest.mark.parametrize("series", ["baseline_s", "candidate_s", "twin_s", "slowed_s"])
def test_times_that_cannot_be_are_invalid(series: str, bad: float) -> None:
    """One NaN, zero, negative or infinite time in any series of any process."""
    good = make_process(0.0)
    spoiled = replace(good, **{series: [*getattr(good, series)[:-1], bad]})
    found = decide_latency("m", [good, good, spoiled])
    assert found.verdict is Verdict.INVALID
    assert "process 3" in found.why


@pytest.mark.parametrize("series", ["baseline_s", "candidate_s", "twin_s", "slowed_s"])
def test_missing_rounds_are_invalid(series: str) -> None:
    """Sides with unequal numbers of rounds were not timed side by side; a handful of rounds is no median."""
    good = make_process(0.0)
    longer = replace(good, **{series: [*getattr(good, series), 1.0]})
    assert "rounds missing" in decide_latency("m", [good, good, longer]).why
    few = Process(*[[1.0]] * 4)
    assert decide_latency("m", [few] * 3).verdict is Verdict.INVALID


def test_preempted_process_is_invalid() -> None:
    """Over half of the blocks interrupted is too many, half is not; an unknown share is."""
    quiet = [make_process(x) for x in TIGHT]
    for share, verdict in [(0.5, Verdict.PASS), (0.51, Verdict.INVALID), (math.nan, Verdict.INVALID)]:
        assert decide_latency("m", [*quiet[:2], replace(quiet[2], preempted_share=share)]).verdict is verdict


@pytest.mark.parametrize("candidate", [0.0, 0.3, -0.3])
@pytest.mark.parametrize("control", [{"twin": 0.06}, {"twin": -0.06}, {"slowed": 0.0}, {"slowed": -0.1}])
def test_failed_control_takes_the_verdict_with_it(candidate: float, control: dict[str, float]) -> None:
    """Whatever the candidate reads: more processes are asked for, and the last look is INVALID."""
    session = [make_process(candidate + 0.001 * i, **control) for i in range(8)]
    found = [decide_latency("m", session[:n]) for n in INPROC]
    assert [d.verdict for d in found] == [Verdict.INCONCLUSIVE, Verdict.INCONCLUSIVE, Verdict.INVALID]
    assert all("control" in d.why for d in found)


def test_control_is_judged_by_its_interval() -> None:
    """Controls that are right on average, but scatter, do not hold."""
    twins = [make_process(x, twin=twin) for x, twin in zip(TIGHT, (-0.04, 0.0, 0.04), strict=True)]
    assert "negative control" in decide_latency("m", twins).why
    slowed = [make_process(x, slowed=0.095 + y) for x, y in zip(TIGHT, (-0.04, 0.0, 0.04), strict=True)]
    assert "positive control" in decide_latency("m", slowed).why


@pytest.mark.parametrize(
    ("second", "combined"),
    [
        (Verdict.REGRESSED, Verdict.REGRESSED),
        (Verdict.PASS, Verdict.INCONCLUSIVE),
        (Verdict.IMPROVED, Verdict.INCONCLUSIVE),
        (Verdict.INCONCLUSIVE, Verdict.INCONCLUSIVE),
        (Verdict.INVALID, Verdict.INVALID),
        (Verdict.INCOMPARABLE, Verdict.INCOMPARABLE),
    ],
)
def test_red_needs_a_second_red(second: Verdict, combined: Verdict) -> None:
    """Only a second session that is red too confirms; disagreement is INCONCLUSIVE, and never a pass."""
    final = confirm_regression(RED, Decision("m", second, "again", estimate=1.07, look=1, n_processes=3))
    assert (final.verdict, final.estimate) == (combined, 1.07)
    assert "slow" in f"{final.why} {final.notes}"


def test_only_a_red_of_the_same_benchmark_is_confirmed() -> None:
    """A pass needs no confirmation, and another benchmark gives none."""
    for first, second in [(Decision("m", Verdict.PASS), RED), (RED, Decision("n", Verdict.REGRESSED))]:
        with pytest.raises(ValueError, match="confirm"):
            confirm_regression(first, second)
