"""Sentences on how the data of a task was split: folds, leakage between splits, groups of images, loading."""

import json

from dlmi_bench.units import format_count
from dlmi_reports.results.folds import OVERLAP, read_folds
from dlmi_reports.results.load import TaskResults
from dlmi_reports.results.provenance import Audit, Overlap, read_provenance


def list_splits(task: TaskResults) -> list[str]:
    """Say how the test was made, and what the leakage audit found."""
    return [*list_folds(task), *list_leaks(task), *_describe_audit(task)]


def list_folds(task: TaskResults) -> list[str]:
    """Count the folds and their complete repeats; nothing outside a cross-validation."""
    folds = next((f for record in task.trainings if (f := read_folds(record))), None)
    if folds is None:
        return []
    n = max(len(model.repeats) for model in task.models.values())
    by = f" by {folds.by}" if folds.by else ""
    site = " Each fold holds out one site." if folds.is_held_out_site else ""
    repeats = f"{n} {'repeat' if n == 1 else 'repeats'}"
    return [f"{folds.n_folds} folds{by}, {repeats}: each complete repeat tests every example once.{site}"]


def list_leaks(task: TaskResults) -> list[str]:
    """Say LEAK for each pair of splits that shares groups or images, with the counts of the worst fold."""
    found: dict[str, list[Overlap]] = {}
    for audit in _list_audits(task):
        if not audit.is_clean:
            for name, overlap in audit.pairs.items():
                found.setdefault(name, []).append(overlap)
    leaks = {name: leak for name, overlaps in found.items() if (leak := _describe_worst(overlaps))}
    said = [f"LEAK in {task.name}, {name}: {leak}. Its accuracies may be too high." for name, leak in leaks.items()]
    is_unclear = any(not audit.is_clean for audit in _list_audits(task)) and not said
    return [f"LEAK in {task.name}: the audit of its splits is not clean."] if is_unclear else said


def _describe_worst(overlaps: list[Overlap]) -> str:
    """Count what two splits share; of several folds, the largest counts."""
    counts = {
        "groups": max(o.n_groups_shared or 0 for o in overlaps),
        "identical images": max(o.n_exact for o in overlaps),
        "nearly identical images": max(o.n_near or 0 for o in overlaps),
    }
    closest = max((o.closest_correlation for o in overlaps if o.closest_correlation is not None), default=None)
    said = ", ".join(f"{what}: {format_count(n)}" for what, n in counts.items() if n)
    near = f" (largest correlation {closest:.4f})" if counts["nearly identical images"] and closest is not None else ""
    fold = " in the worst fold" if said and len(overlaps) > 1 else ""
    return f"on both sides{fold} are {said}{near}" if said else ""


def _describe_audit(task: TaskResults) -> list[str]:
    """Say that nothing leaks, and what was not looked for."""
    audits = _list_audits(task)
    if not audits:
        return []
    overlaps = [overlap for audit in audits for overlap in audit.pairs.values()]
    has_groups, has_near = (all(getattr(o, n) is not None for o in overlaps) for n in ("n_groups_shared", "n_near"))
    reason = next((audit.reason for audit in audits if audit.reason), "")
    looked = [("no group", has_groups), ("no identical", True), ("no nearly identical", has_near and not reason)]
    *first, last = [what for what, was_looked_for in looked if was_looked_for]
    nothing = f"{', '.join(first)} and {last}" if first else last
    is_clean = all(audit.is_clean for audit in audits)
    said = [f"Leakage audit: {nothing} image is on both sides of a split."] if is_clean else []
    if not has_groups:
        said.append("Groups, such as patients, were not given, so that shared ones were not looked for.")
    if reason:
        said.append(f"Nearly identical images were not looked for: {reason}.")
    return [" ".join(said)] if said else []


def _list_audits(task: TaskResults) -> list[Audit]:
    """List the different audits of a task's trainings: one, or one a fold."""
    found = {json.dumps(kept, sort_keys=True): r for r in task.trainings if (kept := r.provenance.get("audit"))}
    return [audit for record in found.values() if (audit := read_provenance(record).audit)]


def list_remarks(task: TaskResults) -> list[str]:
    """Say what the folds share, how the data was loaded, and what was assumed of it."""
    loading = dict.fromkeys(str(said) for record in task.trainings if (said := record.provenance.get("loading")))
    return [*task.provenance.notes, *([OVERLAP] if list_folds(task) else []), *(f"Data: {said}." for said in loading)]
