"""Latency of calls, inside one process: warm-up, calibrated blocks, interleaved rounds, pre-emption marked.

One number leaves each level: block mean -> round -> process median -> median over processes (bench.stats). The rules
and the figures behind them are in METHOD.md, section Latency.
"""

import gc
import os
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from bench.clock import Clock, HostClock
from bench.errors import MeasurementError

N_WARMUP = 100  # calls; ONNX Runtime is still 35 % high at call 10
MIN_WARMUP_S = 0.2
MAX_WARMUP_S = 2.0
BLOCK_S = 2e-3  # long against the clock's tick and its cost, short against a scheduler's time slice
N_UNTIMED = 5  # calls before each block, so that it does not pay for its predecessor's use of the caches
PREEMPTED_RATIO = 1.15  # wall over CPU time above which something else ran in between
MIN_TICKS = 100  # clock ticks that a block must last


@dataclass(frozen=True)
class Plan:
    """How a session is measured; equal in all of its processes."""

    n_rounds: int = 100
    order_seed: int = 0
    n_calls: Mapping[str, int] = field(default_factory=dict)


@dataclass
class Trace:
    """Raw times of one benchmark in one process.

    Attributes:
        cold_start_s: The very first call [s].
        n_calls: Calls per block.
        wall_s: Mean time of a call, block by block, oldest first [s].
        cpu_s: The same by CPU time of the thread [s].
    """

    cold_start_s: float = 0.0
    n_calls: int = 1
    wall_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)

    @property
    def preempted_share(self) -> float:
        """Share of blocks during which something else held the CPU."""
        pairs = zip(self.wall_s, self.cpu_s, strict=True)
        return sum(wall > PREEMPTED_RATIO * cpu for wall, cpu in pairs) / max(1, len(self.wall_s))


def measure_latency(
    calls: Mapping[str, Callable[[], object]],
    plan: Plan,
    *,
    clock: Clock | None = None,
    pin: Callable[[int], object] | None = None,
) -> dict[str, Trace]:
    """Time several calls side by side in this process.

    Counts: host dispatch and the work of each call. Leaves out: loading, copying inputs in, the warm-up.

    Args:
        calls: No-argument callables by name; inputs in place, one thread, gradients off.
        plan: Rounds, their order, and the calls per block where an earlier process calibrated them.
        clock: The host's by default.
        pin: Called before each round with its index, to hop between CPUs.

    Returns:
        Raw traces by name. Statistics are derived, never stored alone.

    Raises:
        MeasurementError: the clock is too coarse for a block, or it ran backwards.
    """
    clock = clock or HostClock()
    pin = pin or (lambda _: None)
    pin(0)
    traces = {name: _warm_up(call, plan.n_calls.get(name), clock) for name, call in calls.items()}
    order = random.Random(plan.order_seed)  # noqa: S311 - a schedule, not a secret
    names = list(calls)
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        for index in range(plan.n_rounds):
            pin(index)
            # Random order, each round followed by its mirror image: drift then cancels to first order.
            if index % 2 == 0:
                order.shuffle(names)
            else:
                names.reverse()
            for name in names:
                time_block(name, calls[name], traces[name], clock)
    finally:
        if was_enabled:
            gc.enable()
    return traces


def _warm_up(call: Callable[[], object], n_calls: int | None, clock: Clock) -> Trace:
    """First call apart, then at least N_WARMUP calls and MIN_WARMUP_S; calibrates the block unless that was done."""
    start_ns = clock.wall_ns()
    call()
    begin_ns = last_ns = clock.wall_ns()
    durations_ns: list[int] = []
    while (last_ns - begin_ns < MAX_WARMUP_S * 1e9) and (
        len(durations_ns) < N_WARMUP or last_ns - begin_ns < MIN_WARMUP_S * 1e9
    ):
        call()
        now_ns = clock.wall_ns()
        durations_ns.append(now_ns - last_ns)
        last_ns = now_ns
    late_ns = sorted(durations_ns[len(durations_ns) // 2 :])
    typical_ns = max(1, late_ns[len(late_ns) // 2])
    return Trace(cold_start_s=(begin_ns - start_ns) / 1e9, n_calls=n_calls or max(1, round(BLOCK_S * 1e9 / typical_ns)))


def time_block(name: str, call: Callable[[], object], trace: Trace, clock: Clock) -> None:
    """Time one block of `trace.n_calls` calls, after a few untimed ones, and add it to the trace."""
    for _ in range(min(N_UNTIMED, trace.n_calls)):
        call()
    repeats = range(trace.n_calls)
    cpu_ns, wall_ns = clock.cpu_ns(), clock.wall_ns()
    for _ in repeats:
        call()
    wall_ns, cpu_ns = clock.wall_ns() - wall_ns, clock.cpu_ns() - cpu_ns
    if wall_ns < MIN_TICKS:
        raise MeasurementError(
            f"latency of {name}: a block of {trace.n_calls} calls took {wall_ns} ns; the clock cannot resolve that",
            "check that the call does any work, and that the system clock runs forwards",
        )
    trace.wall_s.append(wall_ns / 1e9 / trace.n_calls)
    trace.cpu_s.append(cpu_ns / 1e9 / trace.n_calls)


class CpuHopper:
    """Pins this process to one CPU and moves on after every second round, so that no single CPU decides."""

    def __init__(self, cpus: Sequence[int] | None = None) -> None:
        self._cpus = list(cpus) if cpus else sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        self.is_pinned = bool(self._cpus)

    def __call__(self, index: int) -> None:
        if not self.is_pinned:
            return
        try:
            os.sched_setaffinity(0, {self._cpus[index // 2 % len(self._cpus)]})
        except OSError:
            self.is_pinned = False  # recorded with the result; the suite doubles the processes
