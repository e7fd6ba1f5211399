"""Answers of a chain of layers on this machine: in floats, and in the same integers as the image, to the last bit."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from dlmi_bench.firmware.net import SLOPE_BITS, IntegerNet, Integers, Layer, Values

PART = 256  # examples at once, which bounds the memory


def compute_maps(layers: tuple[Layer, ...], images: NDArray[Any]) -> Iterator[Values]:
    """Output of each layer in floats, (n, channel, height, width), for images (n, ...)."""
    maps = images.astype(np.float64)
    for layer in layers:
        sums = sum_products(layer, layer.weights, maps) + layer.bias[:, None, None]
        maps = _pool(np.where(sums < 0, sums * layer.slope, sums), layer.pool)
        yield maps


def compute_float_scores(layers: tuple[Layer, ...], images: NDArray[Any]) -> Values:
    """Scores (n, class) in floats."""
    parts = [images[i : i + PART] for i in range(0, len(images), PART)]
    return np.concatenate([[*compute_maps(layers, part)][-1].reshape(len(part), -1) for part in parts])


def compute_scores(net: IntegerNet, codes: NDArray[np.int8]) -> Integers:
    """Scores (n, class) of inputs (n, inputs), by the same integer steps as the image."""
    return np.concatenate([_compute_part(net, codes[i : i + PART]) for i in range(0, len(codes), PART)])


def _compute_part(net: IntegerNet, codes: NDArray[np.int8]) -> Integers:
    maps: NDArray[Any] = codes
    for step in net.layers:
        products = sum_products(step.layer, step.weights.astype(np.float64), maps.astype(np.float64))
        sums = (products.astype(np.int64) + step.bias[:, None, None]) * step.multipliers[:, None, None]
        sums = np.where(sums < 0, sums * step.slope >> SLOPE_BITS, sums)
        maps = _pool((sums >> step.shift).clip(-128, 127), step.layer.pool)
    return sums.reshape(len(codes), -1)


def sum_products(layer: Layer, weights: Values, maps: Values) -> Values:
    """Sums (n, out, y, x) of a layer's kernels over maps (n, ...), where pooling reads them.

    Whole numbers stay exact: no sum comes near 2 ** 53.
    """
    (n_out, depth, kh, kw), (channels, height, width) = weights.shape, layer.input_shape
    _, rows, columns = layer.shape
    pad, step = layer.pad, layer.stride
    below = max((rows - 1) * step + kh - height - pad, 0)
    behind = max((columns - 1) * step + kw - width - pad, 0)
    grid = maps.reshape(len(maps), channels, height, width)
    grid = np.pad(grid, ((0, 0), (0, 0), (pad, below), (pad, behind)))
    windows = sliding_window_view(grid, (kh, kw), (2, 3))[:, :, ::step, ::step][:, :, :rows, :columns]
    if not layer.has_own_maps:
        sums = np.tensordot(windows, weights, ((1, 4, 5), (1, 2, 3)))  # (n, y, x, out)
        return sums.transpose(0, 3, 1, 2)
    grouped = windows.reshape(len(maps), n_out, depth, rows, columns, kh, kw)
    return np.einsum("ngdyxij,gdij->ngyx", grouped, weights, optimize=True)


def _pool(maps: NDArray[Any], side: int) -> NDArray[Any]:
    """The largest of windows side by side."""
    n, channels, height, width = maps.shape
    return maps.reshape(n, channels, height // side, side, width // side, side).max((3, 5))
