"""Roofline, watch over neighbours and sets of CPUs, each on something of known behaviour."""

import os
from pathlib import Path

import pytest

from bench.latency import CpuHopper, list_cpus
from bench.neighbours import Neighbours, NeighbourWatch
from bench.roofline import WORKING_SETS, compute_model_bytes, compute_roofline, measure_peaks

RATES = [(1_000, 1e6), (100_000, 1e5)]


def test_attainable_time_by_hand() -> None:
    """500 MACs at 1 000 FLOP/s take 1 s; 1 000 bytes at 1e6 byte/s take 1 ms; 1e6 bytes at the slowest rate 10 s."""
    found = compute_roofline(500, 1_000, 1e3, RATES)
    assert (found.attainable_s, found.bound) == (1.0, "arithmetic")
    assert compute_roofline(500, 1_001, 1e12, RATES).attainable_s == pytest.approx(1_001 / 1e5)
    found = compute_roofline(500, 1e6, 1e3, RATES)
    assert (found.attainable_s, found.bound) == (10.0, "memory")


def test_bytes_by_hand() -> None:
    """10 weights once and 3 activations for each of 2 examples, 4 bytes each."""
    assert compute_model_bytes(10, 3, 2) == 64


def test_peaks_of_this_machine_are_ordered() -> None:
    """A real machine multiplies over 1e8 times a second, and each reading lies between its bounds."""
    peaks = measure_peaks()
    assert [peak.working_set_bytes for peak in peaks] == [0, *WORKING_SETS]
    assert peaks[0].per_second > 1e8
    assert all(0 < peak.lo <= peak.per_second <= peak.hi for peak in peaks)


def test_neighbours_are_read_from_the_counters(tmp_path: Path) -> None:
    """0.3 s stalled of 1 s is 30 %; 5 of 100 ticks stolen are 5 %; both are complained of."""
    pressure, stat = tmp_path / "cpu", tmp_path / "stat"
    pressure.write_text("some avg10=1.00 avg60=1.00 avg300=1.00 total=1000000\nfull avg10=0 total=0\n")
    stat.write_text("cpu  100 0 0 900 0 0 0 10 0 0\ncpu0 1 2 3\n")
    watch = NeighbourWatch(pressure, stat)
    pressure.write_text("some avg10=1.00 avg60=1.00 avg300=1.00 total=1300000\nfull avg10=0 total=0\n")
    stat.write_text("cpu  145 0 0 950 0 0 0 15 0 0\ncpu0 1 2 3\n")
    found = watch.read(watch._start_ns + 1_000_000_000)
    assert (found.pressure, found.steal) == pytest.approx((0.3, 0.05))
    assert found.complaints == [
        "some thread of the machine waited for a CPU 30% of the time",
        "the hypervisor took 5% of the CPUs",
    ]


def test_neighbours_without_counters_are_unknown(tmp_path: Path) -> None:
    """Where the kernel does not tell, it is None, never 0, and nobody complains."""
    assert NeighbourWatch(tmp_path / "a", tmp_path / "b").read() == Neighbours(None, None)
    assert Neighbours(None, None).complaints == []


def test_threads_get_a_set_of_cpus() -> None:
    """A process of as many threads as CPUs is pinned to all; one of more is not pinned."""
    before = os.sched_getaffinity(0)
    n = len(list_cpus())
    try:
        hopper = CpuHopper(n_threads=n)
        hopper(0)
        assert os.sched_getaffinity(0) == before
        assert hopper.is_pinned
        assert not CpuHopper(n_threads=n + 1).is_pinned
    finally:
        os.sched_setaffinity(0, before)
