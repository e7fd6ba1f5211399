"""A compiled net, called by ctypes on arrays of numpy's."""

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlmi_bench.native.compiler import compile_library
from dlmi_bench.native.net import Net
from dlmi_bench.native.writing.source import count_scratch, format_header, format_source

Floats = NDArray[np.float32]
LINE_BYTES = 64  # of a cache line, at which memory of our own begins
EMPTY = """\
void net_run_many(int n, const float *input, float *output, float *scratch)
{
    (void)n, (void)input, (void)output, (void)scratch;
}
"""


@dataclass(frozen=True)
class Library:
    """A shared library with a function of the arguments of `net_run_many`; each prepared call has memory of its own."""

    path: str
    n_scratch: int
    name: str = "net_run_many"

    @cached_property
    def function(self) -> Any:
        return getattr(ctypes.CDLL(self.path), self.name)

    def bind(self, inputs: Floats, outputs: Floats) -> Callable[[], object]:
        """A call without arguments that writes `outputs`, which it returns.

        Args:
            inputs, outputs: float32 without gaps, an example or its answer a row; the call keeps them alive.
        """
        scratch = make_aligned(self.n_scratch)
        run, size = self.function, ctypes.c_int(len(inputs))
        places = [ctypes.c_void_p(array.ctypes.data) for array in (inputs, outputs, scratch)]

        def call(_kept: object = (inputs, scratch)) -> object:
            run(size, *places)
            return outputs

        return call


def load_library(net: Net) -> Library:
    """Compile a net, or find it compiled.

    Raises:
        UnavailableError: there is no compiler that works.
    """
    return Library(str(compile_library(format_source(net), format_header(net))), count_scratch(net))


def load_empty_library() -> Library:
    """A function of the same arguments that does nothing: its time is that of a call."""
    return Library(str(compile_library(EMPTY, "")), 1)


def run_net(library: Library, net: Net, inputs: Floats) -> Floats:
    """Answers to inputs (n, ...) as (n, ...)."""
    outputs = make_aligned(len(inputs) * prod(net.output_shape)).reshape(len(inputs), *net.output_shape)
    library.bind(np.ascontiguousarray(inputs, np.float32), outputs)()
    return outputs


def make_aligned(n: int) -> Floats:
    """Zeros whose first lies at the beginning of a cache line."""
    spare = np.zeros(n + LINE_BYTES // 4, np.float32)
    first = -spare.ctypes.data % LINE_BYTES // 4
    return spare[first : first + n]
