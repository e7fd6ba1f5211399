"""What else the machine is doing: pressure, steal, load. Read before and after whatever is measured."""

import os
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
    fields = _read(root / "proc/stat").partition("\n")[0].split()[1:9]
    if len(fields) < 8:
        return None
    ticks = [int(field) / TICKS_PER_S for field in fields]
    return CpuTimes(sum(ticks), ticks[3] + ticks[4], ticks[7])


def compute_busy_share(before: CpuTimes | None, after: CpuTimes | None) -> float | None:
    """Share of all CPUs that was in use between two looks; None where there was no time between them."""
    if before is None or after is None or after.total_s <= before.total_s:
        return None
    return 1 - (after.idle_s - before.idle_s) / (after.total_s - before.total_s)


def _read(path: Path) -> str:
    """Empty where the kernel has no such file or keeps it to itself."""
    try:
        return path.read_text()
    except OSError:
        return ""
