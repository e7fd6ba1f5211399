"""From what an instrument read to figures with their provenance; shared by the cells that use it."""

import math

from bench.confusion import Counts, Metric, bootstrap_interval
from bench.energy import Component, EnergySample
from bench.latency import Trace
from bench.records import Figure, unavailable
from bench.stats import compute_process_summary

# Within this factor of an empty call a row measures the framework rather than the model.
FLOOR_FACTOR = 5.0


def make_energy_figures(name: str, sample: EnergySample, **conditions: str | int) -> list[Figure]:
    """Gross and net of each component; measured and modelled joules are never added up."""
    repeats = f"{sample.n_repeats} repeats" if sample.n_repeats > 1 else "1 repeat"
    figures = []
    for part in sample.components:
        gross = Figure(
            name=name,
            value=part.energy_j,
            kind=part.kind,
            source=part.source,
            method=f"one window of {sample.window_s:.1f} s, {repeats}; gross",
            n=sample.n_repeats,
            conditions={"component": part.name, "scope": part.scope, "idle_subtracted": False, **conditions},
        )
        figures += [gross, _make_net(gross, sample, part)]
    return figures


def _make_net(gross: Figure, sample: EnergySample, part: Component) -> Figure:
    conditions = gross.conditions | {"idle_subtracted": True}
    net_j = sample.compute_net_j(part)
    if net_j is None or sample.idle is None:
        return unavailable(gross.name, "the idle machine was not measured", **conditions)
    busy = "" if sample.idle.busy_share is None else f", CPUs {sample.idle.busy_share:.0%} busy"
    power_w = sample.idle.power_w[part.name, part.source]
    method = gross.method.replace(
        "; gross", f"; net of {power_w:.3g} W idle, from {sample.idle.window_s:.1f} s of sleep{busy}"
    )
    notes = ("below the idle machine's own draw: too little to be seen",) if net_j < 0 else ()
    return gross.model_copy(update={"value": net_j, "method": method, "conditions": conditions, "notes": notes})


def make_target_figures(energies: list[Figure], time_to_target_s: float | None, training_s: float) -> list[Figure]:
    """Energy until the target: the training's by the share of its time, so derived and never measured.

    Args:
        energies: Of one whole training, evaluations included.
        time_to_target_s: None where the training never got there.
    """
    figures = []
    for whole in energies:
        if whole.value is None:
            continue
        if time_to_target_s is None:
            figures.append(unavailable("energy_to_target_j", "censored: target not reached", **whole.conditions))
            continue
        share = time_to_target_s / training_s
        update = {
            "name": "energy_to_target_j",
            "value": share * whole.value,
            "kind": "derived",
            "source": f"{whole.source} ({whole.kind})",
            "method": f"{share:.1%} of the training's time, so of its energy; {whole.method}",
        }
        figures.append(whole.model_copy(update=update))
    return figures


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
