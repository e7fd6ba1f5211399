"""Bias of the latency instrument: spins of known duration, on a clock that is told and on this machine's.

On this machine a spin tells how long it was busy. A spin of next to nothing, in the same rounds, shows what a call
costs beyond that: loop, call, the clock outside its span.
"""

import random
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import cycle
from statistics import fmean, median

from typing_extensions import TypedDict  # pydantic reads typing's own from Python 3.12 on only

from dlmi_bench.instruments.latency import N_TURNS, N_UNTIMED, Plan, Trace, measure_latency
from dlmi_bench.instruments.pinning import CpuHopper
from dlmi_bench.jobs.protocol import OnProgress, Request
from dlmi_bench.jobs.worker import Worker
from dlmi_bench.selftest.fakes import FakeClock
from dlmi_bench.selftest.rows import Row, make_bias, make_share
from dlmi_bench.selftest.spins import DURATIONS_S, compute_median, draw_durations, make_timed_spin
from dlmi_bench.stats.percentiles import FENCES, compute_percentile, find_outliers

MAX_BIAS = 0.01
SHORT_S = {"2 us": 2e-6}  # of which no single call is read: the clock's own reading is a share of it
IDLE_S = 400e-9
MAX_BLOCK_BIAS = {"2 us": 0.01, "20 us": 0.005}
N_PROCESSES = 12  # the median has bounds from 6 on; of 12 they are the third and the tenth
N_ROUNDS = {"2 us": 100, "20 us": 100, "1 ms": 100, "50 ms": 30}
N_SIMULATED = 20
TRUTH_SEED = 99
SLOW_FACTOR = 4.0  # times the median above which a call was planned as one of the tail
MAX_FALSE = 0.05  # of the calls, which the machine itself made slow


class Reading(TypedDict):
    """Readings of one spin; `planted` and `severe` have one entry for each single call.

    `truth_s` is what `latency_s` should be, the median over blocks of the time that a call was busy; `p50_truth_s` is
    that of `p50_s`, the median over single calls.
    """

    latency_s: float
    truth_s: float
    p50_s: float
    p50_truth_s: float
    n_calls: int
    planted: list[bool]
    severe: list[bool]


def check_simulated(n_sessions: int = N_SIMULATED) -> Iterator[Row]:
    """Sessions of one process on a clock that moves by the planned durations alone."""
    for name in DURATIONS_S:
        readings = [_read_simulated(name, seed) for seed in range(n_sessions)]
        yield from _make_rows(name, readings, "simulated clock")


def check_real(n_processes: int = N_PROCESSES) -> Iterator[Row]:
    """Fresh processes on this machine, each pinned, timed by the rules of every latency here."""
    for name in SHORT_S | DURATIONS_S:
        readings = []
        for seed in range(n_processes):
            with Worker(seed) as worker:
                readings.append(worker.ask(SpinRequest(spin=name, seed=seed)))
        yield from _make_rows(name, readings, "this machine")


class SpinRequest(Request[Reading]):
    """Read a spin with the instrument. For a fresh worker."""

    job = "dlmi_bench.selftest.bias:run_spin_job"
    spin: str
    seed: int


def run_spin_job(request: SpinRequest, _: OnProgress) -> Reading:
    """Read a spin with the instrument. For a fresh worker."""
    duration_s = (SHORT_S | DURATIONS_S)[request.spin]
    (spin, planned, busy), (idle, _plan, idled) = (make_timed_spin(t, request.seed) for t in (duration_s, IDLE_S))
    calls = {"spin": spin, "idle": idle}
    plan = Plan(N_ROUNDS[request.spin], request.seed, singles=[*calls], groups=[[*calls]])
    traces = measure_latency(calls, plan, pin=CpuHopper())
    n_made = list(busy).index(0)
    reading = _describe(duration_s, traces["spin"], [planned[i % len(planned)] for i in range(n_made)])
    truth_s, p50_truth_s = _find_busy(busy, traces["spin"])
    idle_s, p50_idle_s = _find_busy(idled, traces["idle"])
    return reading | {
        "latency_s": reading["latency_s"] - (median(traces["idle"].wall_s) - idle_s),
        "truth_s": truth_s,
        "p50_s": reading["p50_s"] - (median(traces["idle"].single_s) - p50_idle_s),
        "p50_truth_s": p50_truth_s,
    }


def _find_busy(busy_ns: Sequence[int], trace: Trace) -> tuple[float, float]:
    """Busy time by the spin itself: median over blocks of the mean, and median over single calls [s]."""
    found = list(busy_ns)
    blocks, singles = _select(found[: found.index(0)], trace)
    return median(fmean(block) for block in blocks) / 1e9, median(singles) / 1e9


def _read_simulated(name: str, seed: int) -> Reading:
    clock = FakeClock()
    planned_ns = cycle([round(1e9 * duration_s) for duration_s in draw_durations(DURATIONS_S[name], seed)])
    made: list[int] = []

    def spin() -> None:
        made.append(next(planned_ns))
        clock.work(made[-1])

    trace = measure_latency({"spin": spin}, Plan(N_ROUNDS[name], seed, singles=["spin"]), clock=clock)["spin"]
    reading = _describe(DURATIONS_S[name], trace, made)
    return reading | {"truth_s": compute_block_median(name, trace.n_calls)}


def _select(made: list[int], trace: Trace) -> tuple[list[list[int]], list[int]]:
    """Timed calls of each block, and the single ones, out of all calls: singles come last, in turns."""
    n_single, n_untimed = len(trace.single_s) // N_TURNS, min(N_UNTIMED, trace.n_calls)
    singles, blocks = (
        [made[end - n : end] for end in range(last - (n_parts - 1) * (n + n_untimed), last + 1, n + n_untimed)]
        for last, n_parts, n in (
            (len(made), N_TURNS, n_single),
            (len(made) - N_TURNS * (n_single + n_untimed), len(trace.wall_s), trace.n_calls),
        )
    )
    return blocks, [call for turn in singles for call in turn]


def _describe(duration_s: float, trace: Trace, planned: list[int]) -> Reading:
    """Describe what the instrument reads, which single calls were planned as slow, and what is true by the plan."""
    middle = compute_percentile(trace.single_s, 0.5)
    assert middle is not None
    _, singles = _select(planned, trace)
    return {
        "latency_s": median(trace.wall_s),
        "truth_s": duration_s,
        "p50_s": middle.value,
        "p50_truth_s": compute_median(duration_s),
        "n_calls": trace.n_calls,
        "planted": [ns > SLOW_FACTOR * 1e9 * duration_s for ns in singles],
        "severe": find_outliers(trace.single_s, FENCES["severe"]),
    }


def _make_rows(name: str, readings: list[Reading], where: str) -> Iterator[Row]:
    latencies = [r["latency_s"] / r["truth_s"] for r in readings]
    n_calls, most = median(r["n_calls"] for r in readings), MAX_BLOCK_BIAS.get(name, MAX_BIAS)
    yield make_bias(f"latency of a spin of {name}, blocks of {n_calls:g}, {where}", latencies, 1.0, most=most)
    if name in SHORT_S:
        return
    middles = [r["p50_s"] / r["p50_truth_s"] for r in readings]
    yield make_bias(f"p50 of single calls of {name}, {where}", middles, 1.0, most=MAX_BIAS)
    calls = [call for r in readings for call in zip(r["planted"], r["severe"], strict=True)]
    found = [is_severe for is_planted, is_severe in calls if is_planted]
    if found:
        subject = f"planted tail of single calls of {name} is found severe, {where}"
        yield make_share("detection", subject, found, lowest=0.95)
    false = [is_severe for is_planted, is_severe in calls if not is_planted]
    subject = f"other single calls of {name} called severe, {where}"
    yield make_share("detection", subject, false, lowest=0.0, highest=MAX_FALSE)


@cache
def compute_block_median(name: str, n_calls: int, n_blocks: int = 4_000) -> float:
    """Median over blocks of the mean of `n_calls` calls, which holds its share of the tail [s]; by simulation."""
    rng = random.Random(TRUTH_SEED)  # noqa: S311 - a simulation, not a secret
    planned = list(draw_durations(DURATIONS_S[name], TRUTH_SEED))
    return median(fmean(rng.choices(planned, k=n_calls)) for _ in range(n_blocks))
