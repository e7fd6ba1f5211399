"""Peak memory by the kernel's high-water mark."""

import subprocess
import sys
from pathlib import Path

import pytest

from bench.errors import MeasurementError
from bench.memory import PeakMemory, measure_peak_device_memory, measure_peak_memory, read_status_bytes


def test_fields_are_kibibytes(tmp_path: Path) -> None:
    """The kernel prints kB and means KiB."""
    status = tmp_path / "status"
    status.write_text("Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t 1024 kB\n")
    assert read_status_bytes("VmHWM", status) == 2 * 2**20


def test_added_memory_is_never_negative() -> None:
    """A mark below the start means that nothing was added."""
    assert PeakMemory(before_bytes=10, peak_bytes=7).added_bytes == 0


def test_known_allocation_is_seen() -> None:
    """64 MiB that are touched and freed again raise the peak of a fresh process by 64 MiB, within 4."""
    program = (
        "from bench.memory import measure_peak_memory as measure;"
        "print(measure(lambda: len(bytearray(b'x') * (64 * 2**20))).added_bytes)"
    )
    answer = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert int(answer.stdout) == pytest.approx(64 * 2**20, abs=4 * 2**20)


def test_refused_reset_is_an_error_not_an_old_peak(tmp_path: Path) -> None:
    """Where the mark cannot be reset, an earlier peak would be reported: that is refused."""
    with pytest.raises(MeasurementError, match="Linux"):
        measure_peak_memory(lambda: None, clear_refs=tmp_path / "missing" / "clear_refs")


def test_missing_field_is_named(tmp_path: Path) -> None:
    """A kernel without the field is told apart from a zero."""
    status = tmp_path / "status"
    status.write_text("Name:\tx\n")
    with pytest.raises(MeasurementError, match="VmHWM"):
        read_status_bytes("VmHWM", status)


class FakeAllocator:
    """Counts like torch's CUDA allocator; remembers an earlier peak until that is reset."""

    def __init__(self) -> None:
        self.now, self.peak, self.is_waiting = 100, 9000, True

    def allocate(self, n_bytes: int) -> None:
        self.now += n_bytes
        self.peak = max(self.peak, self.now)
        self.is_waiting = True

    def synchronize(self) -> None:
        self.is_waiting = False

    def reset_peak_memory_stats(self) -> None:
        self.peak = self.now

    def memory_allocated(self) -> int:
        return self.now

    def max_memory_allocated(self) -> int:
        assert not self.is_waiting, "read before the device was done"
        return self.peak


def test_device_peak_is_of_this_work_alone() -> None:
    """What was allocated before does not count as added, an earlier peak is reset, and the queue is waited for."""
    cuda = FakeAllocator()

    def work() -> None:
        cuda.allocate(500)
        cuda.allocate(-400)

    peak = measure_peak_device_memory(work, cuda)
    assert (peak.before_bytes, peak.peak_bytes, peak.added_bytes) == (100, 600, 500)
