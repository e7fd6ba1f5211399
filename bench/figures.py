"""From what an instrument read to figures with their provenance; shared by the cells that use it."""

import math

from bench.confusion import Counts, Metric, bootstrap_interval
from bench.energy import EnergySample
from bench.latency import Trace
from bench.records import Figure, unavailable
from bench.stats import compute_process_summary

# Within this factor of an empty call a row measures the framework rather than the model.
FLOOR_FACTOR = 5.0


def make_energy_figures(name: str, sample: EnergySample, **conditions: str | int) -> list[Figure]:
    """One figure per component; measured and modelled joules are never added up."""
    repeats = f"{sample.n_repeats} repeats" if sample.n_repeats > 1 else "1 repeat"
    return [
        Figure(
            name=name,
            value=part.energy_j,
            kind=part.kind,
            source=part.source,
            method=f"one window of {sample.window_s:.1f} s, {repeats}; gross, idle not subtracted",
            n=sample.n_repeats,
            conditions={"component": part.name, **conditions},
        )
        for part in sample.components
    ]


def make_confusion_figure(
    name: str, confusion: Counts, metric: Metric, *, source: str, **conditions: str | int
) -> Figure:
    """A metric of a confusion matrix; unavailable where it is not defined."""
    value = float(metric(confusion))
    if math.isnan(value):
        return unavailable(name, "not defined where truth and decisions are all of one class", **conditions)
    lo, hi = bootstrap_interval(confusion, metric)
    return Figure(
        name=name,
        value=value,
        lo=min(lo, value),
        hi=max(hi, value),
        n=int(confusion.sum()),
        interval="bootstrap 95 %, sampling of examples within classes",
        kind="measured",
        source=source,
        conditions=conditions,
    )


def make_latency_figures(
    traces: list[Trace], floors: list[Trace], *, is_pinned: bool, conditions: dict[str, str | int | float | bool]
) -> list[Figure]:
    """Latency and cold start of one benchmark from its traces, one for each process.

    Args:
        traces: The benchmark's.
        floors: The empty call's, from the same processes.
        conditions: Identity: backend, batch, provider, precision, threads.
    """
    summary = compute_process_summary([trace.wall_s for trace in traces])
    floor_s = compute_process_summary([trace.wall_s for trace in floors]).value
    cold = sorted(trace.cold_start_s for trace in traces)
    n_rounds = len(traces[0].wall_s)
    notes = list(_list_warnings(traces, summary.value, floor_s))
    if summary.is_mixed:
        notes.append(f"mixed: processes range over {summary.hi / summary.lo:.2f} x")
    if not is_pinned:
        notes.append("pinned=false: this system refuses to pin a process to a CPU")
    common = {"kind": "measured", "source": "perf_counter_ns", "n": len(traces), "conditions": conditions}
    interval = "min and max of process medians"
    latency = Figure(
        name="latency_s",
        value=summary.value,
        lo=summary.lo,
        hi=summary.hi,
        interval=interval,
        method=f"median of process medians, {n_rounds} rounds of {traces[0].n_calls} calls",
        notes=tuple(notes),
        samples=tuple(compute_process_summary([t.wall_s]).value for t in traces),
        **common,
    )
    cold_start = Figure(
        name="cold_start_s",
        value=cold[len(cold) // 2],
        lo=cold[0],
        hi=cold[-1],
        interval="min and max over processes",
        method="first call of a fresh process",
        **common,
    )
    return [latency, cold_start]


def _list_warnings(traces: list[Trace], value_s: float, floor_s: float) -> list[str]:
    worst = max(trace.preempted_share for trace in traces)
    found = []
    if worst > 0.5:
        found.append(f"INVALID: pre-empted in {worst:.0%} of the rounds of a process")
    elif worst > 0.1:
        found.append(f"noisy: pre-empted in up to {worst:.0%} of the rounds of a process")
    if value_s < FLOOR_FACTOR * floor_s:
        found.append(f"measures the framework: an empty call takes {floor_s / value_s:.0%} of it")
    return found
