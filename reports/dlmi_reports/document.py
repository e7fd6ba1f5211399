"""What every format is made from: the page, and the figures behind it in long form. Also the JSON format itself."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, TypeAdapter

from dlmi_bench.records import SCHEMA_VERSION, Figure, Plain, Record
from dlmi_reports.page import Page

# Counts up when a reader of report.json would have to change.
DOCUMENT_VERSION = 1


class Row(Plain):
    """One figure with the cell that it belongs to: the long form, one row per figure, SI units."""

    task: str
    model: str
    seed_index: int
    cell: str
    figure: Figure


class Report(Plain):
    """report.json: every figure of the store, and the tables as text, as all other formats show them."""

    document_version: int = Field(DOCUMENT_VERSION, description="Changes when a reader would have to.")
    record_version: int = Field(SCHEMA_VERSION, description="Schema of the records in the store.")
    page: Page
    figures: tuple[Row, ...]


@dataclass(frozen=True)
class Document:
    """The page as people read it and the records as machines do."""

    page: Page
    records: list[Record]


COLUMNS = ("task", "model", "seed_index", "cell", *Figure.model_fields)


def list_rows(records: list[Record]) -> Iterator[Row]:
    """Every figure, in the order of the store."""
    for record in records:
        cell = record.cell
        for figure in record.figures:
            yield Row.model_construct(
                task=cell.task, model=cell.model, seed_index=cell.seed_index, cell=cell.kind, figure=figure
            )


def flatten_row(row: Row) -> dict[str, Any]:
    """Keys as in COLUMNS; conditions, notes and samples keep their shape."""
    return {
        "task": row.task,
        "model": row.model,
        "seed_index": row.seed_index,
        "cell": row.cell,
    } | row.figure.model_dump(mode="json")


def write_json(document: Document, folder: Path) -> list[Path]:
    """report.json, as docs/report.schema.json describes it."""
    report = Report.model_construct(page=document.page, figures=tuple(list_rows(document.records)))
    path = folder / "report.json"
    path.write_bytes(TypeAdapter(Report).dump_json(report))
    return [path]


def make_schema() -> dict[str, Any]:
    """JSON Schema of report.json."""
    return Report.model_json_schema() | {"$schema": "https://json-schema.org/draft/2020-12/schema"}
