"""Calls of known duration: 20 us, 1 ms and 50 ms, with seeded jitter and one call in a hundred five times as long.

Imports little, so that other people's interpreters can run it beside their tools.
"""

import math
import random
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle

DURATIONS_S = {"20 us": 20e-6, "1 ms": 1e-3, "50 ms": 50e-3}
JITTER = 0.02  # standard deviation of the log duration
TAIL_SHARE, TAIL_FACTOR = 0.01, 5.0
N_PLANNED = 50_000  # then the same ones again
MAX_CALLS = 1 << 22  # of a timed spin in one process
N_PROCESSES = 1000  # of one spin at most, so that none gets the seed of another spin's
CALIBRATION_NS = 20_000
N_CALIBRATION, N_BLOCKS = 100, 30


def draw_durations(median_s: float, seed: int, n: int = N_PLANNED) -> Iterator[float]:
    """Durations of `n` calls [s]."""
    rng = random.Random(seed)  # noqa: S311 - a workload, not a secret
    for _ in range(n):
        factor = TAIL_FACTOR if rng.random() < TAIL_SHARE else 1.0
        yield median_s * factor * math.exp(rng.gauss(0, JITTER))


def choose_seed(seed: int, process: int) -> int:
    """Another sample of durations in every process: where a tool starts several, the process is the replicate."""
    return N_PROCESSES * seed + process


def compute_median(median_s: float) -> float:
    """Median time of one call: a little above that of the body, because the tail lies on one side [s]."""
    from statistics import NormalDist

    return median_s * math.exp(JITTER * NormalDist().inv_cdf(0.5 / (1 - TAIL_SHARE)))


def make_spin(median_s: float, seed: int, made: list[int] | None = None) -> Callable[[], None]:
    """A call that keeps the CPU busy for the next of the planned durations, its own overhead included.

    Args:
        made: Gets what each call was planned to take, less the overhead [ns].
    """
    overhead_ns = _measure_overhead()
    planned_ns = [round(1e9 * duration_s) - overhead_ns for duration_s in draw_durations(median_s, seed)]
    return _spin(planned_ns, [] if made is None else made)


def _spin(planned_ns: list[int], made: list[int]) -> Callable[[], None]:
    """A generator's next step: it costs less than a function that keeps its place in the plan."""

    def spins(note: Callable[[int], None], now: Callable[[], int]) -> Iterator[None]:
        for planned in cycle(planned_ns):
            note(planned)
            end = now() + planned
            while now() < end:
                pass
            yield

    return spins(made.append, time.perf_counter_ns).__next__


def make_timed_spin(median_s: float, seed: int) -> tuple[Callable[[], None], Sequence[int], Sequence[int]]:
    """A call like that of `make_spin`, which tells how long it was busy, by its own first and last look at the clock.

    Its plan and its notes lie close together in memory that was touched before: cold memory would cost as much as what
    is looked for.

    Returns:
        The call, what calls are planned to take, again from the start after the last, and what each took, 0 where it
        was not made [ns].
    """
    planned_ns = array("q", [round(1e9 * duration_s) for duration_s in draw_durations(median_s, seed)])
    busy_ns = array("q", bytes(8 * MAX_CALLS))

    def spins(now: Callable[[], int]) -> Iterator[None]:
        for i in range(MAX_CALLS):
            planned = planned_ns[i % N_PLANNED]
            last = start = now()
            end = start + planned
            while last < end:
                last = now()
            busy_ns[i] = last - start
            yield

    return spins(time.perf_counter_ns).__next__, planned_ns, busy_ns


def _measure_overhead() -> int:
    """Measure what a spin takes beyond its plan, by the fastest of many blocks [ns]."""
    spin = _spin([CALIBRATION_NS], [])
    blocks_ns = []
    for _ in range(N_BLOCKS):
        start_ns = time.perf_counter_ns()
        for _ in range(N_CALIBRATION):
            spin()
        blocks_ns.append(time.perf_counter_ns() - start_ns)
    return min(blocks_ns) // N_CALIBRATION - CALIBRATION_NS
