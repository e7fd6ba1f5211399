"""Latency of calls, inside one process: warm-up, calibrated blocks, interleaved rounds, pre-emption marked.

One number leaves each level: block mean -> round -> process median -> median over processes (`stats`). The rules and
the figures behind them are in METHOD.md, section Latency.
"""

import gc
import random
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median

from dlmi_bench.errors import MeasurementError
from dlmi_bench.instruments.clock import Block, Clock, HostClock

N_WARMUP = 100  # calls; ONNX Runtime is still 35 % high at call 10
MIN_WARMUP_S = 0.2
MAX_WARMUP_S = 2.0
BLOCK_S = 2e-3  # long against the clock's tick and its cost, short against a scheduler's time slice
N_UNTIMED = 5  # calls before each block, so that it does not pay for its predecessor's use of the caches
# Single calls of a benchmark in one process, after the rounds: as many as these blocks hold, within bounds. Five
# processes of the fewest have a 99th percentile, of the most a 99.9th.
SINGLE_BLOCKS = 20
MIN_SINGLE, MAX_SINGLE = 60, 600
N_LOOP = 1000  # empty calls of a round, some 40 us, which show what a call costs in the measuring loop itself
N_TURNS = 6  # in which they are made, so that no moment of the machine is all of one benchmark's
PREEMPTED_RATIO = 1.15  # wall over CPU time above which something else ran in between
MIN_TICKS = 100  # clock ticks that a block must last
THROTTLED = 0.95  # of the device's highest clock, below which a round is discarded
MAX_DISCARDED = 0.5  # share of the rounds of a benchmark; a device that is slow more often has no speed that it holds
# Where a block is one long call, it averages over as much time as several short blocks: of each SPAN rounds in a row
# (two CPUs, each order with its mirror image) such a benchmark takes part in every STRIDE-th, if that leaves enough.
SPAN, STRIDE, ENOUGH_ROUNDS = 4, 4, 25


@dataclass(frozen=True)
class Plan:
    """Plan of a session, equal in all of its processes.

    Attributes:
        n_calls: Calls per block by benchmark; those that are not named are calibrated.
        singles: Benchmarks whose rounds are followed by single calls, for percentiles.
        groups: Benchmarks that are compared with each other and so must share their rounds; others are on their own.
    """

    n_rounds: int = 100
    order_seed: int = 0
    n_calls: Mapping[str, int] = field(default_factory=dict)
    singles: Collection[str] = ()
    groups: Sequence[Collection[str]] = ()


@dataclass
class Trace:
    """Raw times of one benchmark in one process.

    Attributes:
        cold_start_s: The very first call [s].
        n_calls: Calls per block.
        wall_s: Mean time of a call, block by block, oldest first [s].
        cpu_s: The same by CPU time of the thread [s].
        n_switches: Involuntary context switches, block by block.
        n_throttled: Rounds that were discarded because the device ran below its speed.
        speeds_hz: Clock of the device, block by block; empty on the host, or where it is not readable [Hz].
        single_s: Calls timed one by one, oldest first, by the host's clock [s].
        loop_s: What an empty call costs in the same loop, median over the rounds: that much of `wall_s` is not the
            program's [s].
        source: What timed the blocks.
    """

    cold_start_s: float = 0.0
    n_calls: int = 1
    wall_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)
    n_switches: list[int] = field(default_factory=list)
    n_throttled: int = 0
    speeds_hz: list[float] = field(default_factory=list)
    single_s: list[float] = field(default_factory=list)
    loop_s: float = 0.0
    source: str = HostClock.source

    @property
    def preempted(self) -> list[int]:
        """Blocks during which something else held the CPU."""
        pairs = zip(self.wall_s, self.cpu_s, strict=True)
        return [i for i, (wall, cpu) in enumerate(pairs) if wall > PREEMPTED_RATIO * cpu]

    @property
    def preempted_share(self) -> float:
        return len(self.preempted) / max(1, len(self.wall_s))

    @property
    def throttled_share(self) -> float:
        return self.n_throttled / max(1, self.n_throttled + len(self.wall_s))

    @property
    def slow_share(self) -> float:
        """Share of blocks that were kept although the device ran below its speed."""
        top_hz = max(self.speeds_hz, default=0.0)
        return sum(hz < THROTTLED * top_hz for hz in self.speeds_hz) / max(1, len(self.wall_s))

    def add(self, block: Block) -> None:
        self.wall_s.append(block.wall_ns / 1e9 / self.n_calls)
        self.cpu_s.append(block.cpu_ns / 1e9 / self.n_calls)
        self.n_switches.append(block.n_switches)
        if block.speed_hz is not None:
            self.speeds_hz.append(block.speed_hz)


def measure_latency(
    calls: Mapping[str, Callable[[], object]],
    plan: Plan,
    *,
    clock: Clock | None = None,
    pin: Callable[[int], object] | None = None,
    outputs: dict[str, object] | None = None,
) -> dict[str, Trace]:
    """Time several calls side by side in this process.

    Counts: host dispatch and the work of each call. Leaves out: loading, copying inputs in, the warm-up.

    Args:
        calls: No-argument callables by name; inputs in place, one thread, gradients off.
        plan: Rounds, their order, and the calls per block where an earlier process calibrated them.
        clock: The host's by default; a backend makes the one that fits it.
        pin: Called before each round with its index, to hop between CPUs.
        outputs: Gets what the last call of the last block of each benchmark returned.

    Returns:
        Raw traces by name. Statistics are derived, never stored alone.

    Raises:
        MeasurementError: the clock is too coarse for a block, or it ran backwards.
    """
    clock = clock or HostClock()
    pin, outputs = pin or (lambda _: None), {} if outputs is None else outputs
    pin(2 * plan.order_seed)  # a runtime that pins its caller stays there: elsewhere in each process
    traces = _warm_up_all(calls, plan, clock)
    schedule = _make_schedule(list(calls), plan.order_seed)
    sparse, stride = _find_sparse(traces, plan.groups), max(1, min(STRIDE, plan.n_rounds // ENOUGH_ROUNDS))
    rounds: list[dict[str, Block]] = []
    loops_ns: list[int] = []
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        for index in range(plan.n_rounds):
            pin(_count_hops(index, SPAN * stride))
            loops_ns.append(clock.time(lambda: None, N_LOOP).wall_ns)
            left_out = sparse if index // SPAN % stride else set()
            names = [name for name in next(schedule) if name not in left_out]
            blocks = {name: _time_block(name, calls[name], traces[name].n_calls, clock) for name in names}
            outputs |= {name: block.output for name, block in blocks.items()}
            rounds.append({name: replace(block, output=None) for name, block in blocks.items()})
        _add_rounds(rounds, traces)
        for trace in traces.values():
            trace.loop_s = median(loops_ns) / N_LOOP / 1e9
        for index in range(N_TURNS if plan.singles else 0):
            pin(2 * index)
            for name in next(schedule):
                if name in plan.singles:
                    _time_singles(calls[name], traces[name], clock)
    finally:
        if was_enabled:
            gc.enable()
    return traces


def _count_hops(index: int, stretch: int) -> int:
    """Compute the hopper's index of a round, so that long calls visit all CPUs, as the others do.

    Long calls take part in the first SPAN rounds of a stretch; the next stretch begins at the CPU after their last.
    """
    return index // stretch * SPAN + index % stretch


def _find_sparse(traces: Mapping[str, Trace], groups: Sequence[Collection[str]]) -> set[str]:
    """Benchmarks whose block is a single call, and all that must share rounds with one."""
    long = {name for name, trace in traces.items() if trace.n_calls == 1}
    return long.union(*(group for group in groups if long.intersection(group)))


def _make_schedule(names: list[str], seed: int) -> Iterator[list[str]]:
    """Random orders, each followed by its mirror image: drift then cancels to first order."""
    order = random.Random(seed)  # noqa: S311 - a schedule, not a secret
    while True:
        order.shuffle(names)
        yield names
        names.reverse()
        yield names


def _add_rounds(rounds: Sequence[Mapping[str, Block]], traces: Mapping[str, Trace]) -> None:
    """A round in which the device was throttled counts for no benchmark, so that rounds stay paired."""
    throttled = _find_throttled(rounds)
    for index, blocks in enumerate(rounds):
        for name, block in blocks.items():
            if index in throttled:
                traces[name].n_throttled += 1
            else:
                traces[name].add(block)


def _find_throttled(rounds: Sequence[Mapping[str, Block]]) -> set[int]:
    """Rounds with a block below THROTTLED of the highest clock of its own benchmark, which may be a hungry one.

    None where that are more than MAX_DISCARDED of the rounds of a benchmark.
    """
    speeds_hz: dict[str, dict[int, float]] = {}
    for index, blocks in enumerate(rounds):
        for name, block in blocks.items():
            speeds_hz.setdefault(name, {})[index] = block.speed_hz or 0.0
    tops_hz = {name: max(own.values()) for name, own in speeds_hz.items()}
    slow = {i for name, own in speeds_hz.items() for i, hz in own.items() if 0 < hz < THROTTLED * tops_hz[name]}
    too_many = any(len(slow.intersection(own)) > MAX_DISCARDED * len(own) for own in speeds_hz.values())
    return set() if too_many else slow


def _time_singles(call: Callable[[], object], trace: Trace, clock: Clock) -> None:
    """A share of the single calls of one benchmark, each from its start until all its work is done."""
    n_calls = min(MAX_SINGLE, max(MIN_SINGLE, SINGLE_BLOCKS * trace.n_calls)) // N_TURNS
    for _ in range(min(N_UNTIMED, trace.n_calls)):
        call()
    clock.sync()
    trace.single_s += [duration_ns / 1e9 for duration_ns in clock.time_singles(call, n_calls)]


def _warm_up_all(calls: Mapping[str, Callable[[], object]], plan: Plan, clock: Clock) -> dict[str, Trace]:
    """Warm up all calls. What a runtime does once falls to the first, which is another in each process."""
    order = random.Random(plan.order_seed).sample(list(calls), len(calls))  # noqa: S311 - a schedule, not a secret
    traces = {name: _warm_up(calls[name], plan.n_calls.get(name), clock) for name in order}
    return {name: traces[name] for name in calls}


def _warm_up(call: Callable[[], object], n_calls: int | None, clock: Clock) -> Trace:
    """First call apart, then at least N_WARMUP calls and MIN_WARMUP_S; calibrates the block unless that was done."""
    start_ns = clock.wall_ns()
    call()
    clock.sync()
    begin_ns = last_ns = clock.wall_ns()
    durations_ns: list[int] = []
    while (last_ns - begin_ns < MAX_WARMUP_S * 1e9) and (
        len(durations_ns) < N_WARMUP or last_ns - begin_ns < MIN_WARMUP_S * 1e9
    ):
        call()
        clock.sync()
        now_ns = clock.wall_ns()
        durations_ns.append(now_ns - last_ns)
        last_ns = now_ns
    late_ns = sorted(durations_ns[len(durations_ns) // 2 :])
    typical_ns = max(1, late_ns[len(late_ns) // 2])
    n_calls = n_calls or max(1, round(BLOCK_S * 1e9 / typical_ns))
    return Trace(cold_start_s=(begin_ns - start_ns) / 1e9, n_calls=n_calls, source=clock.source)


def time_block(name: str, call: Callable[[], object], trace: Trace, clock: Clock) -> None:
    """Time one block of `trace.n_calls` calls, after a few untimed ones, and add it to the trace."""
    trace.add(_time_block(name, call, trace.n_calls, clock))


def _time_block(name: str, call: Callable[[], object], n_calls: int, clock: Clock) -> Block:
    for _ in range(min(N_UNTIMED, n_calls)):
        call()
    block = clock.time(call, n_calls)
    if block.wall_ns < MIN_TICKS:
        raise MeasurementError(
            f"latency of {name}: a block of {n_calls} calls took {block.wall_ns} ns; the clock cannot resolve that",
            "check that the call does any work, and that the system clock runs forwards",
        )
    return block
