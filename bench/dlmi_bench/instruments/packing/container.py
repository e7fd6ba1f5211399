"""Writing and reading packed files; the format is described in the package."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import TYPE_CHECKING, Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from dlmi_bench.errors import DataError
from dlmi_bench.files import parsing
from dlmi_bench.instruments.packing.encodings import (
    AS_STORED,
    ENCODINGS,
    FLOAT16,
    Encoded,
    GridForm,
    decode,
    find_width,
    list_encoded,
)
from dlmi_bench.instruments.packing.fields import BYTE, pack_fields
from dlmi_bench.instruments.packing.header import Reader, write_number
from dlmi_bench.instruments.packing.layouts import LAYOUTS, Layout, Sparsity, read_index
from dlmi_bench.instruments.packing.tensors import MAX_PARAMETERS, Constant, find_dtype, list_constants

if TYPE_CHECKING:
    from onnx import ModelProto

MAGIC = b"p1"  # the number is the version
N_CRC = 4
PLACES = 32  # of types and encodings, in a byte with one of 8 layouts or numbers of axes
MAX_AXES = 7
REMEDY = "pack the ONNX file again, with this version"


@dataclass(frozen=True)
class PackedTensor:
    """A tensor and all exact ways to write it."""

    constant: Constant
    encoded: tuple[Encoded, ...]
    sparsity: Sparsity

    @classmethod
    def make(cls, constant: Constant) -> "PackedTensor":
        """Find the encodings of a tensor.

        Raises:
            DataError: it has more than MAX_AXES axes.
        """
        if constant.array.ndim > MAX_AXES:
            raise DataError(f"a tensor of {constant.array.ndim} axes is not packed", f"use at most {MAX_AXES} axes")
        encoded = tuple(list_encoded(constant.array))
        return cls(constant, encoded, Sparsity(encoded[0].fields != 0))

    @cached_property
    def stored_bytes(self) -> int:
        """Bytes of its numbers as they are stored."""
        return self.encoded[0].count_bytes(self.constant.array.size)

    def write(self, layout: Layout | None = None) -> tuple[bytes, bytes]:
        """Write header and body (index, scales, numbers) in a layout, the smallest for None.

        A tensor without zeros is dense in any case.
        """
        allowed = [name for name in LAYOUTS if layout in (None, name)] if self.sparsity.has_zeros else LAYOUTS[:1]
        pairs = [(name, encoded) for name in allowed for encoded in self.encoded]
        chosen, encoded = min(pairs, key=lambda pair: self.count_bytes(*pair))
        fields = encoded.fields if chosen == "dense" else encoded.fields[self.sparsity.is_set]
        shape = self.constant.array.shape
        places = [PLACES * LAYOUTS.index(chosen) + self.constant.type, PLACES * len(shape) + encoded.place]
        body = self.sparsity.write(chosen) + encoded.scales + pack_fields(fields, encoded.width)
        return bytes(places) + b"".join(map(write_number, shape)), body

    def count_bytes(self, layout: Layout, encoded: Encoded) -> int:
        """Count the bytes of the body."""
        n = self.constant.array.size if layout == "dense" else self.sparsity.n_set
        return self.sparsity.count_bytes(layout) + encoded.count_bytes(n)


def pack(model: "ModelProto", layout: Layout | None = None) -> bytes:
    """Pack the constant tensors of an ONNX file, without its graph.

    Args:
        model: With all of its weights in memory, see `load_weights`.
        layout: For every tensor that has zeros; the smallest of each tensor by default.

    Raises:
        DataError: see `list_constants`.
    """
    return write_tensors([PackedTensor.make(constant) for constant in list_constants(model)], layout)


def pack_smaller(model: "ModelProto") -> bytes | None:
    """Pack a file of which a weight in float32 becomes smaller; None for others, and for those that are not packed."""
    try:
        tensors = [PackedTensor.make(constant) for constant in list_constants(model)]
    except DataError:
        return None
    wide = [t for t in tensors if t.constant.is_weight and t.constant.array.dtype == np.float32]
    return write_tensors(tensors) if any(len(t.write()[1]) < t.stored_bytes for t in wide) else None


def write_tensors(tensors: Sequence[PackedTensor], layout: Layout | None = None) -> bytes:
    """Write the content of a packed file."""
    parts = [part for tensor in tensors for part in tensor.write(layout)]
    content = b"".join([write_number(len(tensors)), *parts])
    return MAGIC + crc32(content).to_bytes(N_CRC, "little") + content


def unpack(content: bytes) -> list[NDArray[Any]]:
    """Unpack the arrays of a packed file, bit for bit, in the order of the ONNX file.

    Raises:
        DataError: it is no packed file, or damaged, or holds more than MAX_PARAMETERS numbers.
    """
    with parsing("packed weights", REMEDY):
        reader = Reader(content)
        if (magic := reader.take(len(MAGIC))) != MAGIC:
            raise ValueError(f"the first bytes are {magic!r}, not {MAGIC!r}")
        digest = int.from_bytes(reader.take(N_CRC), "little")
        if crc32(content[len(MAGIC) + N_CRC :]) != digest:
            raise ValueError("damaged: the checksum is another one")
        n_left, arrays = MAX_PARAMETERS, []
        for _ in range(reader.take_number()):
            arrays.append(_read_tensor(reader, n_left))
            n_left -= arrays[-1].size
        if reader.n_left:
            raise ValueError(f"{reader.n_left} bytes after the last tensor")
    return arrays


def _read_tensor(reader: Reader, most: int) -> NDArray[Any]:
    layout, type_ = divmod(reader.take(1)[0], PLACES)
    n_axes, place = divmod(reader.take(1)[0], PLACES)
    if layout >= len(LAYOUTS):
        raise ValueError(f"no layout has the number {layout}")
    kind, shape = find_dtype(type_), tuple(reader.take_number() for _ in range(n_axes))
    if (n := prod(shape)) > most or max(shape, default=0) > MAX_PARAMETERS:
        raise ValueError(f"a tensor of shape {shape}: more than {MAX_PARAMETERS} numbers")
    index = read_index(reader, LAYOUTS[layout], n)
    scales, width = _read_scales(reader, ENCODINGS[place], shape, kind)
    fields = reader.take_fields(n if index is None else len(index), width)
    if index is not None:
        whole = np.zeros(n, fields.dtype)
        whole[index] = fields
        fields = whole
    return decode(place, kind, shape, scales, fields)


def _read_scales(
    reader: Reader, form: str | GridForm, shape: tuple[int, ...], kind: "np.dtype[Any]"
) -> tuple[bytes, int]:
    """Read the scales; returns them and the width of a field."""
    if isinstance(form, GridForm):
        return reader.take(form.count_units(shape) * np.dtype(form.scale).itemsize), form.width
    return b"", {AS_STORED: find_width(kind), FLOAT16: 2 * BYTE}[form]
