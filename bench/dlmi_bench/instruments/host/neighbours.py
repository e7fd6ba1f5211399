"""Who else used the machine while a process measured: pressure stall information, stolen time, switches."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter_ns

from dlmi_bench.instruments.host.activity import ROOT, CpuTimes, read_cpu_times
from dlmi_bench.units import format_share

# Shares of the time beyond which rows say so. A process that measures alone on an idle machine stays far below both.
MAX_PRESSURE = 0.10
MAX_STEAL = 0.02


@dataclass(frozen=True)
class Neighbours:
    """Shares of the time of one process; None where the kernel does not tell.

    Attributes:
        pressure: Share of the time in which some process of the machine waited for a CPU.
        steal: What the hypervisor gave to others, of the time in which CPUs were wanted, and of one CPU at least.
    """

    pressure: float | None
    steal: float | None

    @property
    def complaints(self) -> list[str]:
        """List the reasons to doubt figures of that time."""
        found = []
        if self.pressure is not None and self.pressure > MAX_PRESSURE:
            found.append(f"some thread of the machine waited for a CPU {format_share(self.pressure)} of the time")
        if self.steal is not None and self.steal > MAX_STEAL:
            found.append(f"the hypervisor took {format_share(self.steal)} of the CPUs")
        return found


def list_complaints(processes: Sequence[Neighbours]) -> list[str]:
    """List the reasons to doubt figures, one line for each process that has any."""
    found = [process.complaints for process in processes]
    return [f"process {i} of {len(found)}: {'; '.join(words)}" for i, words in enumerate(found, 1) if words]


def compute_steal(before: CpuTimes | None, after: CpuTimes | None) -> float | None:
    """Share of the wanted CPU time that was stolen between two readings; idle CPUs lose nothing.

    None where there was no time between them.
    """
    if before is None or after is None or after.total_s <= before.total_s or not after.n_cpus:
        return None
    total_s, idle_s = after.total_s - before.total_s, after.idle_s - before.idle_s
    return (after.steal_s - before.steal_s) / max(total_s - idle_s, total_s / after.n_cpus)


class NeighbourWatch:
    """Reads the kernel's counters when made and again when asked; nothing runs in between."""

    def __init__(self, root: Path = ROOT) -> None:
        self._root = root
        self._start_ns = perf_counter_ns()
        self._stalled_us, self._times = self._read_stalled_us(), read_cpu_times(root)

    def read(self, now_ns: int | None = None) -> Neighbours:
        """Shares since this watch was made."""
        elapsed_ns = (perf_counter_ns() if now_ns is None else now_ns) - self._start_ns
        stalled_us, pressure = self._read_stalled_us(), None
        if stalled_us is not None and self._stalled_us is not None and elapsed_ns > 0:
            pressure = min(1.0, (stalled_us - self._stalled_us) * 1e3 / elapsed_ns)
        return Neighbours(pressure, compute_steal(self._times, read_cpu_times(self._root)))

    def _read_stalled_us(self) -> int | None:
        """Microseconds since the machine started in which some process waited for a CPU."""
        try:
            return int((self._root / "proc/pressure/cpu").read_text().split("total=")[1].split()[0])
        except OSError:
            return None  # no such file before Linux 4.20, or without CONFIG_PSI
