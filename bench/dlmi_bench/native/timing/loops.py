"""Loops in C over a ring of different inputs, and the clock that times them there."""

import ctypes
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from dlmi_bench.instruments.clock import Block, HostClock
from dlmi_bench.native.compiler import compile_library
from dlmi_bench.native.library import Floats, Library, make_aligned
from dlmi_bench.native.timing.texts import read_text


class Loop:
    """Passes over a ring of inputs inside C; calling it makes one.

    The function of the net is called by its address from another library, so that no compiler can see that the same
    inputs come again.

    Args:
        inputs: Different examples, one after the other, float32 without gaps.
        outputs: Gets their answers.
        n_at_once: Examples that the function takes in a call; their number is a multiple of it.
        scratch: Memory that the function works in; its own by default.
    """

    def __init__(
        self, library: Library, inputs: Floats, outputs: Floats, *, n_at_once: int = 1, scratch: Floats | None = None
    ) -> None:
        assert len(inputs) % n_at_once == 0
        self.n_examples, self.outputs = len(inputs), outputs
        self._kept = (inputs, outputs, make_aligned(library.n_scratch) if scratch is None else scratch)
        sizes = (len(inputs), n_at_once, inputs[0].size, outputs[0].size)
        self._rest = (*map(ctypes.c_int, sizes), *(ctypes.c_void_p(array.ctypes.data) for array in self._kept))
        self._net = ctypes.cast(library.function, ctypes.c_void_p)

    def __call__(self) -> Floats:
        self.time(1)
        return self.outputs

    def time(self, n_turns: int) -> int:
        """Time of `n_turns` passes, read inside C [ns]."""
        return int(_load_timer()(self._net, n_turns, *self._rest))


class LoopClock(HostClock):
    """Times blocks of a `Loop` inside C; all other calls like the host's clock."""

    source = "clock_gettime(CLOCK_MONOTONIC) inside C"

    def time(self, call: Callable[[], object], n_calls: int) -> Block:
        if not isinstance(call, Loop):
            return super().time(call, n_calls)
        n_switches, cpu_ns = self.n_switches(), self.cpu_ns()
        wall_ns = call.time(n_calls)
        cpu_ns = self.cpu_ns() - cpu_ns
        return Block(wall_ns, cpu_ns, self.n_switches() - n_switches, output=call.outputs)


@cache
def _load_timer() -> Any:
    library = ctypes.CDLL(str(compile_library(read_text("clock", "loop"), "")))
    library.time_ring.restype = ctypes.c_longlong
    return library.time_ring


def make_loop(library: Library, inputs: Floats, output_shape: tuple[int, ...], *, n_at_once: int = 1) -> Loop:
    """A loop over copies of the inputs (n, ...) that begin at a cache line."""
    n, n_outputs = len(inputs), int(np.prod(output_shape))
    ring = make_aligned(inputs.size).reshape(inputs.shape)
    ring[:] = inputs
    outputs = make_aligned(n * n_outputs).reshape(n, *output_shape)
    return Loop(library, ring, outputs, n_at_once=n_at_once)
