"""Comparison of two stores: what changed, and what cannot be compared and why."""

from dlmi_bench.instruments.host.kinds import UNKNOWN
from dlmi_bench.records import Record
from dlmi_bench.units import format_count, format_quantity, format_ratio
from dlmi_reports.results.costs import COSTS, EXACT, Cost, CostSample
from dlmi_reports.results.load import Results, TaskResults
from dlmi_reports.results.machines import SEVERAL
from dlmi_reports.results.model import ModelResults
from dlmi_reports.results.provenance import read_provenance
from dlmi_reports.structure import Section, Table
from dlmi_reports.tables.cells import MISSING, render_gap
from dlmi_reports.tables.differences import compute_accuracy_difference, format_points
from dlmi_reports.tables.origins import list_facts

# On a shared machine one process in seven is slower throughout, up to this factor (measured, METHOD.md). Times of two
# sessions, which did not run side by side, differ significantly only if they differ by more.
SLOW_PROCESS = 1.6
BETTER, WORSE = "changed: better", "changed: worse"
N_NAMED = 4  # figures in the sentence


def make_change_section(now: Results, then: Results, label: str) -> Section:
    """Compare this store with another one, which `label` names."""
    lead = [
        f"This store compared with {label}. Accuracies need the same test examples, times need the same machine. The "
        f"times were not measured side by side, so a change counts only if every process differs by more than "
        f"{SLOW_PROCESS} x. Use `dlmi-bench gate --against` to detect smaller changes."
    ]
    changes = make_change_table(now, then)
    tables = [changes, make_origin_table(now.own, then.own), make_missing_table(now, then)]
    lead = [summarise(changes, label), *lead]
    return Section("against", f"Compared with {label}", lead, tables=[table for table in tables if table.rows])


def summarise(changes: Table, label: str) -> str:
    """Say in a sentence what became better, what worse, and how much cannot be told."""
    said = []
    for way in (BETTER, WORSE):
        named = [f"{what} of {model} on {task}" for task, model, what, *_, verdict in changes.rows if verdict == way]
        more = f" and {len(named) - N_NAMED} more" if len(named) > N_NAMED else ""
        said.append(f"{way.removeprefix('changed: ')}: {', '.join(named[:N_NAMED]) or 'nothing'}{more}")
    verdicts = [row[-1] for row in changes.rows]
    counts = {
        what: sum(v.startswith(what) for v in verdicts) for what in ("same", "not resolved", "cannot be compared")
    }
    return f"Compared with {label}: {'; '.join(said)}; {', '.join(f'{n} {what}' for what, n in counts.items())}."


def make_origin_table(now: list[Record], then: list[Record]) -> Table:
    """List machine, versions, commit and data that differ."""
    here, there = _collect_facts(now), _collect_facts(then)
    names = [name for name in sorted(here | there) if here.get(name) != there.get(name)]
    rows = [[name, here.get(name, "none"), there.get(name, "none")] for name in names]
    return Table("What differs", "Origin of the two stores.", ["what", "this", "other"], rows)


def _collect_facts(records: list[Record]) -> dict[str, str]:
    found: dict[str, list[str]] = {}
    for record in records:
        for name, value in list_facts(read_provenance(record)):
            if value not in found.setdefault(name, []) and name != "date":
                found[name].append(value)
    return {name: ", ".join(values) for name, values in found.items() if values}


def make_change_table(now: Results, then: Results) -> Table:
    """One row per figure that both stores have."""
    rows = []
    for name, task in now.tasks.items():
        other = then.tasks.get(name)
        if other is None:
            continue
        for model in task.by_size:
            if model.name in other.models:
                changes = _compare(model, other.models[model.name], task, other)
                rows += [[task.name, model.name, *change] for change in changes]
    rows.sort(key=lambda row: not row[-1].startswith("changed"))
    n = sum(row[-1].startswith("changed") for row in rows)
    n_barred = sum(row[-1].startswith("cannot") for row in rows)
    caption = f"{n} of {len(rows)} changed, {n_barred} cannot be compared; changed ones first. Brackets: 95 % interval."
    return Table("What changed", caption, ["task", "model", "what", "this", "other", "change", "verdict"], rows)


def _compare(now: ModelResults, then: ModelResults, task: TaskResults, other: TaskResults) -> list[list[str]]:
    found = [_compare_accuracy(now, then, task, other)]
    found += [_compare_cost(each, now, then) for cost in COSTS for each in _split(cost, now, then)]
    return [change for change in found if change]


def _split(cost: Cost, now: ModelResults, then: ModelResults) -> list[Cost]:
    """Split a cost by the kinds of machine on which both stores have it, where either has several."""
    here, there = (set(model.list_kinds((cost.cell,))) for model in (now, then))
    return [*map(cost.on, sorted(here & there))] if len(here | there) > 1 and here & there else [cost]


def _compare_accuracy(now: ModelResults, then: ModelResults, task: TaskResults, other: TaskResults) -> list[str] | None:
    a, b = now.compute_accuracy(), then.compute_accuracy()
    difference = compute_accuracy_difference(now, then)
    if a is None or b is None or difference is None:
        return None
    shown = ("test accuracy %", f"{100 * a.mean:.1f} (n={a.n_seeds})", f"{100 * b.mean:.1f} (n={b.n_seeds})")
    hashes = [_list_test_hashes(t) for t in (task, other)]
    if not all(hashes) or hashes[0] != hashes[1]:
        return [*shown, "", f"cannot be compared: {'other' if all(hashes) else 'unknown'} test data"]
    if now.values("test_accuracy") == then.values("test_accuracy"):
        return [*shown, "0", "same, seed by seed"]
    if not difference.is_resolved(0.0):
        verdict = f"not resolved: {difference.reason or 'interval holds 0'}"
    else:
        verdict = BETTER if difference.value > 0 else WORSE
    return [*shown, format_points(difference).split(" (")[0], verdict]


def _list_test_hashes(task: TaskResults) -> dict[str, str]:
    return {part: digest for part, digest in task.provenance.data.sha256.items() if "train" not in part}


def _compare_cost(cost: Cost, now: ModelResults, then: ModelResults) -> list[str] | None:
    a, b = cost.find(now), cost.find(then)
    if any(render_gap(model, cost) != MISSING for model in (now, then)):
        here, there = (_show(cost, x.value) if x else render_gap(model, cost) for x, model in ((a, now), (b, then)))
        return [cost.title, here, there, "", "cannot be compared: INVALID"]
    if a is None or b is None or min(a.value, b.value) <= 0:
        return None
    shown = (cost.title, *(SEVERAL if len(x.machines) > 1 else _show(cost, x.value) for x in (a, b)))
    ratio = "same" if a.value == b.value else format_ratio(a.value / b.value)
    changed = BETTER if a.value < b.value else WORSE
    if cost.cell in EXACT:
        return [*shown, ratio, "same" if a.value == b.value else changed]
    if a.machines != b.machines or UNKNOWN in a.machines:
        is_known = UNKNOWN not in a.machines | b.machines
        return [*shown, "", f"cannot be compared: {'other' if is_known else 'unknown'} machine"]
    return [*shown, ratio, changed if _is_apart(a, b) else "not resolved: not measured side by side"]


def _show(cost: Cost, value: float) -> str:
    return format_count(value) if cost.unit in ("parameters", "weights") else format_quantity(value, cost.unit)


def _is_apart(a: CostSample, b: CostSample) -> bool:
    return a.lo > SLOW_PROCESS * b.hi or b.lo > SLOW_PROCESS * a.hi


def make_missing_table(now: Results, then: Results) -> Table:
    """List models that only one of the stores has."""
    here, there = ({(t.name, m) for t in results.tasks.values() for m in t.models} for results in (now, then))
    rows = [[task, model, "this" if (task, model) in here else "other"] for task, model in sorted(here ^ there)]
    return Table("Only in one store", "Models without a counterpart.", ["task", "model", "only in"], rows)
