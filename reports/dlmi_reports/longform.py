"""The long form for other tools: one row per figure, SI units, everything that the store holds."""

import csv
import json
from pathlib import Path

from dlmi_bench.errors import UsageError
from dlmi_reports.document import COLUMNS, flatten_row, list_rows
from dlmi_reports.load import HasRecords


def write_csv(document: HasRecords, folder: Path) -> list[Path]:
    """figures.csv; what has a shape of its own is JSON within its column."""
    path = folder / "figures.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for row in list_rows(document.records):
            values = flatten_row(row).values()
            writer.writerow([json.dumps(v) if isinstance(v, dict | list) else v for v in values])
    return [path]


def write_jsonl(document: HasRecords, folder: Path) -> list[Path]:
    """figures.jsonl: an object a line."""
    path = folder / "figures.jsonl"
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(flatten_row(row), ensure_ascii=False) + "\n" for row in list_rows(document.records))
    return [path]


def write_parquet(document: HasRecords, folder: Path) -> list[Path]:
    """figures.parquet; conditions are JSON text, because their keys differ from row to row.

    Raises:
        UsageError: pyarrow is not installed.
    """
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise UsageError(
            "--format parquet needs pyarrow", "pip install 'dlmi-bench[parquet]', or use --format jsonl"
        ) from error
    rows = [flatten_row(row) for row in list_rows(document.records)]
    columns = {name: [row[name] for row in rows] for name in COLUMNS}
    columns["conditions"] = [json.dumps(value, sort_keys=True) for value in columns["conditions"]]
    floats, integers = ("value", "lo", "hi"), ("seed_index", "n")
    types = {name: pa.float64() for name in floats} | {name: pa.int64() for name in integers}
    types |= {"samples": pa.list_(pa.float64()), "notes": pa.list_(pa.string())}
    schema = pa.schema([(name, types.get(name, pa.string())) for name in COLUMNS])
    path = folder / "figures.parquet"
    parquet.write_table(pa.table(columns, schema=schema), path)
    return [path]
