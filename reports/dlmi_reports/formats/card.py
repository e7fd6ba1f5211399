"""Model cards with Hugging Face's model-index. Its YAML is written as JSON, a subset."""

import json
from pathlib import Path

from pydantic import JsonValue

from dlmi_bench.files import write_text
from dlmi_bench.units import escape_markdown
from dlmi_reports.formats.markdown import format_markdown
from dlmi_reports.page import TABLES
from dlmi_reports.results.load import Results, TaskResults, make_slug
from dlmi_reports.results.model import ModelResults
from dlmi_reports.structure import Table


def write_cards(results: Results, folder: Path) -> list[Path]:
    """Write cards/TASK--MODEL.md for every model that was trained."""
    tables = {task.name: [table for make in TABLES for table in make(task)] for task in results.tasks.values()}
    paths = []
    for task, model in results.trained:
        path = folder / "cards" / f"{make_slug(task.name)}--{make_slug(model.name)}.md"
        paths.append(write_text(path, format_card(task, model, tables[task.name])))
    return paths


def format_card(task: TaskResults, model: ModelResults, tables: list[Table]) -> str:
    """Format YAML front matter and the model's rows of the report."""
    index = json.dumps(make_index(task, model), indent=2, ensure_ascii=True)
    tags = json.dumps(["benchmark", "dlmi-bench", *(["synthetic-data"] if task.is_synthetic else [])])
    parts = [
        f"---\ntags: {tags}\nmodel-index: {index}\n---",
        f"# {escape_markdown(model.name)} on {escape_markdown(task.name)}",
    ]
    if task.is_synthetic:
        parts.append("**Synthetic data.** These figures say nothing about patients.")
    for table in tables:
        rows = [row for row in table.rows if model.name == row[0]]
        if rows:
            parts.append(format_markdown(Table(table.title, table.caption, table.header, rows, table.notes)))
    return "\n\n".join(parts) + "\n"


def make_index(task: TaskResults, model: ModelResults) -> list[JsonValue]:
    """Make the model-index: accuracy with interval and seeds, and the test data."""
    metrics: list[JsonValue] = []
    for name in ("test_accuracy", "validation_accuracy"):
        accuracy = model.compute_accuracy(name)
        if accuracy:
            interval = f"Wilson 95 % [{accuracy.lo:.4f}, {accuracy.hi:.4f}], n={accuracy.n}, {accuracy.n_seeds} seeds"
            metrics.append({"type": "accuracy", "name": f"{name} ({interval})", "value": round(accuracy.mean, 6)})
    name = (task.provenance.data.name or task.name) + (" (synthetic)" if task.is_synthetic else "")
    dataset: JsonValue = {"type": task.name, "name": name}
    result: JsonValue = {"task": {"type": "image-classification"}, "dataset": dataset, "metrics": metrics}
    return [{"name": model.name, "results": [result]}]
