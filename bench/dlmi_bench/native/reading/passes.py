"""Calls put into another order, or joined, once all are known: the answers are the same, bit for bit."""

from dataclasses import replace
from itertools import pairwise

import numpy as np

from dlmi_bench.native.net import Argument, Array, Call, Tensor
from dlmi_bench.native.reading.builder import format_shape

POOLS = ("max_pool", "max_pool_inside", "max_pool_pairs")
BY_NUMBER = ("relu", "clip", "leaky_relu", "quantise")  # (x, y, n, *parameters)
BY_CHANNEL = "requantise"  # (y, factors, n_channels, n, low, high)
JOINED = {"quantise": "quantise_bytes", "requantise_each": "requantise_bytes"}  # with the `pack_bytes` behind it


def improve_calls(calls: list[Call], output: Tensor) -> tuple[Call, ...]:
    """Calls of the same answers that take less time."""
    made: list[Call | None] = list(calls)
    for i, (call, follower) in enumerate(pairwise(calls)):
        buffers = [t.buffer for later in calls[i + 2 :] for t in (*later.reads, later.writes)] + [output.buffer]
        if [t.buffer for t in follower.reads] != [call.writes.buffer] or call.writes.buffer in buffers:
            continue  # others read it
        if follower.kernel in POOLS and _keeps_order(call):
            made[i : i + 2] = [follower, _move(call, follower.writes)]
        elif follower.kernel == "pack_bytes" and call.kernel in JOINED:
            made[i : i + 2] = [None, _join(call, follower)]
    return tuple(call for call in made if call)


def _join(call: Call, pack: Call) -> Call:
    """Whole numbers that are made as bytes."""
    _, row, *sizes, zero = pack.arguments
    x, *rest = call.arguments
    assert isinstance(x, Tensor)
    if call.kernel == "quantise":
        arguments: tuple[Argument, ...] = (x, row, *sizes, *rest[2:5], zero)
    else:
        arguments = (x, rest[0], row, rest[1], zero)
    return replace(pack, kernel=JOINED[call.kernel], arguments=arguments, reads=(x,))


def _keeps_order(call: Call) -> bool:
    """Check for a map in place that makes no smaller number out of a larger one."""
    if call.kernel == BY_CHANNEL:
        factors = call.arguments[1]
        return isinstance(factors, Array) and bool((factors.values > 0).all())
    is_in_place = call.kernel in BY_NUMBER and call.arguments[0] is call.writes
    slope = call.arguments[3] if call.kernel == "leaky_relu" else np.float32(1)
    return is_in_place and isinstance(slope, np.floating) and bool(slope >= 0)


def _move(call: Call, y: Tensor) -> Call:
    """The same map in place of another tensor."""
    if call.kernel == BY_CHANNEL:
        c, h, w = y.shape
        arguments = (y, call.arguments[1], c, h * w, *call.arguments[4:])
        comment = f"{format_shape(y.shape)} to 8 bits, in place"
        return replace(call, arguments=arguments, reads=(), writes=y, comment=comment)
    comment = f"{format_shape(y.shape)} in place"
    return replace(call, arguments=(y, y, y.size, *call.arguments[3:]), reads=(), writes=y, comment=comment)
