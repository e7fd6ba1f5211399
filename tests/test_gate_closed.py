"""The gate fails closed: clocks that jump, workers that die or hang, CPUs that refuse, and what a retry may change."""

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import psutil
import pytest

from dlmi_bench.backends import BACKENDS
from dlmi_bench.backends.export import write_onnx
from dlmi_bench.gating.latency import session
from dlmi_bench.gating.latency.benchmark import SIDES, Benchmarks, Replicate, RoundRequest, SessionRequest, Timings
from dlmi_bench.gating.latency.decision import INPROC, TWOPROC
from dlmi_bench.gating.latency.looks import CONFIRMATION, decide_benchmarks
from dlmi_bench.gating.latency.retry import RETRY, decide_with_retry
from dlmi_bench.gating.latency.rounds import run_inproc_job
from dlmi_bench.gating.latency.session import run_inproc
from dlmi_bench.gating.verdicts import Decision, Verdict
from dlmi_bench.instruments.clock import Block, HostClock
from dlmi_bench.instruments.pinning import CpuHopper
from dlmi_bench.jobs.protocol import Answer, Request
from dlmi_bench.jobs.worker import Worker
from dlmi_models import MODELS
from test_gate_run import IDENTITY, Machine, make_benchmarks


@pytest.fixture(scope="module")
def benchmarks(tmp_path_factory: pytest.TempPathFactory) -> Benchmarks:
    """One real model against itself."""
    path = tmp_path_factory.mktemp("model") / "a.onnx"
    write_onnx(MODELS["softmax"].build(), (1, 16, 16), path)
    (benchmark,) = make_benchmarks("a").values()
    return {"a": benchmark.model_copy(update={"baseline": path, "candidate": path})}


@pytest.fixture
def affinity() -> Iterator[list[int]]:
    """The CPUs of this process, given back afterwards."""
    allowed = os.sched_getaffinity(0)
    yield sorted(allowed)
    os.sched_setaffinity(0, allowed)


def run_here(benchmarks: Benchmarks, *_: object) -> Replicate:
    """One replicate of 20 rounds in this process."""
    return run_inproc_job(SessionRequest(n_rounds=20, order_seed=0, benchmarks=benchmarks), lambda *_: None)


class JumpingClock(HostClock):
    """An hour behind in every 49th reading of the wall; blocks begin at both even and odd ones."""

    reads = 0

    def wall_ns(self) -> int:
        JumpingClock.reads += 1
        return super().wall_ns() + (-3600 * 10**9 if JumpingClock.reads % 49 == 0 else 0)


@pytest.mark.usefixtures("affinity")
def test_clock_set_back_is_invalid(benchmarks: Benchmarks, monkeypatch: pytest.MonkeyPatch) -> None:
    """A block that ends an hour before it began voids its benchmark."""
    monkeypatch.setattr("dlmi_bench.backends.HostClock", JumpingClock)
    decision = decide_benchmarks(benchmarks, {"a": 0.05}, run_here, INPROC)["a"]
    assert decision.verdict is Verdict.INVALID
    assert "clock" in decision.why


class LeapingClock(HostClock):
    """An hour ahead from within the 33rd block on."""

    n_blocks = 0

    def time(self, call: Callable[[], object], n_calls: int) -> Block:
        block = super().time(call, n_calls)
        LeapingClock.n_blocks += 1
        return replace(block, wall_ns=block.wall_ns + 3600 * 10**9) if LeapingClock.n_blocks == 33 else block


@pytest.mark.usefixtures("affinity")
def test_clock_set_ahead_is_invalid(benchmarks: Benchmarks, monkeypatch: pytest.MonkeyPatch) -> None:
    """A block that took an hour, as after a stop of the machine, voids the session; it says so and may be repeated."""
    monkeypatch.setattr("dlmi_bench.backends.HostClock", LeapingClock)
    answer = run_here(benchmarks)
    decision = decide_benchmarks(benchmarks, {"a": 0.05}, lambda *_: answer, INPROC)["a"]
    assert (decision.verdict, decision.is_disturbed) == (Verdict.INVALID, True)
    assert decision.why.startswith("process 1: 1 of its blocks took over 1 s and 10 x the usual one; the clock jumped")


def test_session_with_a_jump_is_repeated() -> None:
    """A machine that stood still once passes in a second session, although the median of the first never saw it."""

    class Suspended(Machine):
        def run(self, index: int) -> Timings:
            answer = super().run(index)
            if index == 1:
                answer.rounds_s["candidate"][7] = 0.02  # 100 calls of it are two seconds
            return answer

    machine = Suspended()
    decision = retry(machine)
    assert decision.verdict is Verdict.PASS
    assert "the clock jumped" in " ".join(decision.notes)
    assert [i for _, i in machine.asked] == [0, 1, RETRY, RETRY + 1, RETRY + 2]


def test_killed_worker_is_invalid(benchmarks: Benchmarks) -> None:
    """A worker killed with SIGKILL in the middle of its session ends INVALID, names the signal, and is not retried."""
    asked: list[int] = []

    def kill(*_: object) -> None:
        for child in psutil.Process().children():
            child.kill()

    def measure(asked_for: Benchmarks, index: int) -> Replicate:
        asked.append(index)
        return run_inproc(asked_for, index, 20, kill)

    decision = decide_with_retry(benchmarks, {"a": 0.05}, measure, INPROC, pause=asked.append)["a"]  # type: ignore[arg-type]
    assert (decision.verdict, asked) == (Verdict.INVALID, [0])
    assert "SIGKILL" in decision.why


def test_worker_that_hangs_is_invalid(benchmarks: Benchmarks) -> None:
    """A process that does not answer in time is killed; its benchmark is INVALID and says how long it was given."""
    decision = decide_benchmarks(
        benchmarks, {"a": 0.05}, lambda b, i: run_inproc(b, i, 10_000, lambda *_: None, timeout_s=0.5), INPROC
    )["a"]
    assert decision.verdict is Verdict.INVALID
    assert "within 0.5 s" in decision.why
    assert not [c for c in psutil.Process().children() if c.status() != psutil.STATUS_ZOMBIE]


def test_one_cpu_is_enough(benchmarks: Benchmarks, affinity: list[int]) -> None:
    """On a single allowed CPU the sides still take turns there, pinned, and every round is timed."""
    os.sched_setaffinity(0, affinity[:1])
    answer = run_inproc(benchmarks, 0, 20, lambda *_: None)
    assert answer.is_pinned
    timings = answer.benchmarks["a"]
    assert isinstance(timings, Timings)
    assert {len(times) for times in timings.rounds_s.values()} == {20}


def test_pinning_hops_every_second_round(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two rounds on each CPU in turn, always one at a time."""
    seen: list[set[int]] = []
    monkeypatch.setattr(os, "sched_setaffinity", lambda _, cpus: seen.append(set(cpus)))
    hopper = CpuHopper([3, 5])
    for index in range(5):
        hopper(index)
    assert seen == [{3}, {3}, {5}, {5}, {3}]


@pytest.mark.usefixtures("affinity")
def test_refused_pinning_is_said(benchmarks: Benchmarks, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system refuses, the replicate says so; the session then takes twice the processes."""

    def refuse(*_: object) -> None:
        raise PermissionError

    with monkeypatch.context() as patch:
        patch.setattr(os, "sched_setaffinity", refuse)
        assert run_here(benchmarks).is_pinned is False


class StalledWorker(Worker):
    """A real process that is prepared in no time and stands still from its first round on."""

    def ask(self, request: Request[Answer], *_: object, timeout_s: float | None = None) -> Answer:
        assert timeout_s is not None
        if not isinstance(request, RoundRequest):
            return request.parse_answer({"n_calls": 100, "conditions": IDENTITY})
        os.kill(self._process.pid, signal.SIGSTOP)
        return super().ask(request, timeout_s=timeout_s)


def test_round_that_hangs_is_invalid(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of four processes that stops in a round is killed in time; the benchmark is INVALID, and nothing is left."""
    monkeypatch.setattr(session, "Worker", StalledWorker)

    def measure(asked: Benchmarks, index: int) -> Replicate:
        return session.run_twoproc(asked, index, 10, lambda *_: None, None, timeout_s=0.5)  # type: ignore[arg-type]

    decision = decide_benchmarks(make_benchmarks("a"), {"a": 0.05}, measure, TWOPROC)["a"]
    assert decision.verdict is Verdict.INVALID
    assert "no answer from dlmi_bench.gating.latency.rounds:run_round_job within 0.5 s" in decision.why
    assert not [c for c in psutil.Process().children() if c.status() != psutil.STATUS_ZOMBIE]


class FakeWorker:
    """One side of a two-process session, without a process: remembers whose turn it was, on which CPU."""

    turns: list[tuple[int, int | None]] = []
    is_pinned = True

    def __init__(self, index: int, software: object = None) -> None:
        self.number = len(self.numbers)
        self.numbers.append(self.number)

    numbers: list[int] = []

    def ask(self, request: Request[Answer], *, timeout_s: float | None = None) -> Answer:
        if not isinstance(request, RoundRequest):
            return request.parse_answer({"n_calls": 100, "conditions": IDENTITY})
        FakeWorker.turns.append((self.number, request.cpu))
        return request.parse_answer([1e-5, 1e-5, FakeWorker.is_pinned])

    def close(self) -> None:
        pass


@pytest.mark.parametrize("is_pinned", [True, False])
def test_two_processes_take_turns_on_one_cpu(*, is_pinned: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """All four sides of a round share a CPU, mirrored in the next round on the same one, in more than one order."""
    monkeypatch.setattr(session, "Worker", FakeWorker)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    FakeWorker.turns, FakeWorker.numbers, FakeWorker.is_pinned = [], [], is_pinned
    answer = session.run_twoproc(make_benchmarks("a"), 0, 40, lambda *_: None, None)  # type: ignore[arg-type]
    rounds = [FakeWorker.turns[i : i + 4] for i in range(0, 160, 4)]
    assert all({cpu for _, cpu in one} == {i // 2 % 2} for i, one in enumerate(rounds))
    orders = [[side for side, _ in one] for one in rounds]
    assert all(sorted(order) == [0, 1, 2, 3] for order in orders)
    assert all(orders[i + 1] == orders[i][::-1] for i in range(0, 40, 2))
    assert len({tuple(order) for order in orders}) > 4
    assert answer.is_pinned is is_pinned


def test_runtime_has_one_thread(benchmarks: Benchmarks) -> None:
    """A session of ONNX Runtime starts no thread beside the one that calls it."""
    before = {thread.id for thread in psutil.Process().threads()}  # some of other tests may end meanwhile
    runner = BACKENDS["onnxruntime"].load(benchmarks["a"].baseline)
    runner.run(np.zeros((64, 1, 16, 16), np.float32))
    assert {thread.id for thread in psutil.Process().threads()} <= before


class Disturbed(Machine):
    """Interrupted in most of its blocks until the retry."""

    def run(self, index: int) -> Timings:
        share = 0.9 if index < RETRY else 0.0
        return replace(super().run(index), preempted_share=dict.fromkeys(SIDES, share))


def retry(machine: Machine) -> Decision:
    benchmarks = make_benchmarks("a")
    return decide_with_retry(benchmarks, {"a": 0.05}, machine, INPROC, pause=lambda _: None)["a"]


@pytest.mark.parametrize(("slowdown", "verdict"), [(0.0, Verdict.PASS), (0.2, Verdict.REGRESSED)])
def test_disturbed_session_is_repeated_once(slowdown: float, verdict: Verdict) -> None:
    """A pre-empted session ends at once and is measured again in new processes; that verdict counts, red or not."""
    machine = Disturbed(slowdown=slowdown)
    decision = retry(machine)
    assert decision.verdict is verdict
    assert "pre-empted" in " ".join(decision.notes)
    assert [i for _, i in machine.asked][:2] == [0, RETRY]


def test_machine_that_stays_busy_is_invalid() -> None:
    """There is one retry, not two; what it cannot judge is INVALID, and says that the machine was why."""

    class Busy(Machine):
        def run(self, index: int) -> Timings:
            return replace(super().run(index), preempted_share=dict.fromkeys(SIDES, 0.9))

    machine = Busy()
    decision = retry(machine)
    assert (decision.verdict, decision.is_disturbed, len(machine.asked)) == (Verdict.INVALID, True, 2)


def test_no_busy_machine_excuses_a_red() -> None:
    """A red whose confirmation was pre-empted is INVALID and is not measured again until it passes."""

    class Interrupted(Machine):
        def run(self, index: int) -> Timings:
            share = 0.9 if index >= CONFIRMATION else 0.0
            return replace(super().run(index), preempted_share=dict.fromkeys(SIDES, share))

    machine = Interrupted(slowdown=0.2)
    decision = retry(machine)
    assert (decision.verdict, decision.is_disturbed) == (Verdict.INVALID, False)
    assert max(index for _, index in machine.asked) < RETRY


@pytest.mark.parametrize("bad", [float("nan"), 0.0])
def test_impossible_times_are_not_retried(bad: float) -> None:
    """A time of zero or NaN is the benchmark's fault, not the machine's: INVALID at once, and it fails the gate."""

    class Broken(Machine):
        def run(self, index: int) -> Timings:
            answer = super().run(index)
            answer.rounds_s["candidate"][5] = bad
            return answer

    machine = Broken()
    decision = retry(machine)
    assert (decision.verdict, decision.is_disturbed, len(machine.asked)) == (Verdict.INVALID, False, 3)
