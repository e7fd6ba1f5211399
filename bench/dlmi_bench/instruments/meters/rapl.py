"""Energy counters of the processor (RAPL), as the kernel's powercap tree shows those of Intel and AMD.

Source: Linux, Documentation/power/powercap/powercap.rst; Intel SDM volume 3, chapter 15, "Platform specific power
management support": energy status registers count up and wrap around.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from dlmi_bench.errors import MeasurementError
from dlmi_bench.instruments.energy import Component

ROOT = Path("/")
MAX_POWER_W = 2000.0  # of one zone; the largest processors are built for 500 W
# The smallest known range, 65 kJ, lasts three times as long at that power: a late poll misses no wrap-around.
POLL_S = 10.0
TICK_S = 0.001
PROBE_S = 50 * TICK_S  # within so much time every counter has moved
MIRROR_UJ = 1_000_000  # two independent counters do not agree within 1 J; two views of the same one do
# Container engines mask the folder that the links of the tree lead to; a mount of it would be masked too.
UNMASK = (
    "docker run --security-opt systempaths=unconfined, podman run --security-opt unmask=/sys/devices/virtual/powercap, "
    "or run outside of the container"
)
# Zone of the tree -> our component. Cores and uncore are parts of a package, psys holds all of them.
COMPONENTS = {"package": "cpu", "dram": "ram"}


def read_uptime() -> float:
    """Time since the machine was started [s]; that in which it slept counts, where there is such a clock."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


@dataclass
class Counter:
    """Adds up a counter that starts again from 0 at `range_uj`."""

    range_uj: int
    total_uj: int = 0
    last_uj: int | None = None
    last_s: float = 0.0

    def add(self, reading_uj: int, now_s: float) -> None:
        """The next reading [uJ], at most one wrap-around after the one before.

        Raises:
            MeasurementError: the reading fell and the range is not known, the counter moved by more than work can have
                moved it, or it may have wrapped around more than once.
        """
        if self.last_uj is not None:
            self.total_uj += self._compute_step(reading_uj - self.last_uj, now_s - self.last_s)
        self.last_uj, self.last_s = reading_uj, now_s

    def _compute_step(self, step_uj: int, gap_s: float) -> int:
        most_uj = MAX_POWER_W * (gap_s + PROBE_S) * 1e6
        if step_uj < 0 and not self.range_uj:
            raise MeasurementError("RAPL: the counter wrapped around and hides its range", "use a newer kernel")
        if self.range_uj and most_uj > self.range_uj:
            cause = f"RAPL: the counter was not read for {gap_s:.0f} s and may have wrapped around unseen"
            raise MeasurementError(cause, "measure again, on a machine that is neither suspended nor stopped meanwhile")
        step_uj += self.range_uj if step_uj < 0 else 0
        if step_uj > most_uj:
            cause = f"RAPL: the counter moved by {step_uj / 1e6:.0f} J in {gap_s:.1f} s: it was reset or ran backwards"
            raise MeasurementError(cause, "measure again; if it stays so, reload the kernel module intel_rapl_msr")
        return step_uj


@dataclass
class Zone:
    """One folder of the powercap tree."""

    name: str
    folder: Path
    counter: Counter = field(default_factory=lambda: Counter(0))

    @property
    def component(self) -> str | None:
        """Component of a zone; None for one that is a part or a superset of another."""
        return COMPONENTS.get(self.name.partition("-")[0])

    def read(self) -> int:
        return int(_read(self.folder / "energy_uj"))


class RaplMeter:
    """Energy of all packages together, and of their memory if it has counters, without zones that stand still.

    Raises:
        MeasurementError: no counters, no permission to read them, or none that moves.
    """

    def __init__(
        self,
        root: Path = ROOT,
        *,
        poll_s: float = POLL_S,
        sleep: Callable[[float], object] = time.sleep,
        clock: Callable[[], float] = read_uptime,
    ) -> None:
        zones = find_zones(root)
        self._poll_s, self._clock = poll_s, clock
        self._ended = threading.Event()
        self._poller: threading.Thread | None = None
        self._failure: MeasurementError | None = None
        before = [zone.read() for zone in zones]
        sleep(PROBE_S)
        moves = [zone.read() != reading for zone, reading in zip(zones, before, strict=True)]
        self._zones = [zone for zone, does in zip(zones, moves, strict=True) if does]
        self._still = [zone.name for zone, does in zip(zones, moves, strict=True) if not does]
        if not self._zones:
            raise MeasurementError("RAPL: the counters stand still", "run on bare metal: this hypervisor fakes them")

    def start(self) -> None:
        for zone in self._zones:
            zone.counter = Counter(_read_range(zone.folder / "max_energy_range_uj"))
        self._ended, self._failure = threading.Event(), None
        self._add_readings()
        self._poller = threading.Thread(target=self._poll, daemon=True)
        self._poller.start()

    def stop(self) -> list[Component]:
        self._ended.set()
        if self._poller:
            self._poller.join()
        if self._failure:
            raise self._failure
        self._add_readings()
        zones: dict[str, list[Zone]] = {}
        for zone in self._zones:
            zones.setdefault(zone.component or "", []).append(zone)
        still = f"; without {', '.join(self._still)}: no counter that moves" if self._still else ""
        return [
            Component(
                name,
                sum(zone.counter.total_uj for zone in some) / 1e6,
                "rapl",
                "measured",
                " + ".join(zone.name for zone in some) + still,
                TICK_S,
            )
            for name, some in zones.items()
        ]

    def _poll(self) -> None:
        try:
            while not self._ended.wait(self._poll_s):
                self._add_readings()
        except MeasurementError as error:  # told by `stop`: a thread has nobody to tell
            self._failure = error

    def _add_readings(self) -> None:
        for zone in self._zones:
            zone.counter.add(zone.read(), self._clock())


def find_zones(root: Path = ROOT) -> list[Zone]:
    """Readable zones that count each joule once: mirrors of another zone's counter are left out.

    Raises:
        MeasurementError: there are none, or they may not be read.
    """
    tree = root / "sys/class/powercap"
    folders = sorted(tree.glob("intel-rapl:*"))  # AMD's go by the same name; intel-rapl-mmio repeats them
    zones = [Zone(_read(folder / "name").strip(), folder) for folder in folders]
    zones = [zone for zone in zones if zone.component]
    if not zones:
        raise MeasurementError(
            f"RAPL: no counters in {tree}",
            "run on bare metal (virtual machines rarely pass them on), or load the kernel module intel_rapl_msr",
        )
    readings = {zone.folder: zone.read() for zone in zones}
    kept: list[Zone] = []
    for zone in zones:
        twins = [other for other in kept if other.component == zone.component]
        if all(abs(readings[zone.folder] - readings[other.folder]) > MIRROR_UJ for other in twins):
            kept.append(zone)
    return kept


def _read(path: Path) -> str:
    """A file of the tree.

    Raises:
        MeasurementError: the container hides it, only root may read it, or the counter behind it is gone.
    """
    try:
        return path.read_text()
    except PermissionError as error:
        remedy = f"sudo chmod a+r {path.parent.parent}/intel-rapl:*/energy_uj (until the next boot; not in a container)"
        raise MeasurementError(f"RAPL: {path}: only root may read it", remedy) from error
    except OSError as error:
        if path.parent.is_symlink() and not path.parent.exists():  # its target is masked
            raise MeasurementError(f"RAPL: {path.parent}: this container hides the counters", UNMASK) from error
        remedy = "measure again; if it stays so, reload the kernel module intel_rapl_msr"
        raise MeasurementError(f"RAPL: {path}: {error.strerror}", remedy) from error


def _read_range(path: Path) -> int:
    """0 where the kernel does not say."""
    try:
        return int(path.read_text())
    except OSError:
        return 0
