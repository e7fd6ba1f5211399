"""Peak memory of this process, by the kernel's own high-water mark, and of a GPU. Meant for a fresh process."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from dlmi_bench.errors import MeasurementError
from dlmi_bench.records import Conditions, Figure, unavailable

STATUS = Path("/proc/self/status")
CLEAR_REFS = Path("/proc/self/clear_refs")
RESET_PEAK = "5"  # proc(5): writing 5 resets the peak resident set size


@dataclass(frozen=True)
class PeakMemory:
    """Resident memory around one piece of work [bytes]."""

    before_bytes: int
    peak_bytes: int

    @property
    def added_bytes(self) -> int:
        """Bytes that the work added to the resident set at its peak."""
        return max(0, self.peak_bytes - self.before_bytes)


def measure_peak_memory(
    work: Callable[[], object], *, status: Path = STATUS, clear_refs: Path = CLEAR_REFS
) -> PeakMemory:
    """Run `work` once and read the high-water mark of the resident set.

    Counts: every page of the process, the runtime's own included. Leaves out: swapped pages, other processes.

    Raises:
        MeasurementError: no /proc, or the kernel refuses to reset the mark (then an earlier peak would be reported).
    """
    try:
        clear_refs.write_text(RESET_PEAK)
        before_bytes = read_status_bytes("VmRSS", status)
        work()
        return PeakMemory(before_bytes, read_status_bytes("VmHWM", status))
    except OSError as error:
        raise MeasurementError(
            f"peak memory: {error}", "this figure needs Linux with /proc mounted and clear_refs writable"
        ) from error


class Allocator(Protocol):
    """The functions of `torch.cuda` that are used here; all in bytes of tensors."""

    def synchronize(self) -> object: ...

    def reset_peak_memory_stats(self) -> object: ...

    def memory_allocated(self) -> int: ...

    def max_memory_allocated(self) -> int: ...


def find_cuda() -> Allocator | None:
    """torch's CUDA allocator where this process already uses it; looking does not load torch or touch the device."""
    torch: Any = sys.modules.get("torch")
    return torch.cuda if torch is not None and torch.cuda.is_initialized() else None


def measure_peak_device_memory(work: Callable[[], object], cuda: Allocator) -> PeakMemory:
    """Run `work` once and read the most bytes that tensors held on the device.

    Counts: tensors of torch's allocator. Leaves out: the CUDA context, kernels, and what others allocate.
    """
    cuda.synchronize()
    cuda.reset_peak_memory_stats()
    before_bytes = cuda.memory_allocated()
    work()
    cuda.synchronize()
    return PeakMemory(before_bytes, cuda.max_memory_allocated())


def read_status_bytes(field: str, status: Path = STATUS) -> int:
    """One memory field of proc(5) status [bytes]; the kernel prints kB and means KiB."""
    for line in status.read_text().splitlines():
        name, _, rest = line.partition(":")
        if name == field:
            return int(rest.split()[0]) * 1024
    raise MeasurementError(f"{status}: no field {field}", "this figure needs a Linux kernel that reports it")


NOT_TOLD = "this runtime allocates on the device by itself and does not tell how much"


def make_memory_figures(peaks: dict[str, PeakMemory | None], conditions: Conditions) -> list[Figure]:
    """Figures of peak memory: the whole process, what the model added, and the same for a device.

    Args:
        peaks: By place; None where the runtime does not tell.
    """
    sources = {
        "host": ("peak", "VmHWM", "high-water mark of a fresh process, runtime included, reset before the model"),
        "device": (
            "device_peak",
            "CUDA allocator",
            "tensors and workspaces of torch's allocator, without context and kernels",
        ),
    }
    figures = []
    for place, peak in peaks.items():
        name, source, method = sources[place]
        if peak is None:
            figures += [unavailable(f"{name}{part}_bytes", NOT_TOLD, **conditions) for part in ("", "_added")]
            continue
        whole = Figure(
            name=f"{name}_bytes",
            value=peak.peak_bytes,
            kind="measured",
            source=source,
            method=method,
            conditions=conditions,
        )
        update = {"name": f"{name}_added_bytes", "value": peak.added_bytes, "method": f"{method}; less what was before"}
        figures += [whole, whole.model_copy(update=update)]
    return sorted(figures, key=lambda figure: not figure.name.startswith("peak"))
