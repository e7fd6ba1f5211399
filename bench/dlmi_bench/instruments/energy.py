"""Energy of a piece of work: repeated until the meter can see it, with and without what the idle machine draws.

Measured and modelled joules are never added. Which meter reads which part of the machine: `meters`.
"""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Protocol

from dlmi_bench.errors import MeasurementError
from dlmi_bench.instruments.clock import Clock, HostClock
from dlmi_bench.instruments.host.activity import CpuUse, CpuWatch
from dlmi_bench.records import FigureKind, Mark, Note
from dlmi_bench.units import format_share

MIN_WINDOW_S = 3.0  # by default
# A window shorter than this, or than this many ticks of its meter, gives no figure.
SHORTEST_WINDOW_S = 1.0
MIN_TICKS = 3
# So many CPUs at work while this process sleeps are no idle machine, whatever its size: a busy CPU draws as much in a
# large machine as in a small one.
MAX_OTHER_CPUS = 0.5
# Of the CPU time that is used in a window; beyond it the joules are noticeably those of neighbours.
MAX_OTHERS_SHARE = 0.1
CONSTANTS = ("ram_constant", "tdp_constant")  # they draw the same at rest


@dataclass(frozen=True)
class Component:
    """Energy of one part of the machine over one window.

    Attributes:
        scope: Whose joules the meter counts.
        tick_s: How often the meter moves [s].
    """

    name: str
    energy_j: float
    source: str
    kind: FigureKind
    scope: str = "machine"
    tick_s: float = 0.0

    @property
    def shortest_window_s(self) -> float:
        """Below it the meter says too little."""
        return max(SHORTEST_WINDOW_S, MIN_TICKS * self.tick_s)


class Meter(Protocol):
    """Counts energy between `start` and `stop`."""

    def start(self) -> None: ...

    def stop(self) -> list[Component]: ...


@dataclass(frozen=True)
class Idle:
    """Power of the machine while this process sleeps.

    Attributes:
        power_w: Power by component and source [W].
        window_s: How long was looked [s].
        other_cpus: CPUs that neighbours kept busy meanwhile; None where the kernel does not tell.
        modelled: Those of the sources that measure nothing.
    """

    power_w: Mapping[tuple[str, str], float]
    window_s: float
    other_cpus: float | None = None
    modelled: frozenset[str] = frozenset()


@dataclass(frozen=True)
class EnergySample:
    """Energy of one repeat of the work, from a window that held `n_repeats` of them.

    Attributes:
        components: Gross energy of one repeat.
        work_s: Duration of one repeat [s].
        idle: The idle machine; None where it was not measured.
        use: Of the CPUs meanwhile; None where the kernel does not tell.
        scaled: From how many calls a repeat to how many; None where the energy is that of a whole repeat.
    """

    components: tuple[Component, ...]
    n_repeats: int
    window_s: float
    work_s: float
    idle: Idle | None = None
    use: CpuUse | None = None
    scaled: tuple[int, int] | None = None

    @property
    def complaints(self) -> list[Note]:
        """List the reasons to doubt the joules of this window."""
        if self.use is None or self.use.others_share <= MAX_OTHERS_SHARE:
            return []
        share = format_share(self.use.others_share)
        return [Note(Mark.NOISY, f"{share} of the CPU time in the window was used by other processes")]

    def find_shortage(self, part: Component) -> str:
        """Reason why there is no energy of the component at all; empty if there is."""
        if self.window_s >= part.shortest_window_s:
            return ""
        return f"too short: a window of {self.window_s:.2g} s, {part.source} needs {part.shortest_window_s:g} s"

    def find_obstacle(self, part: Component) -> str:
        """Reason why there is no net energy of the component; empty if there is."""
        if part.source in CONSTANTS:
            return "a constant is the same at rest"
        if self.idle is None or (part.name, part.source) not in self.idle.power_w:
            return "the idle machine was not measured"
        if self.idle.window_s < part.shortest_window_s:
            return f"the idle machine was looked at for {self.idle.window_s:.2g} s only"
        if self.idle.other_cpus is not None and self.idle.other_cpus > MAX_OTHER_CPUS:
            return f"the machine did not idle: neighbours kept {self.idle.other_cpus:.1f} CPUs busy meanwhile"
        return ""

    def compute_net_j(self, part: Component) -> float | None:
        """Energy above that of the idle machine [J]; None with an obstacle. Below 0: too little to be seen."""
        if self.idle is None or self.find_obstacle(part):
            return None
        return part.energy_j - self.idle.power_w[part.name, part.source] * self.work_s

    def scale(self, n_calls: int, n_wanted: int) -> "EnergySample":
        """The energy of `n_wanted` calls, where a repeat is `n_calls` that are all alike."""
        factor = n_wanted / n_calls
        parts = tuple(replace(part, energy_j=factor * part.energy_j) for part in self.components)
        return replace(self, components=parts, work_s=factor * self.work_s, scaled=(n_calls, n_wanted))


def measure_energy(
    work: Callable[[], object],
    meter: Meter,
    *,
    min_window_s: float = MIN_WINDOW_S,
    idle: Idle | None = None,
    clock: Clock | None = None,
) -> EnergySample:
    """Repeat identical work until the window is long enough for the meter, then divide.

    Raises:
        MeasurementError: the meter died, stood still, or read nothing at all.
    """
    clock = clock or HostClock()
    n_repeats = 0
    watch = CpuWatch()
    meter.start()
    start_ns = clock.wall_ns()
    try:
        while n_repeats == 0 or clock.wall_ns() - start_ns < min_window_s * 1e9:
            work()
            n_repeats += 1
        window_s = (clock.wall_ns() - start_ns) / 1e9
    except BaseException:
        with suppress(MeasurementError):  # what counts is why the work failed
            meter.stop()  # a window left open would run into the next one
        raise
    parts = meter.stop()
    _check(parts, window_s)
    per_repeat = tuple(replace(part, energy_j=part.energy_j / n_repeats) for part in parts)
    return EnergySample(per_repeat, n_repeats, window_s, window_s / n_repeats, idle, watch.read())


def measure_idle(
    meter: Meter,
    *,
    window_s: float = MIN_WINDOW_S,
    sleep: Callable[[float], object] = time.sleep,
    clock: Clock | None = None,
) -> Idle:
    """Read the meter while this process sleeps; neighbours go on, and their share is kept with the figure."""
    sample = measure_energy(lambda: sleep(window_s), meter, min_window_s=0.0, clock=clock)
    power_w = {(part.name, part.source): part.energy_j / sample.window_s for part in sample.components}
    modelled = frozenset(part.source for part in sample.components if part.kind == "modelled")
    return Idle(power_w, sample.window_s, sample.use.others if sample.use else None, modelled)


def _check(parts: list[Component], window_s: float) -> None:
    still = [part.source for part in parts if part.kind == "measured" and part.energy_j <= 0]
    if still or not any(part.energy_j > 0 for part in parts):
        raise MeasurementError(
            f"energy: {' and '.join(still) or 'the meter'} read 0 J over {window_s:.1f} s",
            "run `dlmi-bench doctor`: it says what this machine can measure",
        )
