"""What this machine can do at best, and the time that a model would take at that rate.

Source: S. Williams, A. Waterman, D. Patterson, Roofline, Communications of the ACM 52 (2009) 65-76.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from bench.records import Figure

BYTES_PER_VALUE = 4  # float32
MATRIX_SIZE = 1024  # long past the size at which the product reaches its rate
# Read again and again: one set fits into the caches of a core, one into the shared cache, one into neither.
WORKING_SETS = (512 * 2**10, 8 * 2**20, 256 * 2**20)
N_REPEATS = 15
FLOP_METHOD = f"float32 product of two {MATRIX_SIZE} x {MATRIX_SIZE} matrices by numpy's BLAS"
BYTE_METHOD = "float32 dot product of a vector with itself by numpy's BLAS: every byte is read once"


@dataclass(frozen=True)
class Peak:
    """A rate that was reached.

    Attributes:
        per_second: Median over repeats: floating point operations, or bytes read.
        lo: Slowest repeat.
        hi: Fastest repeat.
        working_set_bytes: What was read; 0 for arithmetic.
    """

    per_second: float
    lo: float
    hi: float
    working_set_bytes: int = 0


@dataclass(frozen=True)
class Roofline:
    """The least time [s] that the machine would need, and whether `arithmetic` or `memory` sets it; or why not."""

    attainable_s: float | None
    bound: str = ""
    reason: str = ""


def compute_model_bytes(n_parameters: float, n_activations: float, batch: int) -> float:
    """Weights read once a call and activations written once an example, in float32."""
    return BYTES_PER_VALUE * (n_parameters + batch * n_activations)


def compute_roofline(macs: float, n_bytes: float, flop_hz: float, byte_hz: Sequence[tuple[int, float]]) -> Roofline:
    """Time at the machine's rates: the longer of arithmetic and traffic, which at best overlap.

    Args:
        macs: Of one call, batch included.
        n_bytes: Touched by one call.
        flop_hz: Peak of arithmetic [FLOP/s].
        byte_hz: Working set [bytes] and the rate at which it is read [byte/s]. The smallest set that holds `n_bytes`
            counts, since a model that was just called lies in the caches; beyond the largest set, that one.
    """
    arithmetic_s = 2 * macs / flop_hz
    sets = sorted(byte_hz)
    rate = next((rate for size, rate in sets if size >= n_bytes), sets[-1][1])
    memory_s = n_bytes / rate
    return Roofline(max(arithmetic_s, memory_s), "arithmetic" if arithmetic_s >= memory_s else "memory")


def find_roofline(latency: Figure, counts: Iterable[Figure], peaks: Iterable[Figure]) -> Roofline:
    """Roofline of a latency from the figures of the model and of the machine, of which other numbers of threads pass.

    There is none where a figure is missing, or where the model does not compute on the CPU in float32, whose peaks were
    measured.
    """
    if reason := _find_mismatch(latency):
        return Roofline(None, reason=reason)
    threads = latency.conditions.get("threads", 1)
    rates = [f for f in peaks if f.value is not None and f.conditions.get("threads") == threads]
    first: dict[str, float] = {}
    for figure in (*counts, *rates):
        if figure.value is not None:
            first.setdefault(figure.name, figure.value)
    needed = ("macs", "n_parameters", "n_activations", "peak_flop_hz", "peak_byte_hz")
    if missing := [name for name in needed if name not in first]:
        return Roofline(None, reason=f"not known for threads={threads}: {', '.join(missing)}")
    batch = int(latency.conditions["batch"])
    n_bytes = compute_model_bytes(first["n_parameters"], first["n_activations"], batch)
    reading = [(int(f.conditions["working_set_bytes"]), f.value or 0.0) for f in rates if f.name == "peak_byte_hz"]
    return compute_roofline(first["macs"] * batch, n_bytes, first["peak_flop_hz"], reading)


def _find_mismatch(latency: Figure) -> str:
    """Why the peaks of the CPU in float32 say nothing about the latency; empty where they do."""
    if latency.value is None:
        return "no latency"
    if not str(latency.conditions.get("provider")).startswith("CPU"):
        return "peak of the CPU only"
    return "" if latency.conditions.get("precision") == "float32" else "peak of float32 only"


def measure_peaks() -> list[Peak]:
    """Arithmetic first, then reading each working set. Threads are those of the process. About a second."""
    import numpy as np

    rng = np.random.default_rng(0)
    a = rng.random((MATRIX_SIZE, MATRIX_SIZE), np.float32)
    out = np.empty_like(a)
    peaks = [_measure_rate(lambda: np.matmul(a, a, out=out), 2 * MATRIX_SIZE**3)]
    for size in WORKING_SETS:
        vector = np.ones(size // BYTES_PER_VALUE, np.float32)
        peaks.append(_measure_rate(lambda vector=vector: np.dot(vector, vector), size, size))  # type: ignore[misc]
    return peaks


def _measure_rate(work: Callable[[], object], amount: int, working_set_bytes: int = 0) -> Peak:
    work()
    rates = []
    for _ in range(N_REPEATS):
        start_ns = time.perf_counter_ns()
        work()
        rates.append(amount * 1e9 / (time.perf_counter_ns() - start_ns))
    return Peak(median(rates), min(rates), max(rates), working_set_bytes)
