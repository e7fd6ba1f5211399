"""The official USPS text files: parsed line by line, so that an error can say where it is."""

import bz2
import io
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dlmi_bench.errors import DataError
from dlmi_bench.files import parsing, read_bytes
from dlmi_tasks.files.limits import GZIP, MAX_SHOWN, MIB, Decompressor, inflate, list_lines, parse_number

N_PIXELS = 256
# Of one file: the longest official one has 7 291 lines of at most 4 000 characters, 25 MB in all.
MAX_BYTES, MAX_LINES, MAX_LINE_CHARS = 64 * MIB, 10_000, 8192
N_CLASSES = 10
REMEDY = (
    "use the official file as it is, or drop --data-dir to fetch it from the package index; for digits of your own "
    "write a study: dlmi-bench init FOLDER"
)

Rows = tuple[NDArray[np.float64], NDArray[np.int64]]  # pixels (n, 256), labels (n,)


def find_file(folder: Path, name: str) -> Path | None:
    """`name` in `folder`, plain or compressed."""
    return next((p for suffix in ("", ".gz", ".bz2") if (p := folder / f"{name}{suffix}").is_file()), None)


def load_rows(path: Path, layout: str) -> Rows:
    """Parse one file.

    Args:
        path: Plain, .gz or .bz2.
        layout: `esl` (digit, then 256 values) or `libsvm` (digit + 1, then 256 pairs index:value).

    Raises:
        DataError: names the file, the line and the field.
    """
    parse = LAYOUTS[layout]
    pixels, labels = [], []
    for number, line in _read_lines(path):
        try:
            label, values = parse(line.split())
        except ValueError as error:
            raise DataError(f"{path}, line {number}: {error}", REMEDY) from None
        labels.append(label)
        pixels.append(values)
    if not labels:
        raise DataError(f"{path}: the file is empty", REMEDY)
    return np.array(pixels), np.array(labels, dtype=np.int64)


def _read_lines(path: Path) -> Iterator[tuple[int, str]]:
    with parsing(f"{path}: cannot be read to its end", REMEDY):
        content = read_bytes(path, MAX_BYTES)
        if path.suffix in DECOMPRESSORS:
            content = inflate(content, DECOMPRESSORS[path.suffix], MAX_BYTES)
        file = io.TextIOWrapper(io.BytesIO(content), encoding="ascii")
        lines = list_lines(file, max_lines=MAX_LINES, max_line_chars=MAX_LINE_CHARS, max_chars=MAX_BYTES)
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield number, line


DECOMPRESSORS: dict[str, Callable[[], Decompressor]] = {
    ".gz": GZIP,
    ".bz2": bz2.BZ2Decompressor,
}


def _parse_esl(fields: list[str]) -> tuple[int, list[float]]:
    _check_length(fields)
    return _check_label(_parse_float("label", fields[0])), [
        _parse_float(f"value {i}", text) for i, text in enumerate(fields[1:], 1)
    ]


def _parse_libsvm(fields: list[str]) -> tuple[int, list[float]]:
    _check_length(fields)
    values = []
    for i, pair in enumerate(fields[1:], 1):
        index, _, text = pair.partition(":")
        if index != str(i):
            raise ValueError(f"field {i}: expected index {i}, found {pair[:MAX_SHOWN]!r}")
        values.append(_parse_float(f"value {i}", text))
    # This layout counts the digits from 1.
    return _check_label(_parse_float("label", fields[0]) - 1), values


LAYOUTS: dict[str, Callable[[list[str]], tuple[int, list[float]]]] = {"esl": _parse_esl, "libsvm": _parse_libsvm}


def _check_length(fields: list[str]) -> None:
    if len(fields) != N_PIXELS + 1:
        raise ValueError(f"{len(fields) - 1} values after the label, expected {N_PIXELS}")


def _check_label(value: float) -> int:
    if value not in range(N_CLASSES):
        raise ValueError(f"label {value:g} is outside 0-{N_CLASSES - 1}")
    return int(value)


def _parse_float(field: str, text: str) -> float:
    try:
        return parse_number(text)
    except ValueError as error:
        raise ValueError(f"{field}: {error}") from None
