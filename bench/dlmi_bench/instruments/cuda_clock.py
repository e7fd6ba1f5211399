"""A clock for calls that queue work on a GPU: events around each block, and the speed of the device beside it."""

from collections.abc import Callable
from typing import Any

from dlmi_bench.errors import MeasurementError
from dlmi_bench.instruments.clock import Block, Clock, HostClock


class CudaClock(HostClock):
    """Times blocks by events on the stream on which the calls queue their work.

    Counts: what the device does between the events, gaps while it waits for the host included. It is made inside of
    `Runner.active`, so that the current stream is the one that the calls use.

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
        self._is_readable = True

    def sync(self) -> None:
        self._stream.synchronize()

    def time(self, call: Callable[[], object], n_calls: int) -> Block:
        """Elapsed time between the events; their resolution is about half a microsecond.

        The device's clock is read after each block, and so before the untimed calls of the next one: nothing idles
        between those and their block.
        """
        begin, end = (self._cuda.Event(enable_timing=True) for _ in range(2))
        self.sync()
        n_switches, cpu_ns = self.n_switches(), self.cpu_ns()
        begin.record(self._stream)
        for _ in range(n_calls):
            output = call()
        end.record(self._stream)
        end.synchronize()
        cpu_ns, n_switches = self.cpu_ns() - cpu_ns, self.n_switches() - n_switches
        return Block(round(begin.elapsed_time(end) * 1e6), cpu_ns, n_switches, self._read_hz(), output)

    def _read_hz(self) -> float | None:
        """Read the rate; None from the first failure on: a virtual GPU, a part of one, or no library."""
        if self._is_readable:
            try:
                return float(self._cuda.clock_rate() * 1e6)
            except Exception:  # noqa: BLE001 - the library's errors share no other base, torch adds its own
                self._is_readable = False
        return None
