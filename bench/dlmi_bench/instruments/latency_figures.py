"""Figures of latency, with their provenance, from what the instrument read."""

from collections.abc import Sequence
from statistics import median

from dlmi_bench.instruments.cuda_clock import CudaClock
from dlmi_bench.instruments.latency import Trace
from dlmi_bench.records import Conditions, Figure, Mark, Note, unavailable
from dlmi_bench.stats.intervals import compute_process_summary
from dlmi_bench.stats.percentiles import FENCES, PERCENTILES, compute_n_needed, compute_percentile, count_outliers
from dlmi_bench.units import format_share

PROCESS_RANGE = "min and max of process medians"
# Shares of the rounds of a process that may be disturbed before its row is called noisy, and INVALID.
MAX_QUIET, MAX_LOST = 0.1, 0.5
NO_SINGLES = "not timed one by one"

MAX_LOOP = 0.005  # share of a latency above which the cost of the measuring loop is stated

# Within this factor of an empty call a row measures the framework rather than the model.
FLOOR_FACTOR = 5.0


def make_latency_figures(
    traces: list[Trace],
    floors: list[Trace],
    *,
    is_pinned: bool,
    conditions: Conditions,
    complaints: Sequence[str] = (),
) -> list[Figure]:
    """Make all figures of one benchmark from its traces, one trace for each process.

    Args:
        traces: The benchmark's.
        floors: The empty call's, from the same processes.
        conditions: Identity: backend, batch, provider, precision, threads; a runtime's `remark` becomes a note.
        complaints: Findings of the watch over other processes of the machine.
    """
    shares = [median(floor.wall_s) / median(trace.wall_s) for floor, trace in zip(floors, traces, strict=True)]
    latency = _make_latency(traces, median(shares), is_pinned, complaints, conditions)
    return [
        latency,
        _make_cold_start(traces, conditions),
        _make_throughput(latency),
        _make_overhead(latency, shares),
        *make_single_call_figures([trace.single_s for trace in traces], conditions),
    ]


def _make_latency(
    traces: list[Trace], overhead: float, is_pinned: bool, complaints: Sequence[str], conditions: Conditions
) -> Figure:
    summary = compute_process_summary([trace.wall_s for trace in traces])
    loop_s = median(trace.loop_s for trace in traces)
    notes = [*list_warnings(traces, overhead), *_bound_loop(loop_s / summary.value)]
    notes += [Note(Mark.NOISY, complaint) for complaint in complaints]
    notes += [Note(None, str(conditions["remark"]))] if "remark" in conditions else []
    if summary.is_mixed:
        notes.append(Note(Mark.MIXED, f"processes range over {summary.hi / summary.lo:.2f} x"))
    if not is_pinned:
        notes.append(Note(None, "pinned=false: this system refuses to pin a process to a CPU"))
    return Figure(
        name="latency_s",
        value=summary.value,
        lo=summary.lo,
        hi=summary.hi,
        interval=PROCESS_RANGE,
        kind="measured",
        source=traces[0].source,
        method=f"median of process medians, {len(traces[0].wall_s)} rounds of {traces[0].n_calls} calls",
        n=len(traces),
        conditions=conditions,
        notes=tuple(notes),
        samples=tuple(median(trace.wall_s) for trace in traces),
    )


def _make_cold_start(traces: list[Trace], conditions: Conditions) -> Figure:
    cold = [trace.cold_start_s for trace in traces]
    return Figure(
        name="cold_start_s",
        value=median(cold),
        lo=min(cold),
        hi=max(cold),
        interval="min and max over processes",
        kind="measured",
        source="perf_counter_ns",
        method="first call of the program in a fresh process, in which others may have run",
        n=len(traces),
        conditions=conditions,
    )


def _make_throughput(latency: Figure) -> Figure:
    """Examples a second, one call after the other: the batch over the latency."""
    batch = int(latency.conditions["batch"])
    assert latency.value is not None
    assert latency.lo is not None
    assert latency.hi is not None
    return Figure(
        name="throughput_hz",
        value=batch / latency.value,
        lo=batch / latency.hi,
        hi=batch / latency.lo,
        interval=PROCESS_RANGE,
        kind="derived",
        source="latency_s",
        method="examples per second: batch / latency",
        n=latency.n,
        conditions=latency.conditions,
    )


def _make_overhead(latency: Figure, shares: list[float]) -> Figure:
    """Time of an empty call of the same runtime as a share of the latency; above 1 the latency is all noise."""
    return Figure(
        name="overhead_share",
        value=median(shares),
        lo=min(shares),
        hi=max(shares),
        interval=PROCESS_RANGE,
        kind="derived",
        source="latency_s",
        method="empty call at batch 1 / latency, both of the same process",
        n=latency.n,
        conditions=latency.conditions,
    )


def make_single_call_figures(processes_s: list[list[float]], conditions: Conditions) -> list[Figure]:
    """Percentiles of calls timed one by one, all processes together, and how many of them are outliers.

    Args:
        processes_s: Durations of each process [s].
    """
    pooled = [duration for single_s in processes_s for duration in single_s]
    method = f"{len(pooled)} single calls of {len(processes_s)} processes, taken as independent; outliers included"
    figures = []
    for name, p in PERCENTILES.items():
        found = compute_percentile(pooled, p)
        figures.append(
            Figure(
                name="single_call_s",
                value=found.value if found else None,
                hi=found.hi if found else None,
                reason="" if found else f"needs {compute_n_needed(p)}" if pooled else NO_SINGLES,
                interval="one-sided 95 % upper bound from order statistics",
                kind="measured",
                source="perf_counter_ns",
                method=method,
                n=len(pooled),
                conditions=conditions | {"percentile": name},
            )
        )
    outliers = [_make_outliers(processes_s, reach, conditions | {"fence": fence}) for fence, reach in FENCES.items()]
    return [*figures, *outliers]


def _make_outliers(processes_s: list[list[float]], reach: float, conditions: Conditions) -> Figure:
    counts = [count_outliers(single_s, reach) for single_s in processes_s if len(single_s) > 1]
    if not counts:
        return unavailable("n_outliers", NO_SINGLES, **conditions)
    return Figure(
        name="n_outliers",
        value=sum(counts),
        kind="counted",
        source="perf_counter_ns",
        method=f"single calls beyond {reach:g} interquartile ranges of their process; none is left out",
        n=sum(map(len, processes_s)),
        conditions=conditions,
        samples=tuple(counts),
    )


def list_warnings(traces: list[Trace], overhead: float) -> list[Note]:
    worst = max(trace.preempted_share for trace in traces)
    throttled = max(trace.throttled_share for trace in traces)
    found = []
    if worst > MAX_LOST:
        found.append(Note(Mark.INVALID, f"pre-empted in {format_share(worst)} of the rounds of a process"))
    elif worst > MAX_QUIET:
        found.append(Note(Mark.NOISY, f"pre-empted in up to {format_share(worst)} of the rounds of a process"))
    if throttled:
        mark = Mark.NOISY if throttled > MAX_QUIET else Mark.THROTTLED
        n_lost = sum(trace.n_throttled for trace in traces)
        found.append(Note(mark, f"{n_lost} rounds discarded, the device was throttled"))
    found += _list_device_warnings(traces)
    if FLOOR_FACTOR * overhead > 1:
        found.append(Note(None, f"measures the framework: an empty call takes {format_share(overhead)} of it"))
    return found


def _bound_loop(share: float) -> list[Note]:
    """State what the measuring loop adds, where it matters: it is in every block and in no program."""
    return [Note(None, f"up to {format_share(share, 1)} of it is the measuring loop")] if share > MAX_LOOP else []


def _list_device_warnings(traces: list[Trace]) -> list[Note]:
    """Notes on the clock of a device; none on the host."""
    speeds_hz = [hz for trace in traces for hz in trace.speeds_hz]
    if not speeds_hz:
        is_device = traces[0].source == CudaClock.source
        blind = Note(None, "the device's clock is not readable: rounds in which it was throttled count")
        return [blind] if is_device else []
    lo, hi = (f"{hz / 1e6:.0f}" for hz in (min(speeds_hz), max(speeds_hz)))
    slow = max(trace.slow_share for trace in traces)
    if slow:
        said = f"the device held no clock, {lo} to {hi} MHz; {format_share(slow)} of the rounds of a process were slow"
        return [Note(Mark.NOISY, said)]
    return [Note(None, f"device at {lo} to {hi} MHz")]
