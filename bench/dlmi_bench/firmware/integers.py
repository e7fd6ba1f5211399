"""Floats to integers: scales chosen on training images, and a proof that no sum leaves 32 bits, whatever the input."""

from dataclasses import dataclass
from math import floor, log2, prod

import numpy as np
from numpy.typing import NDArray

from dlmi_bench.errors import DataError
from dlmi_bench.firmware.net import SLOPE_BITS, IntegerLayer, IntegerNet, Integers, Layer, Values
from dlmi_bench.firmware.reference import compute_maps
from dlmi_bench.instruments.packing.grids import MINUS_ZERO, find_grid

SMALLEST, LARGEST = -128, 127  # of 8 bits
LIMIT = 2**31 - 1  # of a sum
MAX_SHIFT = 24
MAX_MULTIPLIER = 255
CANDIDATES = (-1, 0, 1, 2)  # powers of two around the one that just holds the largest value
SCALES = np.linspace(0.6, 1.05, 46)  # times the scale that just holds the largest weight


@dataclass(frozen=True)
class _Scaled:
    """Weights of a layer as integers: a number is integer * scale of its channel."""

    weights: Integers
    scales: Values


def make_integers(layers: tuple[Layer, ...], images: NDArray[np.float32], bits: int) -> IntegerNet:
    """The net in integers.

    With 8 bits all scales are powers of two, one for a layer. With 4 bits each channel has a scale, the file's own
    where its weights lie on such a grid, and a sum is multiplied by 1 to 255.

    Args:
        images: Of the training split, (n, ...): exponents are those of the least squared error on them.

    Raises:
        DataError: a sum could leave 32 bits.
    """
    exponent = choose_exponent(images.astype(np.float64), 8)
    input_shape, steps = images.shape[1:], list[IntegerLayer]()
    if prod(input_shape) != prod(layers[0].input_shape):
        cause = f"images of {input_shape}, and a net that takes {layers[0].input_shape}"
        raise DataError(cause, "name the task that the net was trained on with --task")
    reach, before = (SMALLEST, LARGEST), exponent
    for layer, maps in zip(layers, compute_maps(layers, images), strict=True):
        wanted = choose_exponent(maps, 8)
        make = _make_plain if bits == 8 else _make_scaled
        step, before = make(layer, before, wanted, reach, bits)
        steps.append(step)
        reach = (SMALLEST if step.slope else 0, LARGEST)
    return IntegerNet(tuple(steps), tuple(input_shape), exponent, bits)


def choose_exponent(values: Values, bits: int) -> int:
    """Power of two by which values become integers of so many bits with the least squared error."""
    largest, limit = float(np.abs(values).max(initial=0)), 2 ** (bits - 1) - 1
    if not largest:
        return 0
    near = floor(log2(limit / largest))
    return min((near + i for i in CANDIDATES), key=lambda exponent: _compute_error(values, 2.0**-exponent, limit))


def _compute_error(values: Values, scale: float, limit: int) -> float:
    """Squared error of values that are rounded to whole multiples of a scale."""
    return float(((np.rint(values / scale).clip(-limit - 1, limit) * scale - values) ** 2).sum())


def _make_plain(layer: Layer, before: int, wanted: int, reach: tuple[int, int], bits: int) -> tuple[IntegerLayer, int]:
    """One power of two for all weights of the layer; returns the exponent of its output too."""
    own = choose_exponent(layer.weights, bits)
    while own + before > wanted + MAX_SHIFT or np.abs(layer.bias).max() * 2.0 ** (own + before) > LIMIT / 4:
        own -= 1
    after = min(wanted, own + before)
    limit = 2 ** (bits - 1) - 1
    weights = np.rint(layer.weights * 2.0**own).clip(-limit - 1, limit).astype(np.int64)
    bias = np.rint(layer.bias * 2.0 ** (own + before)).astype(np.int64)
    ones = np.ones(len(bias), np.int64)
    return _finish(layer, weights, bias, ones, own + before - after, reach), after


def _make_scaled(layer: Layer, before: int, wanted: int, reach: tuple[int, int], bits: int) -> tuple[IntegerLayer, int]:
    """A scale for each channel, as the ratio of a whole number and a power of two."""
    found = _scale_weights(layer.weights, bits)
    bias = np.rint(layer.bias / found.scales * 2.0**before).astype(np.int64)
    ratios = found.scales * 2.0 ** (wanted - before)  # of an output's integers to a sum
    shift = min(floor(log2((MAX_MULTIPLIER + 0.5) / ratios.max())), MAX_SHIFT)
    if shift < 0:
        wanted, shift, ratios = wanted + shift, 0, ratios * 2.0**shift
    multipliers = np.rint(ratios * 2.0**shift).clip(1, MAX_MULTIPLIER).astype(np.int64)
    return _finish(layer, found.weights, bias, multipliers, shift, reach), wanted


def _scale_weights(weights: Values, bits: int) -> _Scaled:
    """Weights on the grid that the file has, else on that of the least squared error for each channel."""
    rows, limit = weights.reshape(len(weights), -1), 2 ** (bits - 1) - 1
    grid = find_grid(rows.astype(np.float32))
    if grid is not None and np.abs(grid.steps[grid.steps != MINUS_ZERO]).max(initial=0) <= limit:
        scales = np.where(grid.scales > 0, grid.scales, 1).astype(np.float64)
    else:
        scales = np.array([_choose_scale(row, limit) for row in rows])
    steps = np.rint(rows / scales[:, None]).clip(-limit - 1, limit).astype(np.int64)
    return _Scaled(steps.reshape(weights.shape), scales)


def _choose_scale(row: Values, limit: int) -> float:
    largest = float(np.abs(row).max())
    if not largest:
        return 1.0
    return min((largest / limit * SCALES).tolist(), key=lambda scale: _compute_error(row, scale, limit))


def _finish(
    layer: Layer, weights: Integers, bias: Integers, multipliers: Integers, shift: int, reach: tuple[int, int]
) -> IntegerLayer:
    """Put half of what the shift cuts off into the bias, round that to 8 bits and zeros, and prove the range."""
    bias = bias + ((1 << shift >> 1) + multipliers // 2) // multipliers
    bias_shift = next(n for n in range(32) if np.abs(np.rint(bias / 2**n)).max() <= LARGEST)
    bias = np.rint(bias / 2**bias_shift).astype(np.int64) << bias_shift
    slope = round(layer.slope * 2**SLOPE_BITS)
    found = prove_range(layer, weights, bias, multipliers, slope, reach)
    return IntegerLayer(layer, weights, bias, bias_shift, multipliers, slope, shift, found)


def prove_range(
    layer: Layer, weights: Integers, bias: Integers, multipliers: Integers, slope: int, reach: tuple[int, int]
) -> tuple[int, int]:
    """Smallest and largest number that any input leads to on the way to an output: interval arithmetic.

    Partial sums count too, in whatever order: they lie between the sums of all negative and all positive products.
    Beyond the border of a map are zeros.

    Args:
        reach: Smallest and largest number in the input.

    Raises:
        DataError: it is beyond 32 bits.
    """
    low, high = min(reach[0], 0), max(reach[1], 0)
    rows = weights.reshape(len(weights), -1)
    ends = np.minimum(rows * low, rows * high).sum(1), np.maximum(rows * low, rows * high).sum(1)
    smallest = (np.minimum(bias, 0) + ends[0]) * multipliers * max(slope, 1)
    largest = (np.maximum(bias, 0) + ends[1]) * multipliers
    found = int(smallest.min()), int(largest.max())
    if found[0] < -LIMIT - 1 or found[1] > LIMIT:
        reached = f"{found[0]:.3g} to {found[1]:.3g}"
        cause = f"{layer.name}: sums of its {rows.shape[1]} products can reach {reached}, beyond 32 bits"
        raise DataError(cause, "use fewer inputs for a unit, or train with weight decay")
    return found
