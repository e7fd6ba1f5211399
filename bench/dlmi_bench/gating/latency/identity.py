"""Compare the identity of two benchmarks. Times of different experiments must not be compared."""

from collections.abc import Mapping

from dlmi_bench.gating.verdicts import Decision, Verdict

Identity = Mapping[str, str | int | float | bool]

# Without all of these a benchmark cannot show that it is the same experiment as another.
REQUIRED = ("backend", "batch", "precision", "provider", "shape", "threads")


def find_incomparable(baseline: Mapping[str, Identity], candidate: Mapping[str, Identity]) -> list[Decision]:
    """Refuse each benchmark, by name, that only one side has or that is another experiment on the other side."""
    vanished = [name for name in baseline if name not in candidate]
    added = [name for name in candidate if name not in baseline]
    hint = f", or renamed to {' or '.join(added)}" if added else ""
    found = [_refuse(name, f"in the baseline only: vanished{hint}") for name in vanished]
    found += [_refuse(name, "in the candidate only: save a baseline that has it") for name in added]
    for name in baseline:
        if name in candidate and (fault := _find_difference(baseline[name], candidate[name])):
            found.append(_refuse(name, fault))
    return found


def _find_difference(baseline: Identity, candidate: Identity) -> str | None:
    unstated = [key for key in REQUIRED if key not in baseline or key not in candidate]
    if unstated:
        return f"identity incomplete: {', '.join(unstated)} not stated on both sides"
    keys = sorted({*baseline, *candidate})
    pairs = [(key, baseline.get(key), candidate.get(key)) for key in keys]
    changed = [f"{key} {old} -> {new}" for key, old, new in pairs if old != new]
    return f"another benchmark: {', '.join(changed)}" if changed else None


def _refuse(name: str, why: str) -> Decision:
    return Decision(name, Verdict.INCOMPARABLE, why)
