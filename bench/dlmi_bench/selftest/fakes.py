"""Clock, meters and counters that do exactly what they are told, in place of the machine's."""

from pathlib import Path

from dlmi_bench.instruments.clock import Clock
from dlmi_bench.instruments.energy import Component

RANGE_UJ = 65_532_610_987  # of a server's package


class FakeClock(Clock):
    """Wall time, CPU time and context switches that move only when told to."""

    def __init__(self) -> None:
        self.now_ns = 0
        self.busy_ns = 0
        self.switches = 0

    def wall_ns(self) -> int:
        return self.now_ns

    def cpu_ns(self) -> int:
        return self.busy_ns

    def n_switches(self) -> int:
        return self.switches

    def work(self, duration_ns: int) -> None:
        self.now_ns += duration_ns
        self.busy_ns += duration_ns

    def wait(self, duration_ns: int) -> None:
        self.now_ns += duration_ns


class WattMeter:
    """Reads exactly `power_w` times the time between start and stop; its memory is modelled, at `ram_w`."""

    def __init__(self, clock: FakeClock, power_w: float, ram_w: float | None = None) -> None:
        self.clock, self.power_w, self.start_ns = clock, power_w, 0
        self.ram_w = 2 * power_w if ram_w is None else ram_w
        self.is_running = False

    def start(self) -> None:
        self.start_ns, self.is_running = self.clock.wall_ns(), True

    def stop(self) -> list[Component]:
        self.is_running = False
        window_s = (self.clock.wall_ns() - self.start_ns) / 1e9
        return [
            Component("cpu", self.power_w * window_s, "rapl", "measured", "package-0"),
            Component("ram", self.ram_w * window_s, "ram_constant", "modelled"),
        ]


class Powercap:
    """A tree of zones, folder -> name, whose counters move when told to and wrap around."""

    def __init__(self, root: Path, zones: dict[str, str]) -> None:
        self.root = root
        self.folders = {name: root / "sys/class/powercap" / folder for folder, name in zones.items()}
        for index, (name, folder) in enumerate(self.folders.items()):
            folder.mkdir(parents=True)
            (folder / "name").write_text(f"{name}\n")
            (folder / "max_energy_range_uj").write_text(f"{RANGE_UJ}\n")
            (folder / "energy_uj").write_text(f"{10_000_000 * index}\n")

    def spend(self, **joules: float) -> None:
        """Advance counters; zone names with underscores for dashes."""
        for name, spent_j in joules.items():
            path = self.folders[name.replace("_", "-")] / "energy_uj"
            fresh = path.with_name("fresh")
            fresh.write_text(f"{(int(path.read_text()) + round(spent_j * 1e6)) % RANGE_UJ}\n")
            fresh.replace(path)  # the kernel never shows half a number
