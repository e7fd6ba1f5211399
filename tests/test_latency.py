"""The latency instrument on a clock of known behaviour."""

import gc
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest

from dlmi_bench.errors import MeasurementError
from dlmi_bench.instruments.clock import Block, HostClock
from dlmi_bench.instruments.latency import MAX_WARMUP_S, MIN_WARMUP_S, N_WARMUP, Plan, Trace, measure_latency
from dlmi_bench.instruments.latency_figures import make_latency_figures
from stand_ins import FakeClock


def make_call(clock: FakeClock, duration_ns: int, log: list[str] | None = None, name: str = "") -> Callable[[], None]:
    def call() -> None:
        clock.work(duration_ns)
        if log is not None:
            log.append(name)

    return call


def test_known_duration_is_read_exactly(clock: FakeClock) -> None:
    """A call of 20 us reads 20 us in every block, by the wall and by the CPU."""
    trace = measure_latency({"a": make_call(clock, 20_000)}, Plan(n_rounds=7), clock=clock)["a"]
    assert trace.wall_s == [20e-6] * 7
    assert trace.cpu_s == [20e-6] * 7
    assert trace.preempted_share == 0


def test_cost_of_the_loop_is_read_and_stated(clock: FakeClock) -> None:
    """Where each call takes 30 ns longer, the loop is these 30 ns, and a latency of 2 us says 1.5 %."""

    class SlowLoop(FakeClock):
        def time(self, call: Callable[[], object], n_calls: int) -> Block:
            block = super().time(call, n_calls)
            self.work(30 * n_calls)
            return replace(block, wall_ns=block.wall_ns + 30 * n_calls, cpu_ns=block.cpu_ns + 30 * n_calls)

    clock = SlowLoop()
    said = {}
    for name, duration_ns in (("short", 1_970), ("long", 20_000)):
        trace = measure_latency({name: make_call(clock, duration_ns)}, Plan(n_rounds=5), clock=clock)[name]
        assert trace.loop_s == pytest.approx(30e-9)
        (latency, *_) = make_latency_figures([trace], [trace], is_pinned=True, conditions={"batch": 1})
        said[name] = [note.text for note in latency.notes if "loop" in note.text]
    assert said == {"short": ["up to 1.5 % of it is the measuring loop"], "long": []}


def test_blocks_are_calibrated_to_two_milliseconds(clock: FakeClock) -> None:
    """100 calls of 20 us fill a block; a call longer than a block is timed one by one."""
    traces = measure_latency(
        {"short": make_call(clock, 20_000), "long": make_call(clock, 5_000_000)}, Plan(n_rounds=2), clock=clock
    )
    assert (traces["short"].n_calls, traces["long"].n_calls) == (100, 1)


def test_given_calls_per_block_are_kept(clock: FakeClock) -> None:
    """A later process uses the count that the first one calibrated, whatever it sees itself."""
    plan = Plan(n_rounds=2, n_calls={"a": 17})
    assert measure_latency({"a": make_call(clock, 20_000)}, plan, clock=clock)["a"].n_calls == 17


def test_cold_start_is_kept_apart(clock: FakeClock) -> None:
    """A slow first call is reported as the cold start and touches no block."""
    durations = iter([900_000])

    def call() -> None:
        clock.work(next(durations, 10_000))

    trace = measure_latency({"a": call}, Plan(n_rounds=3), clock=clock)["a"]
    assert trace.cold_start_s == pytest.approx(900e-6)
    assert trace.wall_s == [10e-6] * 3


def test_slow_warm_up_does_not_leak_into_the_figure(clock: FakeClock) -> None:
    """Calls that are 35 % slow until the 80th do not show: at least 100 calls and 0.2 s are discarded."""
    n = 0

    def call() -> None:
        nonlocal n
        n += 1
        clock.work(13_500 if n < 80 else 10_000)

    trace = measure_latency({"a": call}, Plan(n_rounds=4), clock=clock)["a"]
    assert trace.wall_s == [10e-6] * 4
    assert n > max(N_WARMUP, MIN_WARMUP_S / 13.5e-6)


def test_slow_calls_are_warmed_up_by_number(clock: FakeClock) -> None:
    """Where 0.2 s hold only 20 calls, 100 are discarded all the same."""
    n = 0

    def call() -> None:
        nonlocal n
        n += 1
        clock.work(15_000_000 if n < 80 else 10_000_000)

    assert measure_latency({"a": call}, Plan(n_rounds=2), clock=clock)["a"].wall_s == [10e-3] * 2


def test_warm_up_of_very_slow_calls_ends(clock: FakeClock) -> None:
    """Where 100 calls last 50 s, the warm-up takes 2 s: four calls after the first."""
    log: list[str] = []
    measure_latency({"a": make_call(clock, 500_000_000, log)}, Plan(n_rounds=1), clock=clock)
    assert len(log) == 1 + MAX_WARMUP_S / 0.5 + 2  # then an untimed call and the block


def test_collector_is_off_while_calls_are_timed(clock: FakeClock) -> None:
    """It runs during no block, and is as it was afterwards."""
    seen: list[bool] = []

    def call() -> None:
        clock.work(5_000_000)
        seen.append(gc.isenabled())

    assert gc.isenabled()
    measure_latency({"a": call}, Plan(n_rounds=3, singles=["a"]), clock=clock)
    assert seen[:101] == [True] * 101
    assert not any(seen[101:])
    assert gc.isenabled()


def test_last_output_of_the_blocks_is_kept(clock: FakeClock) -> None:
    """What is kept came from a timed call: the last one of the session, without singles."""
    n_calls = 0

    def call() -> int:
        nonlocal n_calls
        n_calls += 1
        clock.work(20_000)
        return n_calls

    outputs: dict[str, object] = {}
    measure_latency({"a": call}, Plan(n_rounds=3), clock=clock, outputs=outputs)
    assert outputs == {"a": n_calls}


def test_preempted_blocks_are_marked(clock: FakeClock) -> None:
    """Waiting that shows on the wall but not as CPU time counts as pre-emption."""
    calls = 0

    def call() -> None:
        nonlocal calls
        calls += 1
        clock.work(10_000)
        clock.wait(10_000 if calls % 2 else 0)

    trace = measure_latency({"a": call}, Plan(n_rounds=6), clock=clock)["a"]
    assert trace.preempted_share == 1.0
    half = Trace(wall_s=[1.0, 1.0], cpu_s=[1.0, 0.5])
    assert (half.preempted_share, half.preempted) == (0.5, [1])


def test_rounds_are_interleaved_and_mirrored(clock: FakeClock) -> None:
    """Every round times every benchmark once, in a random order that the next round mirrors."""
    log: list[str] = []
    calls = {name: make_call(clock, 3_000_000, log, name) for name in "abc"}
    measure_latency(calls, Plan(n_rounds=20, order_seed=3), clock=clock)
    timed = log[-20 * 3 * 2 :][1::2]  # an untimed call comes before each timed one
    rounds = ["".join(timed[i : i + 3]) for i in range(0, 60, 3)]
    assert all(sorted(r) == ["a", "b", "c"] for r in rounds)
    assert all(rounds[i + 1] == rounds[i][::-1] for i in range(0, 20, 2))
    assert len(set(rounds[::2])) > 1


def test_long_calls_take_part_in_fewer_rounds(clock: FakeClock) -> None:
    """Of 100 rounds a call longer than a block, and what it is compared with, get 28 together; short ones all."""
    spans = {"long": 30_000_000, "sibling": 900_000, "short": 20_000, "alone": 5_000_000}
    calls = {name: make_call(clock, ns) for name, ns in spans.items()}
    traces = measure_latency(calls, Plan(n_rounds=100, groups=[["long", "sibling"], ["short"]]), clock=clock)
    assert {name: len(t.wall_s) for name, t in traces.items()} == {"long": 28, "sibling": 28, "short": 100, "alone": 28}
    few = measure_latency(calls, Plan(n_rounds=30), clock=clock)
    assert {len(trace.wall_s) for trace in few.values()} == {30}


@pytest.mark.parametrize("n_cpus", [2, 3, 4, 8])
def test_long_calls_visit_all_cpus_alike(clock: FakeClock, n_cpus: int) -> None:
    """Their 28 rounds and the 100 of short ones are spread over the CPUs, two in a row on each."""
    visits: dict[str, list[int]] = {"long": [], "short": []}
    cpu = 0

    def pin(index: int) -> None:
        nonlocal cpu
        cpu = index // 2 % n_cpus

    def make(name: str, duration_ns: int) -> Callable[[], None]:
        def call() -> None:
            visits[name].append(cpu)
            clock.work(duration_ns)

        return call

    calls = {"long": make("long", 30_000_000), "short": make("short", 1_000_000)}
    measure_latency(calls, Plan(n_rounds=100), clock=clock, pin=pin)
    for name, n_rounds, n_calls in (("long", 28, 2), ("short", 100, 4)):  # untimed calls included
        rounds = Counter(visits[name][-n_rounds * n_calls :: n_calls])
        assert set(rounds) == set(range(n_cpus))
        assert max(rounds.values()) - min(rounds.values()) <= 4


def test_processes_start_on_other_cpus(clock: FakeClock) -> None:
    """A runtime that stays where it first ran is so on another CPU in each process; the rounds hop as ever."""
    for seed in (0, 1, 3):
        seen: list[int] = []
        measure_latency({"a": make_call(clock, 1000)}, Plan(n_rounds=4, order_seed=seed), clock=clock, pin=seen.append)
        assert seen == [2 * seed, 0, 1, 2, 3]


def test_programs_warm_up_in_another_order_in_each_process(clock: FakeClock) -> None:
    """What the runtime does once falls to the first, which is not always the same one; the traces keep their order."""
    firsts = set()
    for seed in range(8):
        log: list[str] = []
        calls = {name: make_call(clock, 3_000_000, log, name) for name in "abc"}
        assert list(measure_latency(calls, Plan(n_rounds=2, order_seed=seed), clock=clock)) == ["a", "b", "c"]
        firsts.add(log[0])
    assert firsts == {"a", "b", "c"}


def test_drift_cancels_between_neighbours(clock: FakeClock) -> None:
    """On a machine that slows down steadily, two equal programs still read alike within 0.5 %."""
    speed = 1.0

    def call() -> None:
        nonlocal speed
        speed *= 1.000002
        clock.work(round(20_000 * speed))

    traces = measure_latency({"a": call, "b": call}, Plan(n_rounds=100), clock=clock)
    ratio = sum(traces["a"].wall_s) / sum(traces["b"].wall_s)
    assert ratio == pytest.approx(1, abs=0.005)
    assert max(traces["a"].wall_s) > 1.01 * min(traces["a"].wall_s)


def test_clock_that_a_model_replaces_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that always says 0 would otherwise stop the warm-up for ever, or make a model as fast as it likes."""
    monkeypatch.setattr("time.perf_counter_ns", lambda: 0)
    monkeypatch.setattr("time.thread_time_ns", lambda: 0)
    clock = HostClock()
    assert clock.wall_ns() < clock.wall_ns()
    assert clock.cpu_ns() > 0
    assert clock.time_singles(lambda: sum(range(1000)), 1) > [0]


def test_clock_that_stands_still_is_refused(clock: FakeClock) -> None:
    """A block of no duration is an error, never a latency of zero."""
    moving = True

    def call() -> None:
        if moving:
            clock.work(1_000_000)

    def stop(index: int) -> None:
        nonlocal moving
        moving = index == 0 and not clock.now_ns

    with pytest.raises(MeasurementError, match="cannot resolve"):
        measure_latency({"a": call}, Plan(n_rounds=2), clock=clock, pin=stop)
