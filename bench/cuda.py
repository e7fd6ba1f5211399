"""A clock for calls that queue work on a GPU: events around each block, and the speed of the device beside it."""

from collections.abc import Callable
from typing import Any

from bench.clock import Block, Clock, HostClock
from bench.errors import MeasurementError

THROTTLED = 0.95  # of the device's clock after its warm-up, below which a block is discarded


class CudaClock(HostClock):
    """Times blocks by events on the stream on which the calls queue their work.

    Counts: what the device does between the events, gaps while it waits for the host included. The device's clock is
    read before and after each block, outside it; where either reading lies below THROTTLED of the highest one so far,
    the block is marked.

    Args:
        cuda: `torch.cuda`, or something that behaves like it.

    Raises:
        MeasurementError: there is no usable device.
    """

    source = "CUDA events"
    time_singles = Clock.time_singles  # waits for the device after each call

    def __init__(self, cuda: Any = None) -> None:
        if cuda is None:
            import torch

            cuda = torch.cuda
        if not cuda.is_available():
            raise MeasurementError("no CUDA device", "run without cuda, or install a driver and a CUDA build of torch")
        self._cuda = cuda
        self._stream = cuda.current_stream()
        self._top_mhz = 0.0

    def sync(self) -> None:
        self._stream.synchronize()

    def time(self, call: Callable[[], object], n_calls: int) -> Block:
        """Elapsed time between the events; their resolution is about half a microsecond."""
        begin, end = (self._cuda.Event(enable_timing=True) for _ in range(2))
        self.sync()
        before_mhz = self._cuda.clock_rate()
        n_switches, cpu_ns = self.n_switches(), self.cpu_ns()
        begin.record(self._stream)
        for _ in range(n_calls):
            call()
        end.record(self._stream)
        end.synchronize()
        cpu_ns, n_switches = self.cpu_ns() - cpu_ns, self.n_switches() - n_switches
        after_mhz = self._cuda.clock_rate()
        self._top_mhz = max(self._top_mhz, before_mhz, after_mhz)
        is_throttled = min(before_mhz, after_mhz) < THROTTLED * self._top_mhz
        return Block(round(begin.elapsed_time(end) * 1e6), cpu_ns, n_switches, is_throttled)
