"""Activity of the machine: pressure, steal, load, use. Read before and after whatever is measured."""

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/")
TICKS_PER_S = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


@dataclass(frozen=True)
class CpuTimes:
    """CPU time since boot, all CPUs together [s]; stolen time is what the hypervisor gave to others."""

    total_s: float
    idle_s: float
    steal_s: float
    n_cpus: int


@dataclass(frozen=True)
class CpuUse:
    """CPUs in use between two looks, on average.

    Attributes:
        own: By this process and all that it started.
        others: By the rest of the machine.
    """

    own: float
    others: float

    @property
    def others_share(self) -> float:
        """Share of others in the CPU time that was used."""
        return self.others / (self.own + self.others) if self.others else 0.0


@dataclass(frozen=True)
class Load:
    """One look at the machine; None where the kernel does not tell.

    Attributes:
        cpu_pressure: Share of the last 10 s in which some process waited for a CPU.
        load_1m: Mean number of runnable tasks over the last minute.
        steal_s: CPU time since boot that went to other guests of the same host [s].
    """

    cpu_pressure: float | None
    load_1m: float | None
    steal_s: float | None


def read_load(root: Path = ROOT) -> Load:
    """The machine as it is now."""
    average, times = _read(root / "proc/loadavg"), read_cpu_times(root)
    return Load(
        cpu_pressure=read_pressure(root),
        load_1m=float(average.split()[0]) if average else None,
        steal_s=times.steal_s if times else None,
    )


def read_pressure(root: Path = ROOT, resource: str = "cpu") -> float | None:
    """Share of the last 10 s in which some process waited for the resource (cpu, memory, io)."""
    fields = _read(root / "proc/pressure" / resource).split()
    return float(fields[1].removeprefix("avg10=")) / 100 if fields else None


def read_cpu_times(root: Path = ROOT) -> CpuTimes | None:
    """Sums of proc(5) stat: user nice system idle iowait irq softirq steal; guest time is part of user time."""
    lines = [line.split() for line in _read(root / "proc/stat").splitlines() if line.startswith("cpu")]
    fields = lines[0][1:9] if lines else []
    if len(fields) < 8:
        return None
    ticks = [int(field) / TICKS_PER_S for field in fields]
    return CpuTimes(sum(ticks), ticks[3] + ticks[4], ticks[7], n_cpus=len(lines) - 1)


def read_own_time() -> float:
    """CPU time of this process and of all that it started, also of those that ended [s]."""
    import psutil

    me, own_s = psutil.Process(), 0.0
    for process in (me, *me.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):  # ended just now: its parent has its time
            times = process.cpu_times()
            own_s += times.user + times.system + times.children_user + times.children_system
    return own_s


def compute_cpu_use(before: CpuTimes | None, after: CpuTimes | None, own_s: float) -> CpuUse | None:
    """CPUs in use between two looks, of which `own_s` were our own; None where there was no time between them."""
    if before is None or after is None or after.total_s <= before.total_s or not after.n_cpus:
        return None
    passed_s = (after.total_s - before.total_s) / after.n_cpus
    busy_s = after.total_s - before.total_s - (after.idle_s - before.idle_s)
    return CpuUse(own_s / passed_s, max(0.0, busy_s - own_s) / passed_s)


class CpuWatch:
    """Reads the kernel's counters when made and again when asked; nothing runs in between."""

    def __init__(self, root: Path = ROOT, read_own: Callable[[], float] = read_own_time) -> None:
        self._root, self._read_own = root, read_own
        self._times, self._own_s = read_cpu_times(root), read_own()

    def read(self) -> CpuUse | None:
        """CPUs in use since this watch was made; None where the kernel does not tell."""
        return compute_cpu_use(self._times, read_cpu_times(self._root), self._read_own() - self._own_s)


def _read(path: Path) -> str:
    """Empty where the kernel has no such file or keeps it to itself."""
    try:
        return path.read_text()
    except OSError:
        return ""
