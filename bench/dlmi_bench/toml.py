"""Files that users write: TOML into a strict record, with errors that name the file, every field and its line."""

import re
import tomllib
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from dlmi_bench.errors import UsageError
from dlmi_bench.files import decode_text, parsing, read_bytes
from dlmi_bench.records import Plain

P = TypeVar("P", bound=Plain)
MAX_FILE_BYTES = 1 << 20


def load_toml(path: Path, kind: type[P]) -> P:
    """The file as a record of that kind; fields that are left out take their defaults.

    Raises:
        UsageError: an unreadable file, or fields that do not exist or fit; names all of them.
    """
    remedy = f"correct the file; fields are {', '.join(kind.model_fields)}"
    try:
        text = decode_text(read_bytes(path, MAX_FILE_BYTES))
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", "name a file that can be read") from error
    except UnicodeDecodeError as error:
        cause = f"{path}: neither UTF-8 nor UTF-16: {error.reason} at byte {error.start}"
        raise UsageError(cause, "save it as UTF-8") from error
    with parsing(path, remedy, UsageError):
        parsed = tomllib.loads(text)
        try:
            return kind.model_validate(parsed)
        except ValidationError as error:
            problems = "; ".join(_describe(e["loc"], e["msg"], text) for e in error.errors())
            raise UsageError(f"{path}: {problems}", remedy) from error


def _describe(loc: tuple[int | str, ...], message: str, text: str) -> str:
    message = message.removeprefix("Value error, ")  # pydantic's, before what our own checks say
    if not loc:
        return message
    line = find_line(text, loc)
    return f"field {'.'.join(map(str, loc))}{f' (line {line})' if line else ''}: {message}"


def find_line(text: str, loc: tuple[int | str, ...]) -> int | None:
    """Line on which a field stands, or else the last table header on the way to it; None where neither is written.

    tomllib keeps no lines, so the text is searched: `("claim", 2, "margin")` is the key `margin` after the third
    `[[claim]]`. Names on the way that are in no header (the tag of a union) are passed over.
    """
    lines = text.splitlines()
    start, end = 0, len(lines)
    found: int | None = None
    for name, index in zip(loc, [*loc[1:], None], strict=True):
        if not isinstance(name, str):
            continue
        headers = [i for i in range(start, end) if re.match(rf"\s*\[+\s*(\S+\.)?{re.escape(name)}\s*\]+", lines[i])]
        if headers:
            place = index if isinstance(index, int) and index < len(headers) else 0
            found = headers[place]
            start = found + 1
            end = headers[place + 1] if place + 1 < len(headers) else end
            continue
        keys = [i for i in range(start, end) if re.match(rf"\s*[\"']?{re.escape(name)}[\"']?\s*[=.]", lines[i])]
        if keys:
            return keys[0] + 1
    return None if found is None else found + 1
