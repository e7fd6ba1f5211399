"""The report as a plain structure, which each format writes down in its own syntax."""

from dataclasses import dataclass
from typing import Any

from bench.records import Record
from reports.claims import judge_claims
from reports.load import Results, TaskResults
from reports.plots import plot_pareto
from reports.predicates import load_claims
from reports.prose import list_sentences, make_claim_table
from reports.tables import Table, list_notes, make_tables


@dataclass
class Section:
    """One task."""

    name: str
    title: str
    lead: list[str]
    plot_svg: str | None
    plot_alt: str
    tables: list[Table]
    notes: list[str]


@dataclass
class Page:
    """The whole report."""

    title: str
    lead: list[str]
    sections: list[Section]
    environment: Table
    failures: Table


def make_page(results: Results) -> Page:
    n_judged = sum(r.figure("n_test_reads") is not None for r in results.records)
    return Page(
        title="dlmi-bench report",
        lead=[
            f"{len(results.records)} cells, {len(results.failures)} failed attempts; {n_judged} artifacts judged on a "
            "test split, once each. How each figure is measured is in METHOD.md."
        ],
        sections=[make_claim_section(results), *(_make_section(task) for task in results.tasks.values())],
        environment=make_environment_table(results.records),
        failures=make_failure_table(results),
    )


def make_claim_section(results: Results) -> Section:
    """The course's claims, judged by these results."""
    verdicts = judge_claims(load_claims(), results)
    return Section(
        name="claims",
        title="Claims",
        lead=list_sentences(verdicts),
        plot_svg=None,
        plot_alt="",
        tables=[make_claim_table(verdicts)],
        notes=[],
    )


def _make_section(task: TaskResults) -> Section:
    data = task.provenance.get("data", {})
    splits = task.provenance.get("splits", {})
    label = "SYNTHETIC DATA: " if task.is_synthetic else ""
    lead = [
        f"{label}{data.get('note', '')} Source: {data.get('source', 'unknown')}. "
        + ", ".join(f"{n} {name}" for name, n in splits.items())
        + " examples.",
    ]
    return Section(
        name=task.name,
        title=f"{label}{task.name}",
        lead=lead,
        plot_svg=plot_pareto(task),
        plot_alt=f"Test accuracy of the models on {task.name} against their parameters and their latency; "
        "the figures are in the tables below.",
        tables=make_tables(task),
        notes=list_notes(task),
    )


def make_environment_table(records: list[Record]) -> Table:
    """Machine, versions, commit and data, each with the number of cells it holds for: more than one is a warning."""
    seen: dict[tuple[str, str], int] = {}
    for record in records:
        for item in _list_facts(record.provenance):
            seen[item] = seen.get(item, 0) + 1
    rows = [[name, value, str(n)] for (name, value), n in sorted(seen.items())]
    names = [name for name, _ in seen]
    mixed = sorted({name for name in names if names.count(name) > 1} - {"date", "data source"})
    caption = "Every cell carries these; the last column counts them."
    table = Table("Measured on", caption, ["what", "value", "cells"], rows)
    if mixed:
        table.notes.append(f"Not the same for all cells: {', '.join(mixed)}. Check before comparing rows.")
    return table


def _list_facts(provenance: dict[str, Any]) -> list[tuple[str, str]]:
    facts = [(name, str(value)) for name, value in provenance.get("machine", {}).items()]
    facts += [(f"version of {name}", str(value)) for name, value in provenance.get("versions", {}).items()]
    facts += [("commit", provenance.get("commit") or "unknown"), ("date", str(provenance.get("date", "")))]
    facts.append(("suite", str(provenance.get("suite", {}).get("name", ""))))
    data = provenance.get("data")
    if data:
        facts.append(("data source", data["source"]))
        facts += [(f"sha256 of {data['name']} {part}", digest) for part, digest in data["sha256"].items()]
    return facts


def make_failure_table(results: Results) -> Table:
    rows = [[a.key, a.finished_at, (a.error or "").splitlines()[0]] for a in results.failures]
    caption = "Kept with their reasons; a later run tries them again."
    return Table("Failed attempts", caption, ["cell", "when", "why"], rows)
