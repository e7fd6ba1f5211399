"""The time that a model would take at the best rates of this machine (dlmi_bench.jobs.peaks).

Source: S. Williams, A. Waterman, D. Patterson, Roofline, Communications of the ACM 52 (2009) 65-76.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dlmi_bench.records import Conditions, Figure

BYTES_PER_VALUE = 4  # float32


@dataclass(frozen=True)
class Peak:
    """A rate that was reached.

    Attributes:
        per_second: Median over repeats: floating point operations, or bytes read.
        lo: Slowest repeat.
        hi: Fastest repeat.
        n: Repeats.
        method: What was repeated, and by which library.
        working_set_bytes: What was read; 0 for arithmetic.
    """

    per_second: float
    lo: float
    hi: float
    n: int
    method: str
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
    """Reason why the CPU's peaks in float32 do not apply to the latency; empty if they do."""
    if latency.value is None:
        return "no latency"
    if not str(latency.conditions.get("provider")).startswith("CPU"):
        return "peak of the CPU only"
    return "" if latency.conditions.get("precision") == "float32" else "peak of float32 only"


def make_peak_figures(peaks: list[Peak], threads: int) -> list[Figure]:
    """Peak rates of the machine with `n_threads` threads: arithmetic [FLOP/s] and reading [byte/s]."""
    figures = []
    for peak in peaks:
        is_arithmetic = not peak.working_set_bytes
        conditions: Conditions = {"threads": threads}
        figures.append(
            Figure(
                name="peak_flop_hz" if is_arithmetic else "peak_byte_hz",
                value=peak.per_second,
                lo=peak.lo,
                hi=peak.hi,
                interval="min and max over repeats",
                kind="measured",
                source="perf_counter_ns",
                method=peak.method,
                n=peak.n,
                conditions=conditions if is_arithmetic else conditions | {"working_set_bytes": peak.working_set_bytes},
            )
        )
    return figures
