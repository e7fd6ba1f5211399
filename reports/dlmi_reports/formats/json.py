"""JSON format, report.json: the page, and its figures in long form."""

from pathlib import Path
from typing import Any

from pydantic import Field, JsonValue, TypeAdapter
from pydantic_core import to_json

from dlmi_bench.files import atomic_file
from dlmi_bench.records import SCHEMA_VERSION, Plain, Record
from dlmi_reports.formats.longform import FigureRow, describe_cells
from dlmi_reports.results.compact import list_fields
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
    report = Report.model_construct(page=document.page, figures=())
    head, tail = TypeAdapter(Report).dump_json(report).rsplit(b"[]", 1)  # what stands between are the figures
    path = folder / "report.json"
    with atomic_file(path) as file:
        file.write(head + b"[")
        found = (_format_rows(record, cell) for record, cell in describe_cells(document.records))
        for index, rows in enumerate(filter(None, found)):
            file.write(b"," + rows if index else rows)
        file.write(b"]" + tail)
    return [path]


def _format_rows(record: Record, cell: dict[str, JsonValue]) -> bytes:
    """Format the figures of a record as FigureRow does, between the brackets of a list."""
    return to_json([cell | {"figure": fields} for fields in list_fields(record)])[1:-1]


def make_schema() -> dict[str, Any]:
    """Make the JSON Schema of report.json."""
    return Report.model_json_schema() | {"$schema": "https://json-schema.org/draft/2020-12/schema"}
