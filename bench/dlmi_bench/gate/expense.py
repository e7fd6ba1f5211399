"""What training cost, beside the accuracy verdicts. It never decides: nothing here was run side by side."""

from statistics import median

from dlmi_bench.gate.sides.baseline import Entry, Training
from dlmi_bench.gate.sides.candidate import Candidate
from dlmi_bench.units import format_quantity

Joules = dict[tuple[str, str, str], list[float]]  # by component, kind and source: never added up across them


def describe_training(entry: Entry, candidate: Candidate) -> list[str]:
    """Lines on duration and energy of the trainings of both sides; none where nothing was trained.

    Durations are compared only between trainings of one machine, measured joules only from the same meter there;
    modelled joules are durations times a constant, marked, and compared with nothing.
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
        return f"{_format(before, unit)} -> {after}; another hour, so not judged"
    return f"{after}; the baseline's is not comparable"


def _format(values: list[float], unit: str) -> str:
    bounds = f"{format_quantity(min(values), unit)}, {format_quantity(max(values), unit)}"
    return f"{format_quantity(median(values), unit)} [{bounds}]"
