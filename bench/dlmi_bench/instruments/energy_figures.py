"""Figures of energy, with their provenance, from what a meter read: gross and net, and the share until the target."""

from collections.abc import Sequence
from statistics import median

from dlmi_bench.instruments.energy import CONSTANTS, Component, EnergySample
from dlmi_bench.records import Figure, Note, unavailable
from dlmi_bench.units import format_count, format_share

PROCESS_RANGE = "min and max over processes"


def make_energy_figures(name: str, sample: EnergySample, **conditions: str | int) -> list[Figure]:
    """Gross and net of each component; measured and modelled joules are never added up."""
    figures = []
    for part in sample.components:
        identity = {"component": part.name, "scope": part.scope, **conditions}
        if shortage := sample.find_shortage(part):
            figures += [unavailable(name, shortage, **identity, idle_subtracted=is_net) for is_net in (False, True)]
            continue
        gross = Figure(
            name=name,
            value=part.energy_j,
            kind=part.kind,
            source=part.source,
            method=f"one window of {sample.window_s:.1f} s, {_format_repeats(sample)}; gross",
            n=sample.n_repeats,
            conditions={**identity, "idle_subtracted": False},
            notes=() if part.source in CONSTANTS else tuple(sample.complaints),
        )
        figures += [gross, _make_net(gross, sample, part)]
    return figures


def join_processes(answers: Sequence[Sequence[Figure]]) -> list[Figure]:
    """Figures of several processes as one of each kind, with a spread: a window says nothing of the next process.

    What one process could not read is not available, with its reason.
    """
    if len(answers) == 1:
        return list(answers[0])
    return [_join([_find_alike(first, answer) for answer in answers]) for first in answers[0]]


def _find_alike(wanted: Figure, answer: Sequence[Figure]) -> Figure:
    """Find the same figure by the same meter: joules of two meters have no median."""
    missing = unavailable(wanted.name, "the meter of another process did not read it", **wanted.conditions)
    found = next((f for f in answer if (f.name, f.conditions) == (wanted.name, wanted.conditions)), missing)
    is_other = None not in (wanted.value, found.value) and (found.kind, found.source) != (wanted.kind, wanted.source)
    return missing if is_other else found


def _join(alike: Sequence[Figure]) -> Figure:
    values = [figure.value for figure in alike if figure.value is not None]
    if len(values) < len(alike):
        return next(figure for figure in alike if figure.value is None)
    return alike[0].model_copy(
        update={
            "value": median(values),
            "lo": min(values),
            "hi": max(values),
            "interval": PROCESS_RANGE,
            "method": f"median of {len(values)} processes, the first: {alike[0].method}",
            "n": len(values),
            "samples": tuple(values),
            "notes": tuple(dict.fromkeys(note for figure in alike for note in figure.notes)),
        }
    )


def _format_repeats(sample: EnergySample) -> str:
    """Format the number of repeats, and of calls if the energy was scaled to another number."""
    repeats = f"{sample.n_repeats} repeats" if sample.n_repeats > 1 else "1 repeat"
    if sample.scaled is None:
        return repeats
    n_calls, n_wanted = (format_count(n) for n in sample.scaled)
    return f"{repeats} of {n_calls} calls" + (f", scaled to {n_wanted}" if n_wanted != n_calls else "")


def _make_net(gross: Figure, sample: EnergySample, part: Component) -> Figure:
    conditions = gross.conditions | {"idle_subtracted": True}
    net_j = sample.compute_net_j(part)
    if net_j is None or sample.idle is None:
        return unavailable(gross.name, sample.find_obstacle(part), **conditions)
    busy = "" if sample.idle.other_cpus is None else f", neighbours on {sample.idle.other_cpus:.2f} CPUs"
    power_w = sample.idle.power_w[part.name, part.source]
    method = gross.method.replace(
        "; gross", f"; net of {power_w:.3g} W idle, from {sample.idle.window_s:.1f} s of sleep{busy}"
    )
    unseen = Note(None, "below the idle machine's own draw: too little to be seen")
    notes = (*gross.notes, *([unseen] if net_j < 0 else []))
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
            figures.append(unavailable("energy_to_target_j", whole.reason, **whole.conditions))
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
            "method": f"{format_share(share, 1)} of the training's time, so of its energy; {whole.method}",
        }
        figures.append(whole.model_copy(update=update))
    return figures
