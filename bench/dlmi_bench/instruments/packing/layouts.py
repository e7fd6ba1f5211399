"""Layouts of a tensor: every number, or those that are not 0 with an index of where they are.

dense    every number; no index
bitmap   a bit for each number, 1 where one follows
gaps     width of a field [bit] (1 byte), number of fields, fields; a field is the number of zeros before the next
         number that follows; the largest field stands for as many zeros with no number after them
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from dlmi_bench.instruments.packing.fields import count_bytes, pack_fields
from dlmi_bench.instruments.packing.header import Reader, count_number_bytes, write_number

Layout = Literal["dense", "bitmap", "gaps"]
LAYOUTS: tuple[Layout, ...] = get_args(Layout)
MAX_WIDTH = 15  # of a gap [bit]


@dataclass(frozen=True)
class Sparsity:
    """Where the numbers of a tensor are that are not +0.0."""

    is_set: NDArray[np.bool_]

    @cached_property
    def n_set(self) -> int:
        return int(np.count_nonzero(self.is_set))

    @property
    def has_zeros(self) -> bool:
        return self.n_set < self.is_set.size

    def count_bytes(self, layout: Layout) -> int:
        """Count the bytes of the index."""
        if layout == "dense":
            return 0
        if layout == "bitmap":
            return count_bytes(self.is_set.size, 1)
        n_fields = self._count_fields(self._width)
        return 1 + count_number_bytes(n_fields) + count_bytes(n_fields, self._width)

    def write(self, layout: Layout) -> bytes:
        """Write the index."""
        if layout == "dense":
            return b""
        if layout == "bitmap":
            return np.packbits(self.is_set).tobytes()
        fields = self._make_fields()
        return bytes([self._width]) + write_number(len(fields)) + pack_fields(fields, self._width)

    @cached_property
    def _gaps(self) -> NDArray[np.int64]:
        """Zeros before each number that is not 0."""
        return np.diff(np.flatnonzero(self.is_set), prepend=-1) - 1

    @cached_property
    def _width(self) -> int:
        """Width of a field with which all take the fewest bits."""
        return min(range(1, MAX_WIDTH + 1), key=lambda width: width * self._count_fields(width))

    def _count_fields(self, width: int) -> int:
        return int((self._gaps // (2**width - 1)).sum()) + self.n_set

    def _make_fields(self) -> NDArray[np.uint16]:
        most = 2**self._width - 1
        fields = np.full(self._count_fields(self._width), most, np.uint16)
        fields[np.cumsum(self._gaps // most + 1) - 1] = self._gaps % most
        return fields


def read_index(reader: Reader, layout: Layout, n: int) -> NDArray[Any] | None:
    """Read the places of the numbers that follow, ascending, in a tensor of `n`; None for all.

    Raises:
        ValueError: a place outside the tensor, or fields of another width than there is.
    """
    if layout == "dense":
        return None
    if layout == "bitmap":
        return np.flatnonzero(np.unpackbits(np.frombuffer(reader.take(count_bytes(n, 1)), np.uint8), count=n))
    width = reader.take(1)[0]
    if not 1 <= width <= MAX_WIDTH:
        raise ValueError(f"gaps of {width} bits")
    fields = reader.take_fields(reader.take_number(), width).astype(np.int64)
    is_number = fields < 2**width - 1
    places: NDArray[Any] = (np.cumsum(fields + is_number) - 1)[is_number]
    if len(places) and places[-1] >= n:
        raise ValueError(f"place {places[-1]} of a tensor of {n}")
    return places
