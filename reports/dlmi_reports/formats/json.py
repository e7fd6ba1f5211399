"""JSON format, report.json: the page, and its figures in long form."""

from pathlib import Path
from typing import Any

from pydantic import Field, TypeAdapter

from dlmi_bench.files import write_text
from dlmi_bench.records import SCHEMA_VERSION, Plain
from dlmi_reports.formats.longform import FigureRow, list_rows
from dlmi_reports.structure import Document, Page

# Incremented when readers of report.json have to change.
DOCUMENT_VERSION = 1


class Report(Plain):
    """Content of report.json: every figure of the store, and the tables as text, as in all other formats."""

    document_version: int = Field(DOCUMENT_VERSION, description="Incremented when readers have to change.")
    record_version: int = Field(SCHEMA_VERSION, description="Schema of the records in the store.")
    page: Page
    figures: tuple[FigureRow, ...]


def write_json(document: Document, folder: Path) -> list[Path]:
    """Write report.json, as docs/report.schema.json describes it."""
    report = Report.model_construct(page=document.page, figures=tuple(list_rows(document.records)))
    return [write_text(folder / "report.json", TypeAdapter(Report).dump_json(report).decode())]


def make_schema() -> dict[str, Any]:
    """Make the JSON Schema of report.json."""
    return Report.model_json_schema() | {"$schema": "https://json-schema.org/draft/2020-12/schema"}
