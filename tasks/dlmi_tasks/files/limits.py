"""Ceilings for files from outside.

A few bytes can decompress to gigabytes, and a header can promise any size. Every size is checked before it is used.
"""

import math
import re
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from typing import Protocol, TextIO

MIB = 1 << 20
MAX_MEMBERS = 512  # of one compressed file: parallel compressors write a member per block
MAX_SHOWN = 200  # characters of a message that come from outside
# What Python's float also takes is no number in a table: 0_3, and digits of other scripts.
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|[+-]?(nan|inf)", re.ASCII | re.IGNORECASE)
GZIP = partial(zlib.decompressobj, 16 + zlib.MAX_WBITS)  # with gzip's own header and checksum


class Decompressor(Protocol):
    """Interface that zlib and bz2 share."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


def inflate(content: bytes, make: Callable[[], Decompressor], max_bytes: int, *, padding: bytes = b"") -> bytes:
    """Decompress every member to its end, where its checksum is; nothing but `padding` may follow.

    Raises:
        ValueError: it holds more than `max_bytes`.
        EOFError: it is truncated. Damage raises what the decompressor raises.
    """
    data = bytearray()
    for _ in range(MAX_MEMBERS):
        member = make()
        data += member.decompress(content, max_bytes + 1 - len(data))
        if len(data) > max_bytes:
            raise ValueError(f"holds more than {max_bytes / MIB:.0f} MiB")
        if not member.eof:
            raise EOFError("compressed data end early")
        content = member.unused_data
        if content in (b"", padding):
            return bytes(data)
    raise ValueError(f"more than {MAX_MEMBERS} compressed members")


def list_lines(file: TextIO, *, max_lines: int, max_line_chars: int, max_chars: int) -> Iterator[str]:
    """Lines of a text, one in memory at a time.

    Raises:
        ValueError: there are more or longer ones than allowed, or a NUL byte, which no text holds.
    """
    n_chars = 0
    for number in count(1):
        line = file.readline(max_line_chars + 1)
        if not line:
            return
        n_chars += len(line)
        if len(line) > max_line_chars:
            raise ValueError(f"line {number} is longer than {max_line_chars} characters")
        if number > max_lines or n_chars > max_chars:
            raise ValueError(f"longer than {max_lines} lines or {max_chars} characters")
        if "\0" in line:
            raise ValueError(f"line {number} holds a NUL byte")
        yield line


def parse_number(text: str) -> float:
    """A finite decimal number in ASCII digits.

    Raises:
        ValueError: it is anything else.
    """
    if not NUMBER.fullmatch(text):
        raise ValueError(f"{text[:MAX_SHOWN]!r} is not a number")
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:MAX_SHOWN]!r} is not finite")
    return value
