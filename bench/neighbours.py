"""Who else used the machine while a process measured: pressure stall information, stolen time, switches."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PRESSURE = Path("/proc/pressure/cpu")
STAT = Path("/proc/stat")
STEAL = 7  # of the counters in the first line of /proc/stat: user nice system idle iowait irq softirq steal
# Shares of the time beyond which rows say so. A process that measures alone on an idle machine stays far below both.
MAX_PRESSURE = 0.10
MAX_STEAL = 0.02


@dataclass(frozen=True)
class Neighbours:
    """Shares of the time of one process; None where the kernel does not tell.

    Attributes:
        pressure: Share of the time in which some process of the machine waited for a CPU.
        steal: Share of the CPUs' time that the hypervisor gave to others.
    """

    pressure: float | None
    steal: float | None

    @property
    def complaints(self) -> list[str]:
        """What makes figures of that time doubtful."""
        found = []
        if self.pressure is not None and self.pressure > MAX_PRESSURE:
            found.append(f"some thread of the machine waited for a CPU {self.pressure:.0%} of the time")
        if self.steal is not None and self.steal > MAX_STEAL:
            found.append(f"the hypervisor took {self.steal:.0%} of the CPUs")
        return found


def list_complaints(processes: Sequence[Mapping[str, float | None]]) -> list[str]:
    """What makes figures doubtful, for each process that has something; each gives the fields of its Neighbours."""
    found = [Neighbours(**process).complaints for process in processes]
    return [f"process {i} of {len(found)}: {'; '.join(words)}" for i, words in enumerate(found, 1) if words]


class NeighbourWatch:
    """Reads the kernel's counters when made and again when asked; nothing runs in between."""

    def __init__(self, pressure: Path = PRESSURE, stat: Path = STAT) -> None:
        self._pressure, self._stat = pressure, stat
        self._start_ns = time.perf_counter_ns()
        self._stalled_us, self._ticks = self._read_stalled_us(), self._read_ticks()

    def read(self, now_ns: int | None = None) -> Neighbours:
        """Shares since this watch was made."""
        elapsed_ns = (time.perf_counter_ns() if now_ns is None else now_ns) - self._start_ns
        stalled_us, ticks = self._read_stalled_us(), self._read_ticks()
        pressure = steal = None
        if stalled_us is not None and self._stalled_us is not None and elapsed_ns > 0:
            pressure = min(1.0, (stalled_us - self._stalled_us) * 1e3 / elapsed_ns)
        if ticks and self._ticks and sum(ticks) > sum(self._ticks):
            steal = (ticks[STEAL] - self._ticks[STEAL]) / (sum(ticks) - sum(self._ticks))
        return Neighbours(pressure, steal)

    def _read_stalled_us(self) -> int | None:
        """Microseconds since the machine started in which some process waited for a CPU."""
        try:
            return int(self._pressure.read_text().split("total=")[1].split()[0])
        except OSError:
            return None  # no such file before Linux 4.20, or without CONFIG_PSI

    def _read_ticks(self) -> list[int] | None:
        """Ticks of all CPUs by what they did; guests' are already part of the users'."""
        try:
            return [int(field) for field in self._stat.read_text().splitlines()[0].split()[1 : STEAL + 2]]
        except OSError:
            return None
