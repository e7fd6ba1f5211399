"""Long form for other tools: one row per figure of the store, in SI units."""

import csv
import json
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Protocol

from pydantic import JsonValue

from dlmi_bench.errors import require
from dlmi_bench.files import atomic_file, write_text
from dlmi_bench.records import Figure, Plain, Record

FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r")


class HasRecords(Protocol):
    """Anything with records, from which the long form is written."""

    @property
    def records(self) -> list[Record]: ...


def write_csv(document: HasRecords, folder: Path) -> list[Path]:
    """Write figures.csv; lists and tables within a column are JSON."""
    text = StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    for row in list_rows(document.records):
        values = flatten_row(row).values()
        writer.writerow([to_cell(json.dumps(v) if isinstance(v, dict | list) else v) for v in values])
    return [write_text(folder / "figures.csv", text.getvalue())]


def to_cell(value: JsonValue) -> JsonValue:
    """Mark text that a spreadsheet would run as a formula; a sign alone is none."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA_SIGNS) and len(value) > 1 else value


def write_jsonl(document: HasRecords, folder: Path) -> list[Path]:
    """Write figures.jsonl, one object per line."""
    lines = [json.dumps(flatten_row(row), ensure_ascii=False) + "\n" for row in list_rows(document.records)]
    return [write_text(folder / "figures.jsonl", "".join(lines))]


def write_parquet(document: HasRecords, folder: Path) -> list[Path]:
    """Write figures.parquet; conditions are JSON text, because their keys differ between rows.

    Raises:
        UnavailableError: pyarrow is not installed.
    """
    require("parquet", "--format parquet")
    import pyarrow as pa
    from pyarrow import parquet

    rows = [flatten_row(row) for row in list_rows(document.records)]
    columns = {name: [row[name] for row in rows] for name in COLUMNS}
    columns["conditions"] = [json.dumps(value, sort_keys=True) for value in columns["conditions"]]
    floats, integers = ("value", "lo", "hi"), ("seed_index", "n")
    types = {name: pa.float64() for name in floats} | {name: pa.int64() for name in integers}
    types |= {"samples": pa.list_(pa.float64()), "notes": pa.list_(pa.string())}
    schema = pa.schema([(name, types.get(name, pa.string())) for name in COLUMNS])
    path = folder / "figures.parquet"
    with atomic_file(path) as file:
        parquet.write_table(pa.table(columns, schema=schema), file)
    return [path]


class FigureRow(Plain):
    """One figure in SI units, with the cell that it belongs to."""

    task: str
    model: str
    seed_index: int
    cell: str
    figure: Figure


COLUMNS = ("task", "model", "seed_index", "cell", *Figure.model_fields)


def list_rows(records: list[Record]) -> Iterator[FigureRow]:
    """List every figure, in the order of the store."""
    for record in records:
        cell = record.cell
        for figure in record.figures:
            yield FigureRow.model_construct(
                task=cell.task, model=cell.model, seed_index=cell.seed_index, cell=cell.kind, figure=figure
            )


def flatten_row(row: FigureRow) -> dict[str, JsonValue]:
    """Convert to the keys of COLUMNS; conditions, notes and samples keep their shape."""
    identity = row.model_dump(exclude={"figure"})
    return {**identity, **row.figure.model_dump(mode="json")}
