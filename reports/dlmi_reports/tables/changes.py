"""One store against another: what changed, what is resolved, what cannot be compared and why."""

from dataclasses import dataclass

from dlmi_bench.records import Record
from dlmi_bench.units import format_count, format_quantity, format_ratio
from dlmi_reports.results.costs import COSTS, Cost, CostSample
from dlmi_reports.results.load import ModelResults, Results, TaskResults
from dlmi_reports.results.provenance import read_provenance
from dlmi_reports.structure import Section, Table
from dlmi_reports.tables.cells import MISSING, render_gap
from dlmi_reports.tables.differences import compute_accuracy_difference, format_points
from dlmi_reports.tables.origins import list_facts

# One process in seven of a shared machine runs up to this many times slower throughout (measured, METHOD.md): times of
# two sessions, which did not run side by side, have to differ by more to mean anything.
SLOW_PROCESS = 1.6


@dataclass(frozen=True)
class Change:
    """One figure of one model in both stores."""

    what: str
    now: str
    then: str
    change: str
    verdict: str


def make_change_section(now: Results, then: Results, label: str) -> Section:
    """What this store has against the other, which `label` names."""
    lead = [
        f"This store against {label}. Accuracy is compared where both were judged on the same test examples, times "
        f"where both were taken on the same machine; not side by side, so they are resolved only where every process "
        f"differs by more than {SLOW_PROCESS} x. `dlmi-bench gate --against` resolves less."
    ]
    tables = [make_origin_table(now.own, then.own), make_change_table(now, then), make_missing_table(now, then)]
    return Section("against", f"Against {label}", lead, tables=[table for table in tables if table.rows])


def make_origin_table(now: list[Record], then: list[Record]) -> Table:
    """Machine, versions, commit and data, where they are not the same."""
    here, there = _collect_facts(now), _collect_facts(then)
    names = [name for name in sorted(here | there) if here.get(name) != there.get(name)]
    rows = [[name, here.get(name, "none"), there.get(name, "none")] for name in names]
    return Table("What is not the same", "Where the two stores come from.", ["what", "this", "other"], rows)


def _collect_facts(records: list[Record]) -> dict[str, str]:
    found: dict[str, list[str]] = {}
    for record in records:
        for name, value in list_facts(read_provenance(record)):
            if value not in found.setdefault(name, []) and name != "date":
                found[name].append(value)
    return {name: ", ".join(values) for name, values in found.items() if values}


def make_change_table(now: Results, then: Results) -> Table:
    """A row for each figure that both stores have."""
    rows = []
    for name, task in now.tasks.items():
        other = then.tasks.get(name)
        if other is None:
            continue
        for model in task.by_size:
            if model.name in other.models:
                changes = _compare(model, other.models[model.name], task, other)
                rows += [[task.name, model.name, c.what, c.now, c.then, c.change, c.verdict] for c in changes]
    rows.sort(key=lambda row: not row[-1].startswith("changed"))
    n = sum(row[-1].startswith("changed") for row in rows)
    n_barred = sum(row[-1].startswith("cannot") for row in rows)
    caption = f"{n} of {len(rows)} changed, {n_barred} cannot be compared; changed ones first."
    return Table("What changed", caption, ["task", "model", "what", "this", "other", "change", "verdict"], rows)


def _compare(now: ModelResults, then: ModelResults, task: TaskResults, other: TaskResults) -> list[Change]:
    found = [_compare_accuracy(now, then, task, other)]
    found += [_compare_cost(cost, now, then) for cost in COSTS]
    return [change for change in found if change]


def _compare_accuracy(now: ModelResults, then: ModelResults, task: TaskResults, other: TaskResults) -> Change | None:
    a, b = now.compute_accuracy(), then.compute_accuracy()
    difference = compute_accuracy_difference(now, then)
    if a is None or b is None or difference is None:
        return None
    shown = ("test accuracy %", f"{100 * a.mean:.1f} (n={a.n_seeds})", f"{100 * b.mean:.1f} (n={b.n_seeds})")
    hashes = [_list_test_hashes(t) for t in (task, other)]
    if not all(hashes) or hashes[0] != hashes[1]:
        return Change(*shown, "", f"cannot be compared: {'other' if all(hashes) else 'unknown'} test data")
    if now.values("test_accuracy") == then.values("test_accuracy"):
        return Change(*shown, "0", "same, seed by seed")
    verdict = "changed" if difference.is_resolved(0.0) else f"not resolved: {difference.reason or 'interval holds 0'}"
    return Change(*shown, format_points(difference).split(" (")[0], verdict)


def _list_test_hashes(task: TaskResults) -> dict[str, str]:
    return {part: digest for part, digest in task.provenance.data.sha256.items() if "train" not in part}


def _compare_cost(cost: Cost, now: ModelResults, then: ModelResults) -> Change | None:
    a, b = cost.find(now), cost.find(then)
    if any(render_gap(model, cost) != MISSING for model in (now, then)):
        here, there = (_show(cost, x.value) if x else render_gap(model, cost) for x, model in ((a, now), (b, then)))
        return Change(cost.title, here, there, "", "cannot be compared: INVALID")
    if a is None or b is None or min(a.value, b.value) <= 0:
        return None
    shown = (cost.title, _show(cost, a.value), _show(cost, b.value))
    ratio = "same" if a.value == b.value else format_ratio(a.value / b.value)
    if cost.cell == "counts":
        return Change(*shown, ratio, "same" if a.value == b.value else "changed")
    machines = [_find_machine(cost, model) for model in (now, then)]
    if not all(machines) or machines[0] != machines[1]:
        return Change(*shown, "", f"cannot be compared: {'other' if all(machines) else 'unknown'} machine")
    return Change(*shown, ratio, "changed" if _is_apart(a, b) else "not resolved: not measured side by side")


def _show(cost: Cost, value: float) -> str:
    return format_count(value) if cost.unit == "parameters" else format_quantity(value, cost.unit)


def _is_apart(a: CostSample, b: CostSample) -> bool:
    return a.lo > SLOW_PROCESS * b.hi or b.lo > SLOW_PROCESS * a.hi


def _find_machine(cost: Cost, model: ModelResults) -> object:
    record = model.trainings[0] if cost.cell == "train" else model.measured[cost.cell]
    return record.provenance.get("machine_id")


def make_missing_table(now: Results, then: Results) -> Table:
    """Models that only one of the stores has."""
    here, there = ({(t.name, m) for t in results.tasks.values() for m in t.models} for results in (now, then))
    rows = [[task, model, "this" if (task, model) in here else "other"] for task, model in sorted(here ^ there)]
    return Table("Only in one of them", "Nothing to compare with.", ["task", "model", "only in"], rows)
