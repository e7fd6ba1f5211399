"""Pinning of a process to CPUs, and the CPUs that it may use."""

import os
from collections.abc import Sequence
from pathlib import Path


class CpuHopper:
    """Pins this process to one CPU and moves on after every second round, so that no single CPU decides.

    Args:
        cpus: Those to use; all that the process may use by default.
        n_threads: Where the process has several threads it is pinned to a set of as many CPUs.
    """

    def __init__(self, cpus: Sequence[int] | None = None, *, n_threads: int = 1) -> None:
        allowed = list(cpus) if cpus else list_cpus()
        starts = range(0, len(allowed) - n_threads + 1, n_threads)
        self._sets = [allowed[i : i + n_threads] for i in starts]
        self._n_threads = n_threads
        self.is_pinned = bool(self._sets)

    def __call__(self, index: int) -> None:
        if not self.is_pinned:
            return
        cpus = self._sets[index // 2 % len(self._sets)]
        try:
            for thread in [0] if self._n_threads == 1 else _list_threads():
                os.sched_setaffinity(thread, cpus)
        except OSError:
            self.is_pinned = False  # recorded with the result; the suite doubles the processes


def list_cpus() -> list[int]:
    """CPUs that this process may use; empty where the system does not tell."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def _list_threads() -> list[int]:
    """List the threads of this process: the pools of a runtime keep their CPUs unless they are moved too."""
    return [int(entry.name) for entry in Path("/proc/self/task").iterdir()]
