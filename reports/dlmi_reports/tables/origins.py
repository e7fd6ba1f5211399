"""Where the figures come from: machine, versions and data of all cells, every run, and what failed."""

from typing import Any

from dlmi_bench.records import Record
from dlmi_bench.store import Attempt
from dlmi_bench.units import clean_text
from dlmi_reports.results.load import Results
from dlmi_reports.structure import Table


def make_environment_table(records: list[Record]) -> Table:
    """Machine, versions, commit and data, each with the number of cells it holds for: more than one is a warning."""
    seen: dict[tuple[str, str], int] = {}
    for record in records:
        for item in list_facts(record.provenance):
            seen[item] = seen.get(item, 0) + 1
    rows = [[name, value, str(n)] for (name, value), n in sorted(seen.items())]
    names = [name for name, _ in seen]
    mixed = sorted({name for name in names if names.count(name) > 1} - {"date", "data source"})
    caption = "Every cell carries these; the last column counts them."
    table = Table("Measured on", caption, ["what", "value", "cells"], rows)
    if mixed:
        table.notes.append(f"Not the same for all cells: {', '.join(mixed)}. Check before comparing rows.")
    return table


def list_facts(provenance: dict[str, Any]) -> list[tuple[str, str]]:
    """(what, value) of all that a record says about machine, versions, code and data."""
    facts = [(name, str(value)) for name, value in provenance.get("machine", {}).items()]
    facts += [(name, str(value)) for name, value in provenance.get("settings", {}).items() if value is not None]
    facts += [(f"version of {name}", str(value)) for name, value in provenance.get("versions", {}).items()]
    facts += [("commit", provenance.get("commit") or "unknown"), ("date", str(provenance.get("date", "")))]
    facts.append(("suite", str(provenance.get("suite", {}).get("name", ""))))
    data = provenance.get("data")
    if data:
        facts.append(("data source", str(data.get("source", ""))))
        facts += [(f"sha256 of {data.get('name')} {part}", d) for part, d in data.get("sha256", {}).items()]
    start = provenance.get("start", {})
    if file := start.get("file"):
        facts += [(f"sha256 of {file}", str(start["file_sha256"])), (f"licence of {file}", str(start["licence"]))]
    return [(clean_text(name), clean_text(value)) for name, value in facts if value]


def make_run_table(results: Results) -> Table:
    """Every cell by its latest attempt, failed ones too."""
    rows = [_make_run_row(attempt) for attempt in results.attempts]
    caption = "Every cell that was started, by its latest attempt; nothing is left out."
    header = ["task", "model", "cell", "run", "status", "figures", "finished"]
    return Table("All runs", caption, header, sorted(rows, key=lambda row: (row[4] != "failed", row)))


def _make_run_row(attempt: Attempt) -> list[str]:
    # A model's name may hold a slash; kind, task and seed cannot.
    kind, task, rest = (*attempt.key.split("/", 2), "", "")[:3]
    model, _, index = rest.rpartition("/")
    run = str(int(index) + 1) if index.isdecimal() else ""
    n_figures = len(attempt.record.figures) if attempt.record else 0
    return [clean_text(task), clean_text(model), kind, run, attempt.status, str(n_figures), attempt.finished_at]


def make_failure_table(results: Results) -> Table:
    """Failed attempts, also those that a later one mended."""
    rows = [
        [clean_text(a.key), a.finished_at, clean_text((a.error or "").strip().split("\n")[0])] for a in results.failures
    ]
    caption = "Kept with their reasons; a later run tries them again."
    return Table("Failed attempts", caption, ["cell", "when", "why"], rows)
