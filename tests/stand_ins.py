"""What tests use in place of the world: clock and meters that do what they are told, the installed command."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

from bench.clock import Clock
from bench.energy import Component


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


def plant(root: Path, files: dict[str, str]) -> Path:
    """A tree of files, by their path below `root`."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


class NvmlError(Exception):
    """What NVIDIA's library raises."""


class FakeNvml:
    """GPUs of known power, as the module `pynvml` shows them; `fault` is what does not work."""

    NVMLError = NvmlError

    def __init__(self, clock: FakeClock, powers_w: Sequence[float], fault: str = "") -> None:
        self.clock, self.powers_w, self.fault = clock, powers_w, fault

    def nvmlInit(self) -> None:  # noqa: N802 - the library's own names
        if self.fault == "driver":
            raise NvmlError("Driver Not Loaded")

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return len(self.powers_w)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        return index

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: int) -> int:  # noqa: N802
        if self.fault == "counter":
            raise NvmlError("Not Supported")
        return round(self.powers_w[handle] * self.clock.wall_ns() / 1e6)

    def nvmlSystemGetDriverVersion(self) -> str:  # noqa: N802
        return "580.95"

    def nvmlDeviceGetName(self, handle: int) -> bytes:  # noqa: N802
        return f"GPU {handle}".encode()

    def nvmlDeviceGetMemoryInfo(self, _: int) -> SimpleNamespace:  # noqa: N802
        return SimpleNamespace(total=80 * 2**30)


class Command:
    """The installed command, run in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.program = str(Path(sys.executable).with_name("dlmi-bench"))

    def __call__(self, *args: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.program, *args],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | environment,
        )

    def json(self, *args: str) -> object:
        done = self(*args, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)
