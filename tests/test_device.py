"""The clock of a GPU, and what becomes of rounds in which it ran below its speed, on a device of known behaviour."""

from collections.abc import Callable
from types import SimpleNamespace

import pynvml
import pytest

from dlmi_bench.backends import BACKENDS
from dlmi_bench.errors import MeasurementError
from dlmi_bench.instruments.cuda_clock import CudaClock
from dlmi_bench.instruments.latency import Plan, Trace, measure_latency
from dlmi_bench.instruments.latency_figures import make_latency_figures


class FakeCuda:
    """A device whose time moves when told to, and whose clock follows a script."""

    def __init__(self, is_there: bool = True, fault: Exception | None = None) -> None:
        self.now_ms, self.mhz, self.log = 0.0, 1000.0, []
        self.is_there, self.fault = is_there, fault

    def is_available(self) -> bool:
        return self.is_there

    def current_stream(self) -> SimpleNamespace:
        return SimpleNamespace(synchronize=lambda: self.log.append("sync"))

    def clock_rate(self) -> float:
        self.log.append("read")
        if self.fault:
            raise self.fault
        return self.mhz

    def work(self) -> None:
        self.now_ms += 2

    def Event(self, *, enable_timing: bool) -> "FakeEvent":  # noqa: N802 - torch's name
        assert enable_timing
        return FakeEvent(self)


class FakeEvent:
    def __init__(self, cuda: FakeCuda) -> None:
        self.cuda = cuda

    def record(self, stream: object) -> None:
        assert stream is not None
        self.at_ms = self.cuda.now_ms
        self.cuda.log.append("record")

    def synchronize(self) -> None:
        self.cuda.log.append("wait")

    def elapsed_time(self, end: "FakeEvent") -> float:
        return end.at_ms - self.at_ms


def measure(cuda: FakeCuda, mhz: Callable[[int, str], float]) -> dict[str, Trace]:
    """A session of two benchmarks on a device whose clock depends on the round and on what runs."""
    now = 0

    def pin(index: int) -> None:
        nonlocal now
        now = index

    def make_call(name: str) -> Callable[[], None]:
        def call() -> None:
            cuda.mhz = mhz(now, name)
            cuda.work()

        return call

    plan = Plan(n_rounds=8, n_calls={"a": 1, "b": 1})
    return measure_latency({name: make_call(name) for name in "ab"}, plan, clock=CudaClock(cuda), pin=pin)


def find_notes(trace: Trace) -> str:
    figures = make_latency_figures([trace], [trace], is_pinned=True, conditions={"backend": "cuda", "batch": 1})
    return "; ".join(map(str, figures[0].notes))


def test_single_calls_on_a_device_are_waited_for() -> None:
    """Each call is followed by a wait for its work before the clock is read again."""
    cuda = FakeCuda()
    durations_ns = CudaClock(cuda).time_singles(lambda: cuda.log.append("call"), 3)
    assert cuda.log == 3 * ["call", "sync"]
    assert len(durations_ns) == 3
    assert min(durations_ns) > 0


def test_events_stand_around_the_calls() -> None:
    """Ten calls of 2 ms read 20 ms of device time, between two events; the clock is read after them, not before."""
    cuda = FakeCuda()

    def call() -> int:
        cuda.work()
        cuda.log.append("call")
        return len(cuda.log)

    block = CudaClock(cuda).time(call, 10)
    assert (block.wall_ns, block.speed_hz, block.output) == (20_000_000, 1e9, 12)
    assert cuda.log == ["sync", "record", *["call"] * 10, "record", "wait", "read"]


def test_throttled_rounds_are_discarded_for_all_and_counted() -> None:
    """While the device runs at 90 % of its clock, at first too, no benchmark keeps the round, and each counts it."""
    traces = measure(FakeCuda(), lambda index, _: 900.0 if index in (0, 1) else 1000.0)
    assert [(len(t.wall_s), t.n_throttled) for t in traces.values()] == [(6, 2), (6, 2)]
    assert set(traces["a"].wall_s) == {2e-3}
    assert set(traces["a"].speeds_hz) == {1e9}
    assert "noisy: 2 rounds discarded" in find_notes(traces["a"])


def test_hungry_benchmark_is_measured_at_its_own_clock() -> None:
    """One that draws the clock down to 80 % whenever it runs costs nobody a round, a throttled device two."""
    cuda = FakeCuda()
    traces = measure(cuda, lambda i, name: (800.0 if name == "a" else 1000.0) * (0.9 if i in (2, 3) else 1.0))
    assert [(len(t.wall_s), t.n_throttled) for t in traces.values()] == [(6, 2), (6, 2)]
    assert "device at 800 to 800 MHz" in find_notes(traces["a"])


def test_device_that_holds_no_clock_is_measured_and_says_so() -> None:
    """Where most rounds are below 95 % of the highest, none is discarded, and the row is noisy."""
    traces = measure(FakeCuda(), lambda index, _: 1000.0 if index == 7 else 700.0 + 5 * index)
    assert [(len(t.wall_s), t.n_throttled) for t in traces.values()] == [(8, 0), (8, 0)]
    assert "noisy: the device held no clock, 700 to 1000 MHz" in find_notes(traces["a"])


@pytest.mark.parametrize(
    "fault",
    [RuntimeError("MIG"), ModuleNotFoundError("nvidia-ml-py"), pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)],
)
def test_clock_that_is_not_readable_discards_nothing(fault: Exception) -> None:
    """The device is timed all the same, is asked once, and the row says that throttling goes unseen."""
    cuda = FakeCuda(fault=fault)
    trace = measure(cuda, lambda *_: 1000.0)["a"]
    assert (len(trace.wall_s), trace.n_throttled, trace.speeds_hz) == (8, 0, [])
    assert cuda.log.count("read") == 1
    assert "clock is not readable" in find_notes(trace)


def test_runtimes_on_the_device_are_timed_by_its_events(monkeypatch: pytest.MonkeyPatch) -> None:
    """The three CUDA runtimes and no other; the figure names what timed it."""
    cuda = FakeCuda()
    monkeypatch.setattr("dlmi_bench.backends.CudaClock", lambda: CudaClock(cuda))
    clocks = {name: entry.make_clock() for name, entry in BACKENDS.items()}
    timed = {name for name, clock in clocks.items() if isinstance(clock, CudaClock)}
    assert timed == {"cuda", "cuda-graphs", "onnxruntime-cuda"}
    trace = measure_latency({"a": cuda.work}, Plan(n_rounds=4, n_calls={"a": 1}), clock=clocks["cuda"])["a"]
    figure = make_latency_figures([trace], [trace], is_pinned=True, conditions={"backend": "cuda", "batch": 1})[0]
    assert (figure.value, figure.source) == (2e-3, "CUDA events")


def test_no_device_is_an_error_with_a_remedy() -> None:
    """Without a GPU the clock refuses."""
    with pytest.raises(MeasurementError, match="no CUDA device"):
        CudaClock(FakeCuda(is_there=False))
