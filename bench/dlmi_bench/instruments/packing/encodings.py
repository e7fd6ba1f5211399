"""Exact encodings of a tensor, a fixed list: as stored, in float16, or on a grid with a scale for each unit.

A unit is the whole tensor, each index of axis 0 (output channels of a Conv, of a Gemm with transB) or each index of
axis 1 (of a MatMul, of a Gemm without). Integers and other types than float32 stay as they are, at their own width.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlmi_bench.instruments.packing.fields import BYTE, TERNARY, Fields, count_bytes
from dlmi_bench.instruments.packing.grids import MAX_STEPS, MINUS_ZERO, Grid, find_grid, multiply

Array = NDArray[Any]
HALF_BYTE = ("int4", "uint4")  # stored in a byte each by numpy, two in a byte by ONNX
HALF = BYTE // 2
HALF_SIGN = np.int8(1 << (HALF - 1))


@dataclass(frozen=True)
class GridForm:
    """A grid: the axis of its units, None for the whole tensor, the type of its scales, and bits of a step."""

    axis: int | None
    scale: str
    width: int

    def count_units(self, shape: tuple[int, ...]) -> int:
        """Count the units of a tensor; IndexError where it has no such axis."""
        return 1 if self.axis is None else shape[self.axis]


WIDTHS = (TERNARY, 2, 3, 4, 8)
AS_STORED, FLOAT16 = "as stored", "float16"
# By their place in the file.
ENCODINGS: tuple[str | GridForm, ...] = (
    AS_STORED,
    FLOAT16,
    *(GridForm(*parts) for parts in product((None, 0, 1), ("float16", "float32"), WIDTHS)),
)


@dataclass(frozen=True)
class Encoded:
    """A tensor in one encoding.

    Attributes:
        place: In ENCODINGS.
        scales: Bytes of the scales.
        fields: One for each number, flat; 0 is +0.0.
        width: Of a field [bit], or TERNARY.
    """

    place: int
    scales: bytes
    fields: Fields
    width: int

    def count_bytes(self, n: int) -> int:
        """Count the bytes of the scales and of `n` numbers."""
        return len(self.scales) + count_bytes(n, self.width)


def find_width(kind: "np.dtype[Any]") -> int:
    """Width of a number as stored [bit]."""
    return HALF if kind.name in HALF_BYTE else BYTE * kind.itemsize


def list_encoded(array: Array) -> Iterator[Encoded]:
    """List the array in each encoding that is exact; of grids one for each axis of units."""
    width = find_width(array.dtype)
    fields = np.ascontiguousarray(array).reshape(-1).view(f"u{array.dtype.itemsize}")
    yield Encoded(0, b"", fields & (2**width - 1) if width < BYTE else fields, width)
    if array.dtype != np.float32 or not array.size:
        return
    with np.errstate(all="ignore"):
        halves = array.reshape(-1).astype(np.float16)
        is_exact = bool((halves.astype(np.float32).view(np.uint32) == fields).all())
    if is_exact:
        yield Encoded(ENCODINGS.index(FLOAT16), b"", halves.view(np.uint16), 2 * BYTE)
    for axis in (None, *range(min(array.ndim, 2) if array.ndim > 1 else 0)):
        if grid := find_grid(_list_units(array, axis)):
            yield _encode_grid(grid, axis, array.shape)


def decode(place: int, kind: "np.dtype[Any]", shape: tuple[int, ...], scales: bytes, fields: Fields) -> Array:
    """Decode the array that `list_encoded` gave.

    Raises:
        ValueError: another type than float32 in an encoding of float32, or numbers that are no scales.
    """
    form = ENCODINGS[place]
    if form == AS_STORED:
        if kind.name in HALF_BYTE:
            signed = (fields.astype(np.int8) ^ HALF_SIGN) - HALF_SIGN if kind.name == "int4" else fields
            return signed.astype(kind).reshape(shape)
        if kind == np.bool_ and fields.max(initial=0) > 1:
            raise ValueError("a truth value that is neither 0 nor 1")
        return fields.view(kind).reshape(shape)
    if kind != np.float32:
        raise ValueError(f"numbers of {kind.name} in an encoding of float32")
    if isinstance(form, str):
        return fields.view(np.float16).astype(np.float32).reshape(shape)
    return _decode_grid(form, shape, np.frombuffer(scales, f"<f{np.dtype(form.scale).itemsize}"), fields)


def _list_units(array: Array, axis: int | None) -> Array:
    """Array with a row for each unit."""
    return array.reshape(1, -1) if axis is None else np.moveaxis(array, axis, 0).reshape(array.shape[axis], -1)


def _encode_grid(grid: Grid, axis: int | None, shape: tuple[int, ...]) -> Encoded:
    is_minus = grid.steps == MINUS_ZERO
    top = np.abs(np.where(is_minus, 0, grid.steps)).max()
    width = next(bits for bits in WIDTHS[1:] if top < 1 << (bits - 1))
    if width == WIDTHS[1] and not is_minus.any():
        width, fields = TERNARY, (grid.steps % 3).astype(np.uint8)  # -1 is digit 2
    else:  # two's complement; the lowest number, which no grid has, is -0.0
        fields = np.where(is_minus, 1 << (width - 1), grid.steps.astype(np.int16) & ((1 << width) - 1)).astype(np.uint8)
    form = GridForm(axis, grid.scales.dtype.name, width)
    return Encoded(ENCODINGS.index(form), grid.scales.tobytes(), _flatten(fields, axis, shape), width)


def _decode_grid(form: GridForm, shape: tuple[int, ...], scales: Array, fields: Fields) -> Array:
    rows = _list_units(fields.reshape(shape), form.axis).astype(np.int16)
    if form.width == TERNARY:
        steps = np.where(rows == 2, -1, rows)
    else:
        lowest = 1 << (form.width - 1)
        steps = (rows ^ lowest) - lowest
        steps = np.where(steps == -lowest, MINUS_ZERO, steps)
    assert np.abs(np.where(steps == MINUS_ZERO, 0, steps)).max(initial=0) <= MAX_STEPS
    if not np.isfinite(scales).all():
        raise ValueError("a scale that is no number")
    return _flatten(multiply(scales, steps.astype(np.int8)), form.axis, shape).reshape(shape)


def _flatten(rows: Array, axis: int | None, shape: tuple[int, ...]) -> Array:
    """Array in the order of the tensor, from one with a row for each unit."""
    if not axis:  # the whole, or the first axis
        return rows.reshape(-1)
    others = [size for place, size in enumerate(shape) if place != axis]
    return np.ascontiguousarray(np.moveaxis(rows.reshape(shape[axis], *others), 0, axis)).reshape(-1)
