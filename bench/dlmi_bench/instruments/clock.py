"""Clocks. Instruments take one as an argument, so that tests can run them on a clock of known behaviour."""

import resource
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter_ns, thread_time_ns  # as they are now: a model that replaces them is timed by these
from typing import Protocol


@dataclass(frozen=True)
class Block:
    """Several calls timed as one.

    Attributes:
        wall_ns: By the clock that decides [ns].
        cpu_ns: CPU time of the calling thread [ns].
        n_switches: Involuntary context switches: how often something else was given this CPU.
        speed_hz: Clock of the device after the block; None of the host, or where it is not readable [Hz].
        output: What the last call returned.
    """

    wall_ns: int
    cpu_ns: int
    n_switches: int = 0
    speed_hz: float | None = None
    output: object = None


class Clock(Protocol):
    """Monotonic counters of the calling thread, and how a block of calls is timed with them.

    Attributes:
        source: What times a block, by name.
    """

    source: str = "perf_counter_ns"

    def wall_ns(self) -> int:
        """Wall-clock time [ns]; decides."""
        ...

    def cpu_ns(self) -> int:
        """CPU time of this thread [ns]; tells whether it was pre-empted."""
        ...

    def n_switches(self) -> int:
        """Involuntary context switches of this process so far."""
        ...

    def sync(self) -> None:
        """Wait for all queued work. On the host there is none: a call is done when it returns."""
        return

    def time(self, call: Callable[[], object], n_calls: int) -> Block:
        """Time `n_calls` calls as one block."""
        repeats = range(n_calls)
        n_switches, cpu_ns, wall_ns = self.n_switches(), self.cpu_ns(), self.wall_ns()
        for _ in repeats:
            output = call()
        wall_ns, cpu_ns = self.wall_ns() - wall_ns, self.cpu_ns() - cpu_ns
        return Block(wall_ns, cpu_ns, self.n_switches() - n_switches, output=output)

    def time_singles(self, call: Callable[[], object], n_calls: int) -> list[int]:
        """Time calls one by one, each from its start until all its work is done [ns]."""
        durations_ns = []
        for _ in range(n_calls):
            start_ns = self.wall_ns()
            call()
            self.sync()
            durations_ns.append(self.wall_ns() - start_ns)
        return durations_ns


class HostClock(Clock):
    """The clocks of this machine."""

    def wall_ns(self) -> int:
        return perf_counter_ns()

    def cpu_ns(self) -> int:
        return thread_time_ns()

    def n_switches(self) -> int:
        return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw

    def time_singles(self, call: Callable[[], object], n_calls: int) -> list[int]:
        """The bare clock, and nothing to wait for: a method between the reads would cost as much as they do."""
        now, durations_ns = perf_counter_ns, []
        for _ in range(n_calls):
            start_ns = now()
            call()
            durations_ns.append(now() - start_ns)
        return durations_ns


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
