"""Cost of training, reported with the accuracy verdicts. It decides nothing, as nothing was run side by side."""

from statistics import median

from dlmi_bench.gating.sides.baseline import Entry, Training
from dlmi_bench.gating.sides.candidate import Candidate
from dlmi_bench.units import format_quantity

Joules = dict[tuple[str, str, str], list[float]]  # by component, kind and source, which are never added up


def describe_training(entry: Entry, candidate: Candidate) -> list[str]:
    """Describe duration and energy of the trainings of both sides, line by line; empty where nothing was trained.

    Durations are compared between trainings on one machine only, measured energy also from the same meter only.
    Modelled energy is a duration times a constant: it is marked as modelled and not compared.
    """
    if not candidate.trainings or candidate.has_same_weights:
        return []
    before, now = entry.trainings, candidate.trainings
    is_same = len({t.machine_id for t in (*before, *now)}) == 1 and before[0].machine_id is not None
    durations = [[t.training_s for t in side if t.training_s is not None] for side in (before, now)]
    if not all(durations):
        return []
    lines = [f"{entry.name} training: {_compare(*durations, unit='s', is_same=is_same)}"]
    old, new = _collect(before), _collect(now)
    for key in sorted(new):
        component, kind, source = key
        values = _compare(old.get(key, []), new[key], unit="j", is_same=is_same and kind == "measured")
        lines.append(f"{entry.name} training energy, {component} ({kind}, {source}): {values}")
    return lines


def _collect(trainings: tuple[Training, ...]) -> Joules:
    found: Joules = {}
    for training in trainings:
        for part in training.energy:
            found.setdefault((part.component, part.kind, part.source), []).append(part.energy_j)
    return found


def _compare(before: list[float], now: list[float], *, unit: str, is_same: bool) -> str:
    after = f"{_format(now, unit)} (median [min, max], n={len(now)})"
    if is_same and before:
        return f"{_format(before, unit)} -> {after}; measured at different times, so not judged"
    return f"{after}; the baseline's value is not comparable"


def _format(values: list[float], unit: str) -> str:
    bounds = f"{format_quantity(min(values), unit)}, {format_quantity(max(values), unit)}"
    return f"{format_quantity(median(values), unit)} [{bounds}]"
