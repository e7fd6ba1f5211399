"""One table of answers: the cells of a text file, an archive of arrays or a data frame, by column."""

import csv
import hashlib
import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dlmi_bench.errors import DataError, UsageError
from dlmi_bench.files import decode_text, parsing, read_bytes

if TYPE_CHECKING:
    import pandas as pd

MAX_BYTES = 1 << 28  # of a file
MAX_HEADER = 1 << 20  # characters
MAX_UNPACKED = 1 << 30
MAX_CELLS = 10_000_000
DELIMITERS = ",;\t"
REMEDY = "save it as CSV in UTF-8 with one line of column names, as .npz or as .parquet"
SMALLER = "judge a part of the cases, drawn at random, or leave columns out"

Cells = Sequence[str] | NDArray[Any]


@dataclass(frozen=True)
class AnswerTable:
    """Cells by column: text as it stands in the file, or an array of numbers; of several columns, (row, class).

    Attributes:
        source: Path of the file, or the name of the data.
        lines: Line of each row in the file; empty where rows are counted from 1.
        sha256: Hash of the file, or of the cells.
    """

    source: str
    columns: dict[str, Cells]
    sha256: str
    lines: Sequence[int] = field(default=(), repr=False)

    @property
    def n_rows(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    @property
    def stem(self) -> str:
        return Path(self.source).stem

    def locate(self, row: int, column: str) -> str:
        """Name the file, the row and the column of a cell."""
        where = f"line {self.lines[row]}" if self.lines else f"row {row + 1}"
        return f"{self.source}, {where}, column {column!r}"


def load_table(path: Path) -> AnswerTable:
    """Load a table by the suffix of its file: .npz, .parquet, otherwise text.

    Raises:
        UsageError: there is no such file.
        DataError: it cannot be read, is too large, or two columns have the same name.
        UnavailableError: .parquet needs a package that is not installed.
    """
    try:
        content = read_bytes(path, MAX_BYTES)
    except OSError as error:
        remedy = SMALLER if path.is_file() and path.stat().st_size > MAX_BYTES else "name a table of answers"
        raise UsageError(f"{path}: {error.strerror}", remedy) from error
    sha256 = hashlib.sha256(content).hexdigest()
    with parsing(path, REMEDY):
        if path.suffix.lower() == ".npz":
            table = AnswerTable(str(path), _read_arrays(str(path), content), sha256)
        elif path.suffix.lower() == ".parquet":
            table = _read_parquet(str(path), content, sha256)
        else:
            table = _read_text(str(path), content, sha256)
    return _check(table)


def take_frame(frame: "pd.DataFrame", source: str = "data frame") -> AnswerTable:
    """Take the columns of a data frame; an index with a name is a column too.

    Raises:
        DataError: see `load_table`.
    """
    if frame.index.name is not None and frame.index.name not in frame.columns:
        frame = frame.reset_index()
    names = list(map(str, frame.columns))
    _check_names(source, names)
    columns = {name: _take_column(frame.iloc[:, i]) for i, name in enumerate(names)}
    digest = hashlib.sha256(repr([(name, list(cells)) for name, cells in columns.items()]).encode()).hexdigest()
    return _check(AnswerTable(source, columns, digest))


def _take_column(series: "pd.Series[Any]") -> Cells:
    """Numbers as an array, all else as text; what is missing is empty."""
    if series.dtype.kind in "iuf":
        return series.to_numpy(float, na_value=np.nan) if series.isna().any() else series.to_numpy()
    return ["" if is_null else str(value) for value, is_null in zip(series, series.isna(), strict=True)]


def _read_parquet(source: str, content: bytes, sha256: str) -> AnswerTable:
    import pandas as pd
    import pyarrow.parquet

    meta = pyarrow.parquet.ParquetFile(io.BytesIO(content)).metadata
    _check_size(source, meta.num_rows, meta.num_columns)
    table = take_frame(pd.read_parquet(io.BytesIO(content)), source)
    return AnswerTable(source, table.columns, sha256)


def _read_arrays(source: str, content: bytes) -> dict[str, Cells]:
    with zipfile.ZipFile(io.BytesIO(content)) as packed:
        n_bytes = sum(info.file_size for info in packed.infolist())
    if n_bytes > MAX_UNPACKED:
        raise DataError(f"{source}: {n_bytes} bytes when unpacked", SMALLER)
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    return {
        name: array if array.dtype.kind in "iuf" else list(map(str, array.tolist())) for name, array in arrays.items()
    }


def _read_text(source: str, content: bytes, sha256: str) -> AnswerTable:
    text = decode_text(content)
    header = next((line for line in text[:MAX_HEADER].splitlines() if line.strip()), "")
    bare = "".join(header.split('"')[::2])
    delimiter = max(DELIMITERS, key=bare.count)
    _check_size(source, text.count("\n"), 1 + bare.count(delimiter))
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=delimiter)
    rows = [(reader.line_num, row) for row in reader if any(map(str.strip, row))]
    if len(rows) < 2:
        raise DataError(f"{source}: no rows", REMEDY)
    names = [name.strip() for name in rows[0][1]]
    _check_names(source, names)
    for line, row in rows[1:]:
        if len(row) != len(names):
            more = "more" if len(row) > len(names) else "fewer"
            remedy = "put quotes around a cell that holds a comma, or save the table with semicolons"
            raise DataError(f"{source}, line {line}: {len(row)} cells, {more} than the {len(names)} columns", remedy)
    columns = [[cell.strip() for cell in column] for column in zip(*(row for _, row in rows[1:]), strict=True)]
    cells: dict[str, Cells] = dict(zip(names, columns, strict=True))
    return AnswerTable(source, cells, sha256, [line for line, _ in rows[1:]])


def _check_names(source: str, names: Sequence[str]) -> None:
    seen: set[str] = set()
    for place, name in enumerate(names, 1):
        if not name.strip():
            raise DataError(f"{source}: column {place} has no name", "name every column in the first line")
        if name in seen:
            raise DataError(f"{source}: column {name!r} is there twice", "give each column a name of its own")
        seen.add(name)


def _check_size(source: str, n_rows: int, n_columns: int) -> None:
    if n_rows * n_columns > MAX_CELLS:
        cause = f"{source}: {n_rows} rows of {n_columns} columns are more than {MAX_CELLS} cells"
        raise DataError(cause, SMALLER)


def _check(table: AnswerTable) -> AnswerTable:
    sizes = {name: len(cells) for name, cells in table.columns.items() if name != "class_names"}
    if not sizes or not max(sizes.values()):
        raise DataError(f"{table.source}: no rows", REMEDY)
    name = next((name for name, n in sizes.items() if n != max(sizes.values())), None)
    if name is not None:
        cause = f"{table.source}: {name!r} has {sizes[name]} rows, others {max(sizes.values())}"
        raise DataError(cause, "give every column as many rows as there are cases")
    _check_size(table.source, max(sizes.values()), len(sizes))
    return table
