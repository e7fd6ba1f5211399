"""Nets timed inside C: every input is answered, nothing is counted that was not run, and limits by hand."""

import time
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pytest

from dlmi_bench.backends import BACKENDS
from dlmi_bench.errors import DataError, MeasurementError
from dlmi_bench.instruments.clock import HostClock
from dlmi_bench.instruments.host.caches import Cache, read_caches
from dlmi_bench.instruments.latency import Plan, Trace, measure_latency
from dlmi_bench.instruments.latency_figures import make_latency_figures
from dlmi_bench.instruments.roofline import Peak
from dlmi_bench.jobs.native import run_native_job
from dlmi_bench.jobs.profile_protocol import NativeRequest
from dlmi_bench.jobs.subject import Subject
from dlmi_bench.native import compiler
from dlmi_bench.native.library import Library, load_library, run_net
from dlmi_bench.native.reading.file import read_net
from dlmi_bench.native.timing.figures import NO_CACHES, find_level, make_native_figures, refuse_native
from dlmi_bench.native.timing.loops import Loop, LoopClock, make_loop
from dlmi_bench.native.timing.measurement import EACH, N_INPUTS, SHARED, NativeTimes, check_answers, measure_net
from dlmi_bench.native.timing.rates import choose_sizes, measure_rates
from dlmi_bench.native.timing.shared import N_SHARED, find_obstacle, load_shared_library
from dlmi_bench.native.writing.project import SLOW
from dlmi_bench.profiling.profile import Profile
from dlmi_bench.profiling.row import RuntimeProfile
from dlmi_bench.profiling.text import format_profile
from dlmi_bench.records import Figure
from native_files import draw, own_cache, quick, write_file  # noqa: F401 - two are fixtures
from stand_ins import plant

pytestmark = [
    pytest.mark.skipif(bool(compiler.find_missing_compiler()), reason="no C compiler"),
    pytest.mark.usefixtures("own_cache", "quick"),
]

KIB = 2**10
CACHES = (Cache(1, 48 * KIB), Cache(2, 2048 * KIB), Cache(3, 480 * 1024 * KIB))
FIELDS = ("type", "level", "size")
SPIN = """\
#define _POSIX_C_SOURCE 199309L
#include <time.h>

void net_run_many(int n, const float *input, float *output, float *scratch)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    const long long start = at.tv_sec * 1000000000LL + at.tv_nsec;
    do
        clock_gettime(CLOCK_MONOTONIC, &at);
    while (at.tv_sec * 1000000000LL + at.tv_nsec < start + 20000LL * n);
    for (int i = 0; i < n; i++)
        output[i] = input[i];
    scratch[0] += 1;
}
"""
SPIN_S = 20e-6  # of an example


def write_dense(path: Path, *widths: int) -> Path:
    """Layers of these widths with ReLU between them, and softmax behind them."""
    nodes, weights, name = [], {}, "x"
    for i, pair in enumerate(pairwise(widths)):
        weights |= {f"w{i}": draw(*pair, seed=i), f"b{i}": draw(pair[1], seed=9 + i)}
        nodes += [("Gemm", [name, f"w{i}", f"b{i}"], [f"a{i}"], {}), ("Relu", [f"a{i}"], [f"r{i}"], {})]
        name = f"r{i}"
    nodes[-1] = ("LogSoftmax", [f"a{len(widths) - 2}"], ["y"], {})
    return write_file(path, nodes, weights, shape=widths[:1])


def write_conv(path: Path, side: int = 6) -> Path:
    return write_file(path, [("Conv", ["x", "w"], ["y"], {})], {"w": draw(12, 3, 3, 3)}, shape=(3, side, side))


def spin() -> Library:
    return Library(str(compiler.compile_library(SPIN, "")), 1)


@pytest.mark.parametrize("widths", [(37, 50, 9), (64, 16, 16, 3), (5, 100, 40)])
def test_loops_answer_every_input_as_the_net_does(widths: tuple[int, ...], tmp_path: Path) -> None:
    """One at a time to the last bit; with weights that are shared within the rounding of another order of sums."""
    net, _ = read_net(write_dense(tmp_path / "a.onnx", *widths))
    library, inputs = load_library(net), draw(N_INPUTS, *net.input_shape)
    wanted = run_net(library, net, inputs)
    assert np.array_equal(make_loop(library, inputs, net.output_shape)(), wanted)
    assert find_obstacle(net) == ""
    shared = make_loop(load_shared_library(net), inputs, net.output_shape, n_at_once=N_SHARED)()
    assert np.abs(shared - wanted).max() <= 1e-6 * np.abs(wanted).max()
    assert len(np.unique(wanted[:, 0])) == N_INPUTS  # a loop that stays at one input is found


def test_shared_examples_do_not_touch_each_other(tmp_path: Path) -> None:
    """An example that is not a number leaves the others as they are."""
    net, _ = read_net(write_dense(tmp_path / "a.onnx", 20, 30, 4))
    library, inputs = load_shared_library(net), draw(N_INPUTS, 20)
    wanted = make_loop(library, inputs, net.output_shape, n_at_once=N_SHARED)()
    inputs[1] = np.nan
    found = make_loop(library, inputs, net.output_shape, n_at_once=N_SHARED)()
    assert np.isnan(found[1]).all()
    assert np.array_equal(np.delete(found, 1, 0), np.delete(wanted, 1, 0))


def test_convolutions_share_nothing_and_say_so(tmp_path: Path) -> None:
    net, _ = read_net(write_conv(tmp_path / "a.onnx"))
    assert find_obstacle(net).startswith("only nets of dense layers in float32 share weights")
    net, _ = read_net(write_file(tmp_path / "b.onnx", [("Relu", ["x"], ["y"], {})]))
    assert find_obstacle(net) == "the net has no weights to share"


def test_a_pass_calls_the_net_once_for_each_input() -> None:
    """Or once for as many as it takes at once; a block is as many passes as were asked for, and never takes less."""
    for n_at_once in (1, 3):
        inputs, outputs, scratch = draw(6, 1), np.zeros((6, 1), np.float32), np.zeros(1, np.float32)
        loop = Loop(spin(), inputs, outputs, n_at_once=n_at_once, scratch=scratch)
        assert loop.time(2) >= 12 * SPIN_S * 1e9
        assert scratch[0] == 12 / n_at_once
        assert np.array_equal(outputs, inputs)


def test_clock_reads_loops_inside_c_and_all_else_outside() -> None:
    """Blocks of a program of known duration are no shorter than it; the CPU time of the thread is read beside them."""
    loop = make_loop(spin(), draw(6, 1), (1,))
    trace = measure_latency({"spin": loop}, Plan(n_rounds=5), clock=LoopClock())["spin"]
    assert trace.source == LoopClock.source != HostClock.source
    assert min(trace.wall_s) >= 6 * SPIN_S
    assert min(trace.cpu_s) > 0
    block = LoopClock().time(lambda: time.sleep(0.01), 2)
    assert block.wall_ns >= 2e7
    assert block.cpu_ns < block.wall_ns


def test_wrong_answers_are_no_times() -> None:
    """What was timed must be the net: a loop that answers otherwise is an error."""
    inputs = draw(6, 1)
    loop = make_loop(spin(), inputs, (1,))
    loop()
    check_answers({"spin": loop}, inputs)
    with pytest.raises(MeasurementError, match=r"the loop in C \(spin\) answers otherwise"):
        check_answers({"spin": loop}, inputs + 0.1)
    with pytest.raises(MeasurementError):
        check_answers({"spin": loop}, inputs * np.nan)


def test_caches_are_read_from_the_kernel(tmp_path: Path) -> None:
    """Data and unified ones by level; instructions, what is broken and an empty tree give none."""
    rows = {"index0": ("Data", 1, "48K"), "index1": ("Instruction", 1, "64K"), "index2": ("Unified", 2, "2M")}
    files = {
        f"{name}/{field}": str(value) for name, row in rows.items() for field, value in zip(FIELDS, row, strict=True)
    }
    files |= {"index3/type": "Unified", "index3/level": "3", "index3/size": "many"}
    plant(tmp_path, {f"sys/devices/system/cpu/cpu0/cache/{name}": text for name, text in files.items()})
    assert read_caches(tmp_path) == CACHES[:2]
    assert [cache.name for cache in CACHES] == ["L1", "L2", "L3"]
    assert read_caches(tmp_path / "nowhere") == ()


def test_sizes_to_read_fit_their_level() -> None:
    """Half of a cache, of a large one 8 MiB; where the weights lie, as many bytes as they are."""
    assert choose_sizes(CACHES, 20 * KIB) == [20 * KIB, 1024 * KIB, 8192 * KIB]
    assert choose_sizes(CACHES, 75 * KIB + 1) == [24 * KIB, 75 * KIB + 512, 8192 * KIB]
    assert choose_sizes(CACHES, 3000 * KIB) == [24 * KIB, 1024 * KIB, 3000 * KIB]
    assert choose_sizes(CACHES[:1], 10) == [4 * KIB]
    assert choose_sizes((), 10) == []


def test_rates_of_this_core() -> None:
    """Arithmetic, then a rate for each level, each with the set that it is for."""
    arithmetic, *reading = measure_rates(CACHES, 20 * KIB)
    assert arithmetic.working_set_bytes == 0
    assert [peak.working_set_bytes for peak in reading] == [cache.size_bytes for cache in CACHES]
    assert all(1e8 < peak.lo <= peak.per_second <= peak.hi < 1e14 for peak in (arithmetic, *reading))


def make_times(*, each_s: float = 60e-7, is_shared: bool = True, caches: tuple[Cache, ...] = CACHES) -> NativeTimes:
    """A process that needed 100 ns an example, 50 ns where they share weights: 20 KiB, and 1 000 MACs."""
    traces = {EACH: Trace(n_calls=7, wall_s=[each_s] * 3, cpu_s=[each_s] * 3)}
    if is_shared:
        traces[SHARED] = Trace(n_calls=9, wall_s=[30e-7] * 3, cpu_s=[30e-7] * 3)
    rates = (2e11, 4e11, 1e11, 2e10)
    sizes = (0, *(cache.size_bytes for cache in caches))
    peaks = tuple(Peak(rate, rate, rate, 15, "read", size) for rate, size in zip(rates, sizes, strict=False))
    return NativeTimes(traces, "" if is_shared else "no weights", 1000, 20 * KIB, peaks, caches)


def index(figures: list[Figure]) -> dict[str, Figure]:
    return {figure.name + str(figure.conditions.get("level", "")): figure for figure in reversed(figures)}


def test_figures_by_hand() -> None:
    """Times by example, their limit from the innermost level that holds the weights, and its share by process."""
    figures = index(make_native_figures([make_times(), make_times(each_s=120e-7)], {"backend": "c"}))
    example = figures["native_s"]
    assert (example.value, example.lo, example.hi) == pytest.approx((150e-9, 100e-9, 200e-9))
    assert (example.kind, example.source, example.n) == ("native", LoopClock.source, 2)
    assert example.conditions == {"backend": "c", "batch": 1, "n_inputs": N_INPUTS}
    rate = figures["native_throughput_hz"]
    assert (rate.value, rate.kind, rate.conditions["n_shared"]) == (pytest.approx(20e6), "native", N_SHARED)
    limit, share = figures["native_limit_sL1"], figures["native_limit_shareL1"]
    assert limit.value == pytest.approx(20 * KIB / 4e11)
    assert limit.conditions["bound"] == "memory"
    assert (share.lo, share.hi) == pytest.approx((limit.value / 200e-9, limit.value / 100e-9))
    assert share.value == pytest.approx(median([share.lo or 0, share.hi or 0]))
    assert (limit.kind, share.kind, figures["native_flop_hz"].kind) == ("derived", "derived", "measured")
    assert [figures[f"native_byte_hz{cache.name}"].value for cache in CACHES] == [4e11, 1e11, 2e10]
    assert not any(figure.notes for figure in figures.values())


def test_levels_of_cache_by_hand() -> None:
    times = make_times()
    levels = [(48, "L1"), (49, "L2"), (2048, "L2"), (2049, "L3"), (10**7, "L3")]
    for kib, level in levels:
        changed = NativeTimes(times.traces, "", 1000, kib * KIB, times.peaks, times.caches)
        assert find_level(changed) == level


def test_missing_figures_have_reasons() -> None:
    """No caches, no weights to share, no times at all: a reason each, and the others stay."""
    figures = index(make_native_figures([make_times(is_shared=False, caches=())], {"backend": "c"}))
    assert figures["native_s"].value is not None
    assert figures["native_limit_s"].reason == figures["native_limit_share"].reason == NO_CACHES
    assert (figures["native_throughput_hz"].value, figures["native_throughput_hz"].reason) == (None, "no weights")
    assert {figure.reason for figure in refuse_native("no compiler", {})} == {"no compiler"}


def make_profile(figures: list[Figure]) -> Profile:
    shape = (1, 4, 4)
    row = RuntimeProfile("c", figures=figures)
    return Profile(Subject(kind="file", name="a.onnx", input_shape=shape), (1,), rows=[row])


def test_text_has_a_table_of_its_own() -> None:
    """Neither figure stands in the table of latencies; the limit names its level, and every gap its reason."""
    text = format_profile(make_profile(make_native_figures([make_times()], {"backend": "c"})), "a.onnx")
    latencies, title, table = text.partition("inside C  ")
    assert title
    assert "100 ns" not in latencies
    assert "  c                   100 ns                       51.2 ns    51 %    20.0 M/s" in table.splitlines()
    words = " ".join(table.split())
    assert "limit of c: reading the weights from L1, at the rates of this core; share: limit / example" in words
    assert f"shared: examples a second where {N_SHARED} share each weight that is read" in words
    assert "this core in C: 200 GFLOP/s; reads L1 at 400, L2 at 100, L3 at 20.0 GB/s" in words
    assert max(map(len, text.splitlines())) <= 80
    text = " ".join(format_profile(make_profile(refuse_native("no room", {})), "a.onnx").split())
    assert "native_s of c: n/a, no room" in text
    assert "inside C" not in format_profile(make_profile([]), "a.onnx")


def request(path: Path, **others: Any) -> NativeRequest:
    return NativeRequest(path=str(path), n_rounds=2, order_seed=0, cpus=(), **{"examples": "", "n_calls": {}} | others)


def test_job_times_a_file(tmp_path: Path) -> None:
    """Random inputs or the user's, again and again where they are few; calls a block as in the first process."""
    path = write_dense(tmp_path / "a.onnx", 37, 50, 9)
    np.savez(tmp_path / "x.npz", x=draw(7, 37))
    times = run_native_job(request(path, examples=str(tmp_path / "x.npz"), n_calls={EACH: 3, SHARED: 5}), print)
    assert {name: trace.n_calls for name, trace in times.traces.items()} == {EACH: 3, SHARED: 5}
    assert [len(trace.wall_s) for trace in times.traces.values()] == [2, 2]
    assert (times.macs, times.weight_bytes) == (37 * 50 + 50 * 9, 4 * (37 * 50 + 50 + 50 * 9 + 9))
    assert len(times.peaks) == 1 + len(times.caches)
    with pytest.raises(DataError, match="operator 'Erf'"):
        run_native_job(request(write_file(tmp_path / "b.onnx", [("Erf", ["x"], ["y"], {})])), print)


def test_nets_of_convolutions_are_timed_one_by_one(tmp_path: Path) -> None:
    net, _ = read_net(write_conv(tmp_path / "a.onnx"))
    times = measure_net(net, draw(N_INPUTS, 3, 6, 6), Plan(n_rounds=1))
    assert [*times.traces] == [EACH]
    assert times.obstacle == find_obstacle(net)


def test_large_nets_are_said_to_be_slow_wherever_they_are_timed(tmp_path: Path) -> None:
    """In the conditions, and as a note of the latency."""
    small, large = (BACKENDS["c"].load(write_conv(tmp_path / f"{n}.onnx", n)) for n in (6, 60))
    assert "remark" not in small.conditions
    assert large.conditions["remark"] == SLOW
    trace = Trace(wall_s=[1e-3], cpu_s=[1e-3], single_s=[1e-3])
    figure, *_ = make_latency_figures([trace], [trace], is_pinned=True, conditions={**large.conditions, "batch": 1})
    assert SLOW in map(str, figure.notes)
