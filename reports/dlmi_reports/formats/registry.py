"""Formats by name, of reports and of exports. A new format is a file here and a row below."""

from collections.abc import Callable, Iterable
from pathlib import Path

from dlmi_bench.errors import UsageError, list_choices
from dlmi_reports.formats.boamps import write_boamps
from dlmi_reports.formats.c import write_c
from dlmi_reports.formats.card import write_cards
from dlmi_reports.formats.html import write_html
from dlmi_reports.formats.json import write_json
from dlmi_reports.formats.latex import write_latex
from dlmi_reports.formats.longform import write_csv, write_jsonl, write_parquet
from dlmi_reports.formats.markdown import write_markdown
from dlmi_reports.formats.mlbom import write_mlboms
from dlmi_reports.formats.onnx import write_onnx
from dlmi_reports.formats.table import write_tables
from dlmi_reports.paper.checklist import write_checklists
from dlmi_reports.paper.prose import write_methods_texts
from dlmi_reports.results.load import Results
from dlmi_reports.structure import Document

FORMATS: dict[str, Callable[[Document, Path], list[Path]]] = {
    "md": write_markdown,
    "html": write_html,
    "csv": write_csv,
    "latex": write_latex,
    "json": write_json,
    "table": write_tables,
}

# For other tools: one file per task and model, except for the long form.
EXPORTS: dict[str, Callable[[Results, Path], list[Path]]] = {
    "jsonl": write_jsonl,
    "csv": write_csv,
    "parquet": write_parquet,
    "boamps": write_boamps,
    "mlbom": write_mlboms,
    "model-card": write_cards,
    "onnx": write_onnx,
    "c": write_c,
    "checklist": write_checklists,
    "methods-text": write_methods_texts,
}


def check_formats(names: Iterable[str], known: Iterable[str]) -> None:
    """Raise UsageError for a format that is not known."""
    for name in names:
        if name not in known:
            raise UsageError(f"--format: no {name!r}", list_choices(name, known))
