"""Long form for other tools: one row per figure of the store, in SI units."""

import csv
import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from pydantic import JsonValue, SerializerFunctionWrapHandler, model_serializer

from dlmi_bench.errors import require
from dlmi_bench.files import atomic_file, atomic_text
from dlmi_bench.records import Figure, Plain, Record
from dlmi_reports.results.compact import list_cells, list_fields
from dlmi_reports.results.machines import find_kind, list_kinds

BATCH = 50_000  # rows that are held at a time
FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r")


class HasRecords(Protocol):
    """Anything with records, from which the long form is written."""

    @property
    def records(self) -> list[Record]: ...


def write_csv(document: HasRecords, folder: Path) -> list[Path]:
    """Write figures.csv; lists and tables within a column are JSON."""
    path = folder / "figures.csv"
    with atomic_text(path) as file:
        writer = csv.writer(file)
        writer.writerow(list_columns(document.records))
        for record, cell in describe_cells(document.records):
            head = [*map(_to_text, cell.values())]
            writer.writerows(head + cells for cells in list_cells(record, _to_text))
    return [path]


def _to_text(value: JsonValue) -> JsonValue:
    if isinstance(value, dict | list):
        return to_cell(json.dumps(value)) if value else str(value)
    return to_cell(value)


def to_cell(value: JsonValue) -> JsonValue:
    """Mark text that a spreadsheet would run as a formula; a sign alone is none."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA_SIGNS) and len(value) > 1 else value


def write_jsonl(document: HasRecords, folder: Path) -> list[Path]:
    """Write figures.jsonl, one object per line."""
    path = folder / "figures.jsonl"
    with atomic_text(path) as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in list_rows(document.records))
    return [path]


def write_parquet(document: HasRecords, folder: Path) -> list[Path]:
    """Write figures.parquet; conditions are JSON text, because their keys differ between rows.

    Raises:
        UnavailableError: pyarrow is not installed.
    """
    require("parquet", "--format parquet")
    import pyarrow as pa
    from pyarrow import parquet

    names, floats, integers = list_columns(document.records), ("value", "lo", "hi"), ("seed_index", "n")
    types = {name: pa.float64() for name in floats} | {name: pa.int64() for name in integers}
    types |= {"samples": pa.list_(pa.float64()), "notes": pa.list_(pa.string())}
    schema = pa.schema([(name, types.get(name, pa.string())) for name in names])
    path, rows = folder / "figures.parquet", list_rows(document.records)
    with atomic_file(path) as file, parquet.ParquetWriter(file, schema) as writer:
        while batch := list(islice(rows, BATCH)):
            columns = {name: [row[name] for row in batch] for name in names}
            columns["conditions"] = [json.dumps(value, sort_keys=True) for value in columns["conditions"]]
            writer.write_table(pa.table(columns, schema=schema))
    return [path]


class FigureRow(Plain):
    """One figure in SI units, with the cell that it belongs to.

    Attributes:
        machine: Kind of machine of the cell; left out where costs of one kind only are in the store.
    """

    task: str
    model: str
    seed_index: int
    cell: str
    machine: str | None = None
    figure: Figure

    @model_serializer(mode="wrap")
    def _leave_out(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        found: dict[str, Any] = write(self)
        if self.machine is None:
            found.pop("machine", None)
        return found


COLUMNS = ("task", "model", "seed_index", "cell", *Figure.model_fields)


def list_columns(records: list[Record]) -> list[str]:
    """List the columns of the rows: COLUMNS, with the machine where costs of several kinds are among the records."""
    return [*COLUMNS[:4], *(["machine"] if len(list_kinds(records)) > 1 else []), *COLUMNS[4:]]


def list_rows(records: list[Record]) -> Iterator[dict[str, Any]]:
    """List every figure, in the order of the store: keys of `list_columns`; notes and samples keep their shape."""
    for record, cell in describe_cells(records):
        for fields in list_fields(record):
            yield cell | fields


def describe_cells(records: list[Record]) -> Iterator[tuple[Record, dict[str, JsonValue]]]:
    """Describe the cell of each record, as FigureRow does."""
    is_mixed = len(list_kinds(records)) > 1
    for record in records:
        cell = record.cell
        where: dict[str, JsonValue] = {"machine": find_kind(record) or ""} if is_mixed else {}
        identity: dict[str, JsonValue] = {
            "task": cell.task,
            "model": cell.model,
            "seed_index": cell.seed_index,
            "cell": cell.kind,
        }
        yield record, identity | where
