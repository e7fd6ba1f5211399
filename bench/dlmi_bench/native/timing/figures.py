"""Figures of kind `native`: times inside C, which stand in no column with latencies of calls, and their limit."""

from collections.abc import Sequence
from statistics import median

from dlmi_bench.instruments.latency import Trace
from dlmi_bench.instruments.latency_figures import PROCESS_RANGE, list_warnings
from dlmi_bench.instruments.roofline import Roofline, compute_roofline
from dlmi_bench.native.timing.loops import LoopClock
from dlmi_bench.native.timing.measurement import EACH, N_INPUTS, SHARED, NativeTimes
from dlmi_bench.native.timing.shared import N_SHARED
from dlmi_bench.records import Conditions, Figure, FigureKind
from dlmi_bench.stats.intervals import compute_process_summary

NO_CACHES = "the kernel does not show the caches of the processor"


def make_native_figures(times: Sequence[NativeTimes], conditions: Conditions) -> list[Figure]:
    """All figures of a net inside C, from its processes.

    Args:
        conditions: Identity: backend, provider, precision, threads.
    """
    conditions = {**conditions, "batch": 1, "n_inputs": N_INPUTS}
    each = _make_time([answer.traces[EACH] for answer in times], conditions)
    return [
        each,
        _make_throughput(times, conditions),
        *_make_limit(times, each, conditions),
        *_make_rates(times, {"threads": 1}),
    ]


def refuse_native(reason: str, conditions: Conditions) -> list[Figure]:
    """Both figures of kind `native` of a net that was not timed inside C."""
    return [_refuse(name, "native", reason, conditions) for name in ("native_s", "native_throughput_hz")]


def _list_examples(trace: Trace) -> list[float]:
    """Time of an example, block by block [s]."""
    return [wall_s / N_INPUTS for wall_s in trace.wall_s]


def _make_time(traces: list[Trace], conditions: Conditions) -> Figure:
    summary = compute_process_summary([_list_examples(trace) for trace in traces])
    passes = f"{len(traces[0].wall_s)} rounds of {traces[0].n_calls} passes over {N_INPUTS} different inputs"
    return Figure(
        name="native_s",
        value=summary.value,
        lo=summary.lo,
        hi=summary.hi,
        interval=PROCESS_RANGE,
        kind="native",
        source=LoopClock.source,
        method=f"time of an example inside C, without a call from Python: median of process medians, {passes}",
        n=len(traces),
        conditions=conditions,
        notes=tuple(list_warnings(traces, 0.0)),
        samples=tuple(median(_list_examples(trace)) for trace in traces),
    )


def _make_throughput(times: Sequence[NativeTimes], conditions: Conditions) -> Figure:
    name, conditions = "native_throughput_hz", {**conditions, "n_shared": N_SHARED}
    if reason := next((answer.obstacle for answer in times if answer.obstacle), ""):
        return _refuse(name, "native", reason, conditions)
    time = _make_time([answer.traces[SHARED] for answer in times], conditions)
    assert time.value is not None
    assert time.lo is not None
    assert time.hi is not None
    return time.model_copy(
        update={
            "name": name,
            "value": 1 / time.value,
            "lo": 1 / time.hi,
            "hi": 1 / time.lo,
            "method": f"examples a second inside C, {N_SHARED} of which share each weight that is read",
            "samples": tuple(1 / sample for sample in time.samples),
        }
    )


def _make_limit(times: Sequence[NativeTimes], each: Figure, conditions: Conditions) -> list[Figure]:
    """The time that reading the weights or the arithmetic takes at least, and its share of the time measured."""
    if not all(answer.caches for answer in times):
        return [_refuse(name, "derived", NO_CACHES, conditions) for name in ("native_limit_s", "native_limit_share")]
    limits = [compute_limit(answer) for answer in times]
    seconds = [limit.attainable_s or 0.0 for limit in limits]
    shares = [limit_s / sample for limit_s, sample in zip(seconds, each.samples, strict=True)]
    common = {**conditions, "level": find_level(times[0]), "bound": limits[0].bound}
    method = "the longer of reading the weights from the level of cache that holds them, and multiply-accumulates"
    rows = (("native_limit_s", seconds, method), ("native_limit_share", shares, "native_limit_s / native_s"))
    kind: FigureKind = "derived"
    source, interval = "native_flop_hz, native_byte_hz", "min and max over processes"
    return [_summarise(name, values, kind, source, said, interval, common) for name, values, said in rows]


def _summarise(
    name: str, values: list[float], kind: FigureKind, source: str, method: str, interval: str, conditions: Conditions
) -> Figure:
    """Median and extremes of one value a process."""
    return Figure(
        name=name,
        value=median(values),
        lo=min(values),
        hi=max(values),
        interval=interval,
        kind=kind,
        source=source,
        method=method,
        n=len(values),
        conditions=conditions,
    )


def _refuse(name: str, kind: FigureKind, reason: str, conditions: Conditions) -> Figure:
    return Figure(name=name, value=None, kind=kind, source="none", n=0, conditions=conditions, reason=reason)


def compute_limit(times: NativeTimes) -> Roofline:
    """The least time of an example on this core [s], and whether `arithmetic` or `memory` sets it."""
    arithmetic, *reading = times.peaks
    rates = [(peak.working_set_bytes, peak.per_second) for peak in reading]
    return compute_roofline(times.macs, times.weight_bytes, arithmetic.per_second, rates)


def find_level(times: NativeTimes) -> str:
    """The innermost level of cache that holds the weights; the outermost where none does."""
    holding = [cache for cache in times.caches if cache.size_bytes >= times.weight_bytes]
    return (holding or times.caches[-1:])[0].name


def _make_rates(times: Sequence[NativeTimes], conditions: Conditions) -> list[Figure]:
    names = [("native_flop_hz", "")] + [("native_byte_hz", cache.name) for cache in times[0].caches]
    figures, interval = [], "min and max of process medians"
    for i, (name, level) in enumerate(names):
        peaks = [answer.peaks[i] for answer in times]
        rates = [peak.per_second for peak in peaks]
        held = {**conditions, "level": level} if level else conditions
        figures.append(_summarise(name, rates, "measured", LoopClock.source, peaks[0].method, interval, held))
    return figures
