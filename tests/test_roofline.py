"""Roofline, watch over neighbours and sets of CPUs, each on something of known behaviour."""

import os
import time
from pathlib import Path

import numpy as np
import pytest

from dlmi_bench.instruments.clock import HostClock
from dlmi_bench.instruments.host.activity import CpuTimes
from dlmi_bench.instruments.host.neighbours import Neighbours, NeighbourWatch, compute_steal
from dlmi_bench.instruments.pinning import CpuHopper, list_cpus
from dlmi_bench.instruments.roofline import Roofline, compute_model_bytes, compute_roofline, find_roofline
from dlmi_bench.jobs.peaks import N_REPEATS, WORKING_SETS, make_products, measure_peaks, measure_rate
from dlmi_bench.records import Figure
from dlmi_bench.selftest.fakes import FakeClock
from stand_ins import plant

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


def figure(name: str, value: float | None, **conditions: str | int) -> Figure:
    reason = "" if value is not None else "refused"
    return Figure(name=name, value=value, kind="measured", source="c", conditions=conditions, reason=reason)  # type: ignore[arg-type]


def latency(value: float | None = 8.0, **conditions: str | int) -> Figure:
    identity = {"precision": "float32", "provider": "CPUExecutionProvider", "batch": 2, "threads": 1}
    return figure("latency_s", value, **identity | conditions)


COUNTS = [figure("macs", 500), figure("macs", 9), figure("n_parameters", 10), figure("n_activations", 3)]
PEAKS = [
    figure("peak_flop_hz", 1e9, threads=2),
    figure("peak_flop_hz", 1e3, threads=1),
    figure("peak_byte_hz", 1.0, threads=2, working_set_bytes=1),
    *(figure("peak_byte_hz", rate, threads=1, working_set_bytes=size) for size, rate in RATES),
]


def test_roofline_of_a_row_by_hand() -> None:
    """Two examples of 500 MACs, by the first counter, at the peak of one thread: 2 000 FLOP in 2 s; provider CPU."""
    assert find_roofline(latency(), COUNTS, PEAKS) == Roofline(2.0, "arithmetic")
    assert find_roofline(latency(provider="CPU"), COUNTS, PEAKS) == Roofline(2.0, "arithmetic")
    assert find_roofline(latency(batch=1), COUNTS, PEAKS).attainable_s == 1.0


def test_roofline_of_threads_takes_their_peaks() -> None:
    """At two threads arithmetic takes 2 us, and reading 4 (10 + 2 x 3) bytes at 1 byte/s sets the time."""
    assert find_roofline(latency(threads=2), COUNTS, PEAKS) == Roofline(64.0, "memory")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (latency(precision="int8"), "peak of float32 only"),
        (latency(provider="CUDA NVIDIA H100"), "peak of the CPU only"),
        (latency(None), "no latency"),
        (latency(threads=4), "not known for threads=4: peak_flop_hz, peak_byte_hz"),
    ],
)
def test_rows_without_a_roofline_say_why(row: Figure, reason: str) -> None:
    """Another precision, another device, no latency, or no peak of so many threads."""
    assert find_roofline(row, COUNTS, PEAKS) == Roofline(None, reason=reason)


def test_roofline_needs_the_counts() -> None:
    """A count that failed is not 0: the row names it."""
    found = find_roofline(latency(), [figure("macs", None), *COUNTS[2:]], PEAKS)
    assert (found.attainable_s, found.reason) == (None, "not known for threads=1: macs")


def test_peaks_of_this_machine_are_ordered() -> None:
    """A real machine multiplies over 1e8 times a second, and each reading lies between its bounds."""
    peaks = measure_peaks()
    assert [peak.working_set_bytes for peak in peaks] == [0, *WORKING_SETS]
    assert peaks[0].per_second > 1e8
    assert all(0 < peak.lo <= peak.per_second <= peak.hi for peak in peaks)


def test_the_quickest_program_sets_the_peak() -> None:
    """100 operations in 4 ms and in 2 ms: 50 000 a second, by the second, although it was once held up."""
    clock, held_ns = FakeClock(), iter([1_000_000_000])
    programs = {
        "slow": lambda: clock.work(4_000_000),
        "quick": lambda: clock.work(2_000_000 + (next(held_ns, 0) if clock.wall_ns() > 20_000_000 else 0)),
    }
    peak = measure_rate(programs, 100, now_ns=clock.wall_ns)
    assert (peak.per_second, peak.hi, peak.n) == (50_000, 50_000, N_REPEATS)
    assert peak.lo == pytest.approx(100 / 1.002)
    assert peak.method == "quick, the quickest of 2 libraries"


def test_every_library_computes_the_product() -> None:
    """What is timed is the whole product of one and the same matrix, in each of the libraries."""
    answers = [np.asarray(work()).squeeze() for work in make_products(1).values()]
    assert len(answers) == 3
    for answer in answers[1:]:
        np.testing.assert_allclose(answer, answers[0], rtol=1e-4)


def test_neighbours_are_read_from_the_counters(tmp_path: Path) -> None:
    """0.3 s stalled of 1 s is 30 %; 5 of 100 ticks stolen of the only CPU are 5 %; both are complained of."""
    pressure, stat = "some avg10=1.00 avg60=1.00 avg300=1.00 total={}\nfull avg10=0 total=0\n", "cpu  {}\ncpu0 1 2 3\n"
    files = {"proc/pressure/cpu": pressure.format(1000000), "proc/stat": stat.format("100 0 0 900 0 0 0 10 0 0")}
    watch = NeighbourWatch(plant(tmp_path, files))
    files = {"proc/pressure/cpu": pressure.format(1300000), "proc/stat": stat.format("145 0 0 950 0 0 0 15 0 0")}
    plant(tmp_path, files)
    found = watch.read(watch._start_ns + 1_000_000_000)
    assert (found.pressure, found.steal) == pytest.approx((0.3, 0.05))
    assert found.complaints == [
        "some thread of the machine waited for a CPU 30 % of the time",
        "the hypervisor took 5 % of the CPUs",
    ]


@pytest.mark.parametrize(
    ("passed", "steal"),
    [
        ((70, 1500, 30), 0.3),  # one of 16 CPUs is wanted, and loses 30 % of its second
        ((770, 800, 30), 0.0375),  # eight are
        ((2, 1595, 3), 0.03),  # none is for long: of the second of one CPU
        ((0, 0, 0), None),
    ],
)
def test_stolen_time_is_a_share_of_what_was_wanted(passed: tuple[int, int, int], steal: float | None) -> None:
    """Busy, idle and stolen ticks of 16 CPUs in a second: what others lose on CPUs at rest makes no theft smaller."""
    busy, idle, stolen = (ticks / 100 for ticks in passed)
    after = CpuTimes(50 + busy + idle + stolen, 40 + idle, 3 + stolen, n_cpus=16)
    found = compute_steal(CpuTimes(50, 40, 3, n_cpus=16), after)
    assert found == (pytest.approx(steal) if steal is not None else None)


def test_neighbours_are_complained_of_beyond_a_tenth_and_a_fiftieth() -> None:
    """Exactly 10 % of pressure and 2 % of stolen time pass, a little more does not."""
    assert Neighbours(0.10, 0.02).complaints == []
    assert Neighbours(0.101, 0.02).complaints == ["some thread of the machine waited for a CPU 10 % of the time"]
    assert Neighbours(0.10, 0.021).complaints == ["the hypervisor took 2 % of the CPUs"]


def test_neighbours_without_counters_are_unknown(tmp_path: Path) -> None:
    """Where the kernel does not tell, it is None, never 0, and nobody complains."""
    assert NeighbourWatch(tmp_path).read() == Neighbours(None, None)
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


def test_single_calls_on_the_host_hold_their_work() -> None:
    """Three calls that sleep 1 ms read at least as much each."""
    durations_ns = HostClock().time_singles(lambda: time.sleep(1e-3), 3)
    assert len(durations_ns) == 3
    assert min(durations_ns) >= 1_000_000
