"""Energy of a piece of work: repeated until the meter can see it, with and without what the idle machine draws.

Measured and modelled joules are never added. Which meter there is for which part of the machine: bench.meters.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from bench.clock import Clock, HostClock
from bench.errors import MeasurementError
from bench.load import compute_busy_share, read_cpu_times
from bench.records import FigureKind

# Shortest window [s]: three ticks of the load model's 1 s monitor; counters (RAPL, NVML) tick much faster.
MIN_WINDOW_S = 3.0
# Above this share of busy CPUs the machine does not idle while this process sleeps: half of one CPU in two.
MAX_BUSY_SHARE = 0.25
CONSTANTS = ("ram_constant", "tdp_constant")  # they draw the same at rest


@dataclass(frozen=True)
class Component:
    """Energy of one part of the machine over one window; `scope` says whose joules the meter counts."""

    name: str
    energy_j: float
    source: str
    kind: FigureKind
    scope: str = "machine"


class Meter(Protocol):
    """Counts energy between `start` and `stop`."""

    def start(self) -> None: ...

    def stop(self) -> list[Component]: ...


@dataclass(frozen=True)
class Idle:
    """What the machine draws while this process sleeps.

    Attributes:
        power_w: Power by component and source [W].
        window_s: How long was looked [s].
        busy_share: Share of the CPUs that neighbours kept busy meanwhile; None where the kernel does not tell.
    """

    power_w: Mapping[tuple[str, str], float]
    window_s: float
    busy_share: float | None = None


@dataclass(frozen=True)
class EnergySample:
    """Energy of one repeat of the work, from a window that held `n_repeats` of them.

    Attributes:
        components: Gross energy of one repeat.
        work_s: Duration of one repeat [s].
        idle: The idle machine; None where it was not measured.
    """

    components: tuple[Component, ...]
    n_repeats: int
    window_s: float
    work_s: float
    idle: Idle | None = None

    def find_obstacle(self, part: Component) -> str:
        """Why there is no net energy of the component; empty where there is."""
        if part.source in CONSTANTS:
            return "a constant is the same at rest"
        if self.idle is None or (part.name, part.source) not in self.idle.power_w:
            return "the idle machine was not measured"
        if self.idle.busy_share is not None and self.idle.busy_share > MAX_BUSY_SHARE:
            return f"the machine did not idle: CPUs {self.idle.busy_share:.0%} busy while this process slept"
        return ""

    def compute_net_j(self, part: Component) -> float | None:
        """Energy above that of the idle machine [J]; None with an obstacle. Below 0: too little to be seen."""
        if self.idle is None or self.find_obstacle(part):
            return None
        return part.energy_j - self.idle.power_w[part.name, part.source] * self.work_s

    def scale(self, factor: float) -> "EnergySample":
        """The energy of `factor` repeats; only for calls that are all alike."""
        parts = tuple(replace(part, energy_j=factor * part.energy_j) for part in self.components)
        return replace(self, components=parts, work_s=factor * self.work_s)


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
    meter.start()
    start_ns = clock.wall_ns()
    try:
        while n_repeats == 0 or clock.wall_ns() - start_ns < min_window_s * 1e9:
            work()
            n_repeats += 1
        window_s = (clock.wall_ns() - start_ns) / 1e9
    finally:
        parts = meter.stop()  # also after a failure: a window left open would run into the next one
    _check(parts, window_s)
    per_repeat = tuple(replace(part, energy_j=part.energy_j / n_repeats) for part in parts)
    return EnergySample(per_repeat, n_repeats, window_s, window_s / n_repeats, idle)


def measure_idle(
    meter: Meter,
    *,
    window_s: float = MIN_WINDOW_S,
    sleep: Callable[[float], object] = time.sleep,
    clock: Clock | None = None,
) -> Idle:
    """Read the meter while this process sleeps; neighbours go on, and their share is kept with the figure."""
    before = read_cpu_times()
    sample = measure_energy(lambda: sleep(window_s), meter, min_window_s=0.0, clock=clock)
    power_w = {(part.name, part.source): part.energy_j / sample.window_s for part in sample.components}
    return Idle(power_w, sample.window_s, compute_busy_share(before, read_cpu_times()))


def _check(parts: list[Component], window_s: float) -> None:
    still = [part.source for part in parts if part.kind == "measured" and part.energy_j <= 0]
    if still or not any(part.energy_j > 0 for part in parts):
        raise MeasurementError(
            f"energy: {' and '.join(still) or 'the meter'} read 0 J over {window_s:.1f} s",
            "run `dlmi-bench doctor`: it says what this machine can measure",
        )
