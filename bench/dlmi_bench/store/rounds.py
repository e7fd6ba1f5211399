"""Ratio of the latencies of two models, from rounds in which both were timed side by side. Pure."""

import math

from dlmi_bench.records import Benchmark, Conditions, Figure, Record, unavailable
from dlmi_bench.stats.intervals import compute_t_interval
from dlmi_bench.stats.ratios import compute_log_ratio

NAME = "latency_ratio"
INTERVAL = "95 % t-interval over processes"
TAIL = 0.025


def find_session(record: Record) -> str:
    """The session that a latency record comes from; one that names none shares it with no other record."""
    return record.details.get("session") or record.cell.key


def compute_latency_ratio(reference: Record, other: Record, *, backend: str, batch: int, threads: int = 1) -> Figure:
    """Latency of `other` as a multiple of that of `reference`; both are records of latency cells.

    Rounds are paired, so that what slows the machine down slows both; each process gives one number, and the interval
    is over processes. Not available where the two were not timed in the same session.
    """
    conditions: Conditions = {"backend": backend, "batch": batch, "threads": threads, "reference": reference.cell.model}
    if find_session(reference) != find_session(other):
        return unavailable(NAME, "not timed in the same session; run with --fresh latency", **conditions)
    key = Benchmark(other.cell.model, backend, batch, threads).key
    rounds = [_get_rounds(record, key) for record in (reference, other)]
    if not all(rounds):
        return unavailable(NAME, f"no rounds of {key}", **conditions)
    logs = [compute_log_ratio(base_s, other_s) for base_s, other_s in zip(*rounds, strict=True)]
    lo, hi = compute_t_interval(logs, TAIL)
    return Figure(
        name=NAME,
        value=math.exp(math.fsum(logs) / len(logs)),
        kind="derived",
        source="rounds of one session",
        method="mean over processes of the median log ratio over paired rounds",
        n=len(logs),
        lo=math.exp(lo),
        hi=math.exp(hi),
        interval=INTERVAL,
        conditions=conditions,
        samples=tuple(map(math.exp, logs)),
    )


def is_resolved(ratio: Figure) -> bool:
    """Check that the interval excludes 1, so that one of the two is faster."""
    return ratio.lo is not None and ratio.hi is not None and (ratio.lo > 1 or ratio.hi < 1)


def _get_rounds(record: Record, key: str) -> list[list[float]]:
    return record.details.get("rounds_s", {}).get(key, [])
