"""Clocks. Instruments take one as an argument, so that tests can run them on a clock of known behaviour."""

import time
from typing import Protocol


class Clock(Protocol):
    """Two monotonic counters of the calling thread."""

    def wall_ns(self) -> int:
        """Wall-clock time [ns]; decides."""
        ...

    def cpu_ns(self) -> int:
        """CPU time of this thread [ns]; tells whether it was pre-empted."""
        ...


class HostClock:
    """The clocks of this machine."""

    def wall_ns(self) -> int:
        return time.perf_counter_ns()

    def cpu_ns(self) -> int:
        return time.thread_time_ns()


class Stopwatch:
    """Adds up the time spent inside `with stopwatch:` blocks [s]."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or HostClock()
        self._start_ns = 0
        self.total_s = 0.0

    def __enter__(self) -> "Stopwatch":
        self._start_ns = self._clock.wall_ns()
        return self

    def __exit__(self, *_: object) -> None:
        self.total_s += (self._clock.wall_ns() - self._start_ns) / 1e9
