"""Peak memory by the kernel's high-water mark."""

import subprocess
import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from dlmi_bench.backends import BACKENDS
from dlmi_bench.errors import MeasurementError
from dlmi_bench.instruments.memory import (
    PeakMemory,
    find_cuda,
    make_memory_figures,
    measure_peak_device_memory,
    measure_peak_memory,
    read_status_bytes,
)
from dlmi_bench.jobs.measurement import measure_memory
from dlmi_bench.records import Figure


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
        "from dlmi_bench.instruments.memory import measure_peak_memory as measure;"
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


def test_allocator_is_found_where_it_is_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch's, once this process computes on the device; nothing before."""
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: False)
    assert find_cuda() is None
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    assert find_cuda() is torch.cuda


def measure_on_device(backend: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Figure]:
    """Figures of a program that takes 500 bytes on the device, 400 of them for as long as it runs."""
    cuda = FakeAllocator()

    def call() -> None:
        cuda.allocate(500)
        cuda.allocate(-400)

    entry = replace(BACKENDS[backend], find_missing=lambda: "")
    runner = SimpleNamespace(prepare=lambda _: call, active=nullcontext, read=lambda _: None)
    monkeypatch.setattr("dlmi_bench.backends.import_module", lambda _: SimpleNamespace(load=lambda *_, **__: runner))
    monkeypatch.setattr("dlmi_bench.jobs.measurement.find_cuda", lambda: cuda)
    empty = SimpleNamespace(run=lambda _: None)
    _, peaks = measure_memory(entry, Path(), np.zeros((1, 1, 2, 2), np.float32), empty)  # type: ignore[arg-type]
    return {figure.name: figure for figure in make_memory_figures(peaks, {"backend": backend})}


def test_device_has_figures_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole and added, beside those of the host, which come first."""
    figures = measure_on_device("cuda", monkeypatch)
    assert list(figures) == ["peak_bytes", "peak_added_bytes", "device_peak_bytes", "device_peak_added_bytes"]
    assert (figures["device_peak_bytes"].value, figures["device_peak_added_bytes"].value) == (600, 500)
    assert figures["device_peak_bytes"].source == "CUDA allocator"


def test_runtime_with_an_allocator_of_its_own_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """ONNX Runtime's tensors are not torch's: the device has a reason and no zero, though torch is there too."""
    figures = measure_on_device("onnxruntime-cuda", monkeypatch)
    assert figures["peak_bytes"].value
    device = [figures["device_peak_bytes"], figures["device_peak_added_bytes"]]
    assert [figure.value for figure in device] == [None, None]
    assert all("allocates on the device by itself" in figure.reason for figure in device)
