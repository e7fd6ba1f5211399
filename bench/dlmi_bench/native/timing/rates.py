"""Rates of one core inside C: multiply-accumulates in registers, and reading from each level of cache."""

import ctypes
from collections.abc import Callable, Sequence
from functools import cache
from statistics import median
from typing import Any

from dlmi_bench.instruments.host.caches import Cache
from dlmi_bench.instruments.roofline import BYTES_PER_VALUE, Peak
from dlmi_bench.native.compiler import compile_library
from dlmi_bench.native.library import make_aligned
from dlmi_bench.native.timing.texts import read_text
from dlmi_bench.native.writing.kernels import find_functions, read_vectors

N_REPEATS = 15
N_PRODUCTS = 50_000  # turns of a repeat, about 0.1 ms
READ_BYTES = 2**24  # of a repeat, in whole passes: 0.1 ms from the innermost cache, 1 ms from the shared one
CHUNK_BYTES = 8 * 64  # what a turn reads with the widest vectors
LEAST_BYTES = 4096  # below it the loop takes longer than the reading
SUMS = 12  # of `time_products`
FILL = 0.5  # of a cache that is read: the rest is for others, and for what maps to the same lines
MOST_BYTES = 2**23  # a server shares more than that, and shows a core less than it says


def measure_rates(caches: Sequence[Cache], n_bytes: int) -> list[Peak]:
    """Arithmetic first, then reading from each level of cache, the innermost first; they run in turns. 0.1 s.

    Compiled by the compiler and with the flags of the nets, and timed inside C.

    Args:
        n_bytes: Weights of a net: the level that holds them is read in a vector of as many bytes, of which the levels
            below it keep the share that they keep of the weights.
    """
    kernels = _load_kernels()
    lanes, out = int(kernels.count_lanes()), make_aligned(16)
    numbers = make_aligned(16)
    numbers[:3] = 0.5, 1, 2

    def multiply() -> float:
        ns: int = kernels.time_products(_at(numbers), N_PRODUCTS, _at(out))
        return 2 * N_PRODUCTS * SUMS * lanes / ns * 1e9

    readings = [_make_reading(kernels, size) for size in choose_sizes(caches, n_bytes)]
    found = _repeat([multiply, *readings])
    peaks = [_make_peak(found[0], "float32 multiply-accumulates in registers, in C")]
    for rates, cache_ in zip(found[1:], caches, strict=True):
        peaks.append(_make_peak(rates, f"sum of a float32 vector in {cache_.name}, in C", cache_.size_bytes))
    return peaks


def choose_sizes(caches: Sequence[Cache], n_bytes: int) -> list[int]:
    """Bytes to read from each level, in whole chunks."""
    sizes: list[int] = []
    for i, cache_ in enumerate(caches):
        below = caches[i - 1].size_bytes if i else 0
        size = min(int(FILL * cache_.size_bytes), MOST_BYTES)
        size = n_bytes if below < n_bytes <= cache_.size_bytes else size
        sizes.append(max(LEAST_BYTES, -(-size // CHUNK_BYTES) * CHUNK_BYTES))
    return sizes


def _make_reading(kernels: Any, size_bytes: int) -> Callable[[], float]:
    vector, out = make_aligned(size_bytes // BYTES_PER_VALUE), make_aligned(16)
    vector[:] = 1e-9
    n_turns = max(1, READ_BYTES // size_bytes)

    def read() -> float:
        ns: int = kernels.time_reading(_at(vector), vector.size, n_turns, _at(out))
        return n_turns * size_bytes / ns * 1e9

    return read


def _repeat(works: Sequence[Callable[[], float]]) -> list[list[float]]:
    """Rates by program, the first repeat left out: it pays for cold caches."""
    rounds = [[work() for work in works] for _ in range(N_REPEATS + 1)]
    return [list(rates) for rates in zip(*rounds[1:], strict=True)]


def _make_peak(rates: list[float], method: str, working_set_bytes: int = 0) -> Peak:
    return Peak(median(rates), min(rates), max(rates), len(rates), method, working_set_bytes)


def _at(array: Any) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


@cache
def _load_kernels() -> Any:
    text = "\n\n".join((read_text("clock"), read_vectors(), *find_functions({"load", "store"}), read_text("rates")))
    library = ctypes.CDLL(str(compile_library(text, "")))
    library.time_reading.restype = library.time_products.restype = ctypes.c_longlong
    return library
