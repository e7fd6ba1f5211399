"""Grids: numbers that are whole multiples of a scale, exactly as float32 rounds the product."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
MAX_STEPS = 127  # of 8 bits
MAX_UNITS = 8192  # the search takes up to a millisecond for each
HEAD = 1024  # numbers of a unit that are looked at first: most tensors are on no grid
MINUS_ZERO = -128  # the step that no grid has: -0.0, which no product with 0 gives
DIVISORS = np.arange(1, MAX_STEPS + 1, dtype=np.float32)
NEIGHBOURS = 2  # a quotient is less than this many steps of float32 from the scale


@dataclass(frozen=True)
class Grid:
    """Numbers as scale times step.

    Attributes:
        scales: One for each unit (row), float16 or float32.
        steps: One for each number (unit, place), int8; MINUS_ZERO is -0.0.
    """

    scales: NDArray[np.floating[Any]]
    steps: NDArray[np.int8]


def find_grid(rows: Floats) -> Grid | None:
    """Find the grid of each row with the fewest steps; float16 scales where each row has one, else float32.

    Args:
        rows: Shape (units, numbers of a unit), float32.

    Returns:
        The grid; None where a row has none of at most MAX_STEPS on either side of 0.
    """
    if not 0 < len(rows) <= MAX_UNITS or not rows.size or not np.isfinite(rows).all():
        return None
    distinct = []
    for row in rows:
        if (values := _list_distinct(row)) is None:
            return None
        distinct.append(values)
    for kind in (np.float16, np.float32):
        scales = _find_scales(distinct, kind)
        if scales is not None:
            grid = Grid(scales, _compute_steps(rows, scales))
            is_exact = np.array_equal(multiply(scales, grid.steps).view(np.uint32), rows.view(np.uint32))
            return grid if is_exact else None
    return None


def multiply(scales: NDArray[np.floating[Any]], steps: NDArray[np.int8]) -> Floats:
    """Compute the numbers of a grid, shape (units, numbers of a unit)."""
    products = scales.astype(np.float32)[:, None] * steps.astype(np.float32)
    return np.where(steps == MINUS_ZERO, np.float32(-0.0), products)


def _compute_steps(rows: Floats, scales: NDArray[np.floating[Any]]) -> NDArray[np.int8]:
    divisors = scales.astype(np.float32)[:, None]
    steps = np.rint(np.divide(rows, divisors, out=np.zeros_like(rows), where=divisors > 0)).astype(np.int8)
    steps[(rows == 0) & np.signbit(rows)] = MINUS_ZERO
    return steps


def _list_distinct(row: Floats) -> Floats | None:
    """List the distinct magnitudes but 0, ascending; None where there are more than any grid has."""
    for part in (row[:HEAD], row) if len(row) > HEAD else (row,):
        values = np.unique(np.abs(part))
        values = values[values > 0]
        if len(values) > MAX_STEPS:
            return None
    return values


def _find_scales(distinct: list[Floats], kind: type[np.floating[Any]]) -> NDArray[np.floating[Any]] | None:
    scales = []
    for values in distinct:
        if (scale := _find_scale(values, kind)) is None:
            return None
        scales.append(scale)
    return np.array(scales, kind)


def _find_scale(values: Floats, kind: type[np.floating[Any]]) -> np.floating[Any] | None:
    """Find the scale of this type of which the largest value is the smallest multiple; 0 where there are no values."""
    if not len(values):
        return kind(0)
    with np.errstate(all="ignore"):  # scales that are too small or too large are no grid
        quotients = values[-1] / DIVISORS
        candidates = (quotients.astype(kind)[:, None] if kind is np.float16 else _list_near(quotients)).astype(
            np.float32
        )
        steps = np.rint(values / candidates[..., None])
        is_exact = (steps * candidates[..., None] == values).all(-1)
        is_exact &= steps[..., -1] <= MAX_STEPS  # more where the scale is subnormal, and rounds by half of itself
    found = np.argwhere(is_exact & (candidates > 0))
    return kind(candidates[tuple(found[0])]) if len(found) else None


def _list_near(quotients: Floats) -> Floats:
    """List each quotient and its neighbours: a division may be off by a step or two."""
    near = [quotients]
    for end in (np.float32(0), np.float32(np.inf)):
        value = quotients
        for _ in range(NEIGHBOURS):
            value = np.nextafter(value, end)
            near.append(value)
    return np.stack(near, axis=-1)
