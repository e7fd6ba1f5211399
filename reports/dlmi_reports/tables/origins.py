"""Origin of the figures: machine, versions and data of all cells, every run, and failures."""

from collections import Counter

from dlmi_bench.records import Record
from dlmi_bench.store.rows import Attempt
from dlmi_reports.results.compact import count_figures
from dlmi_reports.results.load import Results
from dlmi_reports.results.provenance import Provenance, read_provenance
from dlmi_reports.structure import Table


def make_environment_table(records: list[Record]) -> Table:
    """Machine, versions, commit and data, each with the number of its cells. Different values give a warning."""
    seen: dict[tuple[str, str], int] = {}
    alike = Counter(id(record.provenance) for record in records)  # trainings of one store may share it
    for record in {id(record.provenance): record for record in records}.values():
        for item in list_facts(read_provenance(record)):
            seen[item] = seen.get(item, 0) + alike[id(record.provenance)]
    rows = [[name, value, str(n)] for (name, value), n in sorted(seen.items())]
    names = [name for name, _ in seen]
    mixed = sorted({name for name in names if names.count(name) > 1} - {"date", "data source"})
    caption = "The last column counts the cells with this value."
    table = Table("Measured on", caption, ["what", "value", "cells"], rows)
    if mixed:
        table.notes.append(f"Different between cells: {', '.join(mixed)}. Check before you compare rows.")
    return table


def list_facts(provenance: Provenance) -> list[tuple[str, str]]:
    """List pairs (what, value) of machine, settings, versions, code and data."""
    facts = [(name, str(value)) for name, value in provenance.machine.items()]
    facts += [(name, str(value)) for name, value in provenance.settings.items() if value is not None]
    facts += [(f"version of {name}", value) for name, value in provenance.versions.items()]
    facts += [("commit", provenance.commit or "unknown"), ("date", provenance.date)]
    facts += [("suite", str(provenance.suite.get("name", ""))), ("data source", provenance.data.source)]
    facts += [(f"sha256 of {provenance.data.name} {part}", d) for part, d in provenance.data.sha256.items()]
    start = provenance.start
    if file := start.get("file"):
        facts += [(f"sha256 of {file}", str(start.get("file_sha256") or start.get("sha256") or ""))]
        facts += [(f"licence of {file}", str(start.get("licence") or ""))]
    for plugin in provenance.plugins:
        files = ", ".join(f"{name} {digest[:12]}" for name, digest in plugin.files.items())
        facts += [(f"plug-in {plugin.name}, sha256", files)]
    return [(name, value) for name, value in facts if value]


def make_run_table(results: Results) -> Table:
    """List the latest attempt of every cell, including failed ones."""
    rows = [_make_run_row(attempt) for attempt in results.attempts]
    caption = "The latest attempt of every cell that was started, without exception."
    header = ["task", "model", "cell", "run", "status", "figures", "finished"]
    return Table("All runs", caption, header, sorted(rows, key=lambda row: (row[4] != "failed", row)))


def _make_run_row(attempt: Attempt) -> list[str]:
    # A model's name may hold a slash; kind, task and seed cannot.
    kind, task, rest = (*attempt.key.split("/", 2), "", "")[:3]
    model, _, index = rest.rpartition("/")
    run = str(int(index) + 1) if index.isdecimal() else ""
    n_figures = count_figures(attempt.record) if attempt.record else 0
    return [task, model, kind, run, attempt.status, str(n_figures), attempt.finished_at]


def make_failure_table(results: Results) -> Table:
    """List failed attempts, including those that succeeded later."""
    rows = [[a.key, a.finished_at, (a.error or "").strip().split("\n")[0]] for a in results.failures]
    caption = "Failed attempts with their reasons. The next run tries the cells again."
    return Table("Failed attempts", caption, ["cell", "when", "why"], rows)
