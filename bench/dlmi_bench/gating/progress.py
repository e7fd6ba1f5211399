"""Progress of a gate: what is being done and how long it takes at most, in lines on standard error."""

import sys
import time
from collections.abc import Callable
from contextlib import suppress
from threading import Event, Lock, Thread
from types import TracebackType
from typing import Self

from dlmi_bench.gating.latency.benchmark import Benchmarks, Replicate
from dlmi_bench.gating.latency.looks import CONFIRMATION, Measure
from dlmi_bench.gating.latency.retry import RETRY
from dlmi_bench.jobs.protocol import OnProgress
from dlmi_bench.units import clean_text, format_quantity

BEAT_S = 20.0  # between looks at whether a line is due
SILENCE_S = 10.0  # from the last line on; so there is one every 30 s
# Sessions by the first number of their replicates.
SESSIONS = {
    0: "timing",
    CONFIRMATION: "confirming the regression of",
    RETRY: "second session, after a disturbance, of",
    RETRY + CONFIRMATION: "confirming the regression, in the second session, of",
}


class ProgressLines:
    """Write a line for each new step, and one at least every 30 s while a step lasts.

    Nothing else wakes this process up while a worker measures.

    Args:
        title: First word of each line.
        is_quiet: Write nothing.
    """

    def __init__(self, title: str, *, is_quiet: bool = False) -> None:
        self._title, self._is_quiet = title, is_quiet
        self._doing, self._begin_s = "starting", time.monotonic()
        self._written_s = self._begin_s
        self._seen: set[str] = set()
        self._lock, self._ended = Lock(), Event()
        self._beats = Thread(target=self._keep_beating, daemon=True)

    def __enter__(self) -> Self:
        if not self._is_quiet:
            self._beats.start()
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self._ended.set()
        if not self._is_quiet:
            self._beats.join()

    def __call__(self, doing: str, _: float = 0.0) -> None:
        """Begin a step; one that began before in another process is not written again."""
        with self._lock:
            self._doing, self._begin_s = doing, time.monotonic()
            if doing not in self._seen:
                self._seen.add(doing)
                self._write(doing)

    def beat(self, now_s: float) -> None:
        """Write that the step still lasts, if there was no line lately; `now_s` is by the monotonic clock."""
        with self._lock:
            if now_s - self._written_s >= SILENCE_S:
                self._write(f"{self._doing}: for {now_s - self._begin_s:.0f} s now")

    def _keep_beating(self) -> None:
        while not self._ended.wait(BEAT_S):
            self.beat(time.monotonic())

    def _write(self, text: str) -> None:
        self._written_s = time.monotonic()
        if not self._is_quiet:
            with suppress(OSError, ValueError):  # nobody reads it any more: the gate goes on
                sys.stderr.write(f"{clean_text(self._title)}: {clean_text(text)}\n")
                sys.stderr.flush()


def pause_and_tell(pause_s: float, on_progress: OnProgress) -> None:
    """Wait for what disturbed the session to end [s]."""
    on_progress(f"the machine was busy: waiting {format_quantity(pause_s, 's')} before the second session", 0.0)
    time.sleep(pause_s)


def announce_processes(
    measure: Measure,
    looks: tuple[int, ...],
    timeout_s: float | None,
    on_progress: OnProgress,
    clock: Callable[[], float] = time.monotonic,
) -> Measure:
    """Make a measure that says before each process which one it is, and how long its session takes at most.

    Args:
        looks: Number of processes at each look.
        timeout_s: Time limit of one process, which bounds the first one; None where each of its answers has one [s].
        clock: Seconds since whenever.
    """
    longest_s, factor = 0.0, 1

    def measure_and_tell(benchmarks: Benchmarks, index: int) -> Replicate:
        nonlocal longest_s, factor
        first = max(number for number in SESSIONS if number <= index)
        number, n_most = index - first + 1, factor * looks[-1]
        most = f", at most {format_quantity(timeout_s, 's')} each" if timeout_s else ""
        if longest_s:
            most = f", at most {format_quantity((n_most - number + 1) * longest_s, 's')} more"
        named = next(iter(benchmarks)) if len(benchmarks) == 1 else f"{len(benchmarks)} benchmarks"
        what = f"{SESSIONS[first]} {named}: process {number} of {factor * looks[0]} to {n_most}"
        on_progress(what + most, (number - 1) / n_most)
        begin_s = clock()
        answer = measure(benchmarks, index)
        longest_s = max(longest_s, clock() - begin_s)
        factor = 1 if answer.is_pinned else 2  # unpinned sessions take twice the processes
        return answer

    return measure_and_tell
