"""Bias of the latency instrument: spins of known duration, on a clock that is told and on this machine's."""

import random
from collections.abc import Iterator
from functools import cache
from itertools import cycle
from statistics import fmean, median
from typing import TypedDict

from dlmi_bench.instruments.latency import N_TURNS, N_UNTIMED, CpuHopper, Plan, Trace, measure_latency
from dlmi_bench.jobs.protocol import OnProgress, Request
from dlmi_bench.jobs.worker import Worker
from dlmi_bench.selftest.fakes import FakeClock
from dlmi_bench.selftest.rows import Row, make_bias, make_share
from dlmi_bench.selftest.spins import DURATIONS_S, compute_median, draw_durations, make_spin
from dlmi_bench.stats.percentiles import FENCES, compute_percentile, find_outliers

MAX_BIAS = 0.01
N_PROCESSES = 12  # the median has bounds from 6 on; of 12 they are the third and the tenth
N_ROUNDS = {"20 us": 100, "1 ms": 100, "50 ms": 30}
N_SIMULATED = 20
TRUTH_SEED = 99
SLOW_FACTOR = 4.0  # times the median above which a call was planned as one of the tail
MAX_FALSE = 0.05  # of the calls, which the machine itself made slow


class Reading(TypedDict):
    """Readings of one spin; `planted` and `severe` have one entry for each single call."""

    latency_s: float
    p50_s: float
    n_calls: int
    planted: list[bool]
    severe: list[bool]


def check_simulated(n_sessions: int = N_SIMULATED) -> Iterator[Row]:
    """Sessions of one process on a clock that moves by the planned durations alone."""
    for name in DURATIONS_S:
        readings = [_read_simulated(name, seed) for seed in range(n_sessions)]
        yield from _make_rows(name, readings, "simulated clock", MAX_BIAS)


def check_real(n_processes: int = N_PROCESSES) -> Iterator[Row]:
    """Fresh processes on this machine, each pinned, timed by the rules of every latency here."""
    for name in DURATIONS_S:
        readings = []
        for seed in range(n_processes):
            with Worker(seed) as worker:
                readings.append(worker.ask(SpinRequest(spin=name, seed=seed)))
        yield from _make_rows(name, readings, "this machine", MAX_BIAS)


class SpinRequest(Request[Reading]):
    """Read a spin with the instrument. For a fresh worker."""

    job = "dlmi_bench.selftest.bias:run_spin_job"
    spin: str
    seed: int


def run_spin_job(request: SpinRequest, _: OnProgress) -> Reading:
    """Read a spin with the instrument. For a fresh worker."""
    made: list[int] = []
    spin = make_spin(DURATIONS_S[request.spin], request.seed, made)
    plan = Plan(N_ROUNDS[request.spin], request.seed, singles=["spin"])
    return _describe(request.spin, measure_latency({"spin": spin}, plan, pin=CpuHopper())["spin"], made)


def _read_simulated(name: str, seed: int) -> Reading:
    clock = FakeClock()
    planned_ns = cycle([round(1e9 * duration_s) for duration_s in draw_durations(DURATIONS_S[name], seed)])
    made: list[int] = []

    def spin() -> None:
        made.append(next(planned_ns))
        clock.work(made[-1])

    plan = Plan(N_ROUNDS[name], seed, singles=["spin"])
    return _describe(name, measure_latency({"spin": spin}, plan, clock=clock)["spin"], made)


def _describe(name: str, trace: Trace, made: list[int]) -> Reading:
    """Describe what the instrument reads, and which single calls were planned as slow: they come last, in turns."""
    middle = compute_percentile(trace.single_s, 0.5)
    assert middle is not None
    n_single = len(trace.single_s) // N_TURNS
    width = n_single + min(N_UNTIMED, trace.n_calls)
    turns = [made[len(made) - width * turn :][:width] for turn in range(N_TURNS, 0, -1)]
    return {
        "latency_s": median(trace.wall_s),
        "p50_s": middle.value,
        "n_calls": trace.n_calls,
        "planted": [ns > SLOW_FACTOR * 1e9 * DURATIONS_S[name] for turn in turns for ns in turn[-n_single:]],
        "severe": find_outliers(trace.single_s, FENCES["severe"]),
    }


def _make_rows(name: str, readings: list[Reading], where: str, most: float) -> Iterator[Row]:
    latencies = [r["latency_s"] / compute_block_median(name, r["n_calls"]) for r in readings]
    n_calls = median(r["n_calls"] for r in readings)
    yield make_bias(f"latency of a spin of {name}, blocks of {n_calls:g}, {where}", latencies, 1.0, most=most)
    truth = compute_median(DURATIONS_S[name])
    yield make_bias(f"p50 of single calls of {name}, {where}", [r["p50_s"] for r in readings], truth, most=most)
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
