"""Task from a table of image files with their labels, groups, splits and sites."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Unpack

from dlmi_bench.errors import DataError, UsageError
from dlmi_bench.files import parsing, resolve_inside
from dlmi_tasks.files.limits import MAX_SHOWN, list_lines
from dlmi_tasks.own.examples import encode_words
from dlmi_tasks.own.options import CommonOptions, complete
from dlmi_tasks.own.sources.files import make_file_task
from dlmi_tasks.spec import Task

MAX_LINES, MAX_LINE_CHARS, MAX_CHARS = 10_000_000, 1 << 16, 1 << 30
REMEDY = "save the table as CSV in UTF-8, with commas (tabs in .tsv) and one line of column names"

FILE_REMEDY = "correct the line, or name the folder that holds the files in root="


def from_csv(
    manifest: str | Path,
    *,
    image: str,
    label: str,
    group: str | None = None,
    split: str | None = None,
    site: str | None = None,
    root: str | Path | None = None,
    **options: Unpack[CommonOptions],
) -> Task:
    """See Task.from_csv."""
    path = Path(manifest)
    columns = {"image": image, "label": label, "groups": group, "split": split, "sites": site}
    wanted = {field: column for field, column in columns.items() if column is not None}
    twice = sorted({*wanted} & {*options})
    if twice:
        raise UsageError(f"{path}: {twice[0]} are a column and an option", "state one of them")
    table, lines = _read_table(path, wanted)
    files = table.pop("image")
    labels, names = encode_words(str(path), table.pop("label"), options.get("class_names"), lines)
    full = complete({**options, **table}, path.stem)  # type: ignore[typeddict-item] # the keys are those of `columns`
    folder = path.parent if root is None else Path(root)

    def resolve(row: int) -> Path:
        where, name = f"{path}, line {lines[row]}", files[row]
        with parsing(where, FILE_REMEDY):
            file = resolve_inside(folder, name)
            if not file.is_file():
                raise DataError(f"{where}: no file {name[:MAX_SHOWN]!r} in {folder}", FILE_REMEDY)
        return file

    return make_file_task(path, "manifest", files, resolve, labels, names, full, lines)


def _read_table(path: Path, wanted: dict[str, str]) -> tuple[dict[str, list[str]], list[int]]:
    """Wanted columns by field, and the line of each row.

    Raises:
        DataError: the table cannot be read, lacks a column, a cell is empty, or a file stands in it twice.
    """
    table: dict[str, list[str]] = {field: [] for field in wanted}
    lines: list[int] = []
    seen: dict[str, int] = {}
    if not path.is_file():
        raise DataError(f"{path}: no such file", "name a table in CSV")
    with parsing(f"{path}: cannot be read as a table", REMEDY):
        for line, row in _list_rows(path, wanted):
            for field, column in wanted.items():
                table[field].append(row[column].strip() if row[column] else "")
                if not table[field][-1]:
                    raise DataError(f"{path}, line {line}: column {column!r} is empty", "fill it, or drop the line")
            first = seen.setdefault(table["image"][-1], line)
            if first != line:
                raise DataError(f"{path}, line {line}: the same image as in line {first}", "list each image once")
            lines.append(line)
    if not lines:
        raise DataError(f"{path}: no rows", REMEDY)
    return table, lines


def _list_rows(path: Path, wanted: dict[str, str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Rows with the number of their line, once the header has the wanted columns."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        text = list_lines(file, max_lines=MAX_LINES, max_line_chars=MAX_LINE_CHARS, max_chars=MAX_CHARS)
        reader = csv.DictReader(text, delimiter="\t" if path.suffix == ".tsv" else ",", strict=True)
        found = [*(reader.fieldnames or ())]
        missing = next((column for column in wanted.values() if found.count(column) != 1), None)
        if missing is not None:
            cause = f"{path}: no column {missing!r}" if missing not in found else f"{path}: two columns {missing!r}"
            raise DataError(f"{cause}; its columns are {', '.join(found)[:500] or 'none'}", REMEDY)
        for row in reader:
            if None in row:
                raise DataError(f"{path}, line {reader.line_num}: more cells than columns", REMEDY)
            yield reader.line_num, row
