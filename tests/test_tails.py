"""Percentiles with their bounds, outliers, ratios of models side by side, and the figures made from known traces."""

import math

import numpy as np
import pytest

from dlmi_bench.instruments.latency import MAX_SINGLE, N_TURNS, Plan, Trace, measure_latency
from dlmi_bench.instruments.latency_figures import make_latency_figures, make_single_call_figures
from dlmi_bench.records import Benchmark, Cell, Figure, Note, Record
from dlmi_bench.stats.percentiles import compute_exceedance, compute_n_needed, compute_percentile, count_outliers
from dlmi_bench.store.rounds import compute_latency_ratio, is_resolved
from regimes import REGIMES, simulate_rounds
from stand_ins import FakeClock

CONDITIONS = {"backend": "eager", "batch": 4, "threads": 1}
KEY = Benchmark("a", "eager", 4).key


@pytest.mark.parametrize(("p", "n"), [(0.5, 5), (0.9, 29), (0.95, 59), (0.99, 299), (0.999, 2995)])
def test_bound_exists_from_the_published_number_of_calls(p: float, n: int) -> None:
    """With n values the largest bounds the percentile; with one fewer nothing does."""
    assert compute_n_needed(p) == n
    assert compute_percentile(range(n - 1), p) is None
    found = compute_percentile(range(n), p)
    assert found is not None
    assert found.hi == n - 1


def test_percentile_by_hand() -> None:
    """Of 1 to 100 the median is 50, and P(Binomial(100, 1/2) < 59) = .956 is the first above .95."""
    found = compute_percentile(range(1, 101), 0.5)
    assert found is not None
    assert (found.value, found.hi) == (50, 59)
    assert (
        sum(math.comb(100, i) for i in range(58)) / 2**100 < 0.95 <= sum(math.comb(100, i) for i in range(59)) / 2**100
    )


@pytest.mark.parametrize(("p", "n"), [(0.5, 40), (0.9, 120), (0.99, 299)])
def test_bound_covers_the_true_percentile(p: float, n: int) -> None:
    """At least 95 % of 2 000 simulated bounds lie above the truth, less four standard errors; and not all do."""
    draws = np.random.default_rng(3).lognormal(0, 1, (2000, n)).tolist()
    truth = math.exp(float(np.sqrt(2)) * _erfinv(2 * p - 1))
    covered = sum(found.hi >= truth for row in draws if (found := compute_percentile(row, p))) / 2000
    assert 0.95 - 4 * math.sqrt(0.05 * 0.95 / 2000) <= covered < 0.995


def _erfinv(x: float) -> float:
    from scipy.special import erfinv

    return float(erfinv(x))


def test_outliers_by_hand() -> None:
    """Quartiles of 1 to 9 are 3 and 7: fences at -3 and 13, and at -9 and 19. Values on a fence are inside."""
    values = [*range(1, 10), 3, 7, 3, 7]
    assert count_outliers([*values, 13], 1.5) == 0
    assert count_outliers([*values, 14, -4], 1.5) == 2
    assert count_outliers([*values, 14, 40], 3.0) == 1


def test_exceedance_by_hand() -> None:
    """Equal processes keep the promise; of a slow and a fast one, one promises too much and the other too little."""
    values = list(range(1, 11))
    assert compute_exceedance([values, values, values], 0.9) == pytest.approx([0.1, 0.1, 0.1])
    assert compute_exceedance([values, [v + 5 for v in values]], 0.9) == pytest.approx([0.6, 0.0])
    assert compute_exceedance([values, values], 0.95) == []
    assert compute_exceedance([values], 0.5) == []


def test_single_calls_are_read_one_by_one(clock: FakeClock) -> None:
    """600 calls of 20 us and a hundredth of 90 us read exactly so, and only when asked for."""
    n = 0

    def call() -> None:
        nonlocal n
        n += 1
        clock.work(90_000 if n % 100 == 0 else 20_000)

    assert not measure_latency({"a": call}, Plan(n_rounds=2), clock=clock)["a"].single_s
    single_s = measure_latency({"a": call}, Plan(n_rounds=2, singles=["a"]), clock=clock)["a"].single_s
    assert len(single_s) == MAX_SINGLE // N_TURNS * N_TURNS
    assert set(single_s) == {20e-6, 90e-6}
    assert 5 <= single_s.count(90e-6) <= 7


def test_figures_of_single_calls() -> None:
    """Two processes of 150: p99 has a bound, p99.9 says what it needs, outliers are counted in each process."""
    process = [1.0 + 0.001 * i for i in range(149)] + [9.0]
    figures = make_single_call_figures([process, process], CONDITIONS)
    found = {f.conditions["percentile"]: f for f in figures if f.name == "single_call_s"}
    assert (found["p50"].value, found["p99"].hi, found["p99"].n) == (pytest.approx(1.074), 9.0, 300)
    assert (found["p99.9"].value, found["p99.9"].reason) == (None, "needs 2995")
    counts = {f.conditions["fence"]: f.samples for f in figures if f.name == "n_outliers"}
    assert counts == {"mild": (1, 1), "severe": (1, 1)}


def test_calls_that_were_not_timed_have_no_outliers() -> None:
    """A batch that is timed in blocks alone: neither percentile nor count, never 0, and both say why."""
    figures = make_single_call_figures([[], []], CONDITIONS)
    assert [f.name for f in figures].count("n_outliers") == 2
    assert {(f.value, f.reason, f.n) for f in figures} == {(None, "not timed one by one", 0)}


def list_notes(*traces: Trace, floor_s: float = 1e-3, is_pinned: bool = True) -> list[str]:
    """What the figure of latency says, for processes whose empty call takes `floor_s`."""
    floors = [Trace(wall_s=[floor_s], cpu_s=[floor_s], n_switches=[0]) for _ in traces]
    figures = make_latency_figures([*traces], floors, is_pinned=is_pinned, conditions=CONDITIONS)
    return list(map(str, figures[0].notes))


def trace(n_lost: int = 0, n_throttled: int = 0, wall_s: float = 1.0) -> Trace:
    """100 rounds, so many of which something else held the CPU in, and others that were discarded."""
    cpu_s = [wall_s / 2] * n_lost + [wall_s] * (100 - n_lost)
    return Trace(wall_s=[wall_s] * 100, cpu_s=cpu_s, n_switches=[0] * 100, n_throttled=n_throttled)


@pytest.mark.parametrize(
    ("n_lost", "expected"),
    [
        (10, []),
        (11, ["noisy: pre-empted in up to 11 % of the rounds of a process"]),
        (50, ["noisy: pre-empted in up to 50 % of the rounds of a process"]),
        (51, ["INVALID: pre-empted in 51 % of the rounds of a process"]),
    ],
)
def test_preempted_rounds_mark_the_row(n_lost: int, expected: list[str]) -> None:
    """Over 10 % of the rounds of the worst process is noisy, over half INVALID; exactly as many is neither."""
    assert list_notes(trace(), trace(n_lost)) == expected


@pytest.mark.parametrize(("n_throttled", "word"), [(1, "throttled"), (11, "throttled"), (12, "noisy"), (101, "noisy")])
def test_throttled_rounds_mark_the_row(n_throttled: int, word: str) -> None:
    """One of 101 is told, 12 of 112 are noisy; rounds of all processes are added up."""
    n = n_throttled + 1
    assert list_notes(trace(n_throttled=1), trace(n_throttled=n_throttled)) == [
        f"{word}: {n} rounds discarded, the device was throttled"
    ]


def test_rows_near_the_empty_call_measure_the_framework() -> None:
    """Below 5 x of an empty call the row says how much of it that is; at 5 x it does not."""
    assert list_notes(trace(), floor_s=0.2) == []
    assert list_notes(trace(), floor_s=0.25) == ["measures the framework: an empty call takes 25 % of it"]


def test_processes_apart_and_unpinned_mark_the_row() -> None:
    """Medians of 1 and 1.15 s are of one speed, of 1 and 1.2 s are mixed; where nothing pins, the row says so."""
    assert list_notes(trace(), trace(wall_s=1.15)) == []
    assert list_notes(trace(), trace(wall_s=1.2), is_pinned=False) == [
        "mixed: processes range over 1.20 x",
        "pinned=false: this system refuses to pin a process to a CPU",
    ]


def test_throughput_and_overhead_by_hand() -> None:
    """4 examples in 2 s are 2 a second; an empty call of .5 s is a quarter; a neighbour makes the row noisy."""
    traces = [Trace(wall_s=[t], cpu_s=[t], n_switches=[0]) for t in (1.0, 2.0, 4.0)]
    floors = [Trace(wall_s=[t], cpu_s=[t], n_switches=[0]) for t in (0.25, 0.5, 1.0)]
    made = make_latency_figures(traces, floors, is_pinned=True, conditions=CONDITIONS, complaints=["a hog"])
    figures = {figure.name: figure for figure in made}
    throughput, overhead = figures["throughput_hz"], figures["overhead_share"]
    assert (throughput.value, throughput.lo, throughput.hi) == (2, 1, 4)
    assert (overhead.value, overhead.lo, overhead.hi) == (0.25, 0.25, 0.25)
    assert Note.parse("noisy: a hog") in figures["latency_s"].notes


def record(model: str, rounds_s: list[list[float]], session: str = "s") -> Record:
    cell = Cell(kind="latency", task="toy", model=model)
    return Record(cell=cell, figures=(), details={"session": session, "rounds_s": {KEY: rounds_s}})


def ratio(a: Record, b: Record) -> Figure:
    return compute_latency_ratio(a, b, backend="eager", batch=4)


def test_ratio_by_hand() -> None:
    """Processes at 3 x and 3 x whose rounds drift 10 x: the ratio is 3, the other way round 1/3, resolved."""
    base = [[1.0, 10.0, 2.0], [5.0, 1.0, 1.0]]
    other = [[3.0 * t for t in process] for process in base]
    found = ratio(record("a", base), record("b", other))
    assert (found.value, found.lo, found.hi, found.n) == pytest.approx((3, 3, 3, 2))
    assert is_resolved(found)
    assert ratio(record("b", other), record("a", base)).value == pytest.approx(1 / 3)


def test_ratio_needs_one_session() -> None:
    """Models of different sessions have no ratio, and it says why."""
    found = ratio(record("a", [[1.0], [1.0]]), record("b", [[2.0], [2.0]], session="other"))
    assert found.value is None
    assert "same session" in found.reason


def test_ratio_interval_covers_equality() -> None:
    """Of 400 sessions of 5 processes of two equal programs, 95 % intervals hold 1 in 95 % within four sd."""
    regime = REGIMES["one process, quiet"]
    a, b = simulate_rounds(regime, 400 * 5, np.random.default_rng(5), n_rounds=20)
    covered = 0
    for i in range(0, 2000, 5):
        covered += not is_resolved(ratio(record("a", a[i : i + 5].tolist()), record("b", b[i : i + 5].tolist())))
    assert abs(covered / 400 - 0.95) < 4 * math.sqrt(0.05 * 0.95 / 400)
