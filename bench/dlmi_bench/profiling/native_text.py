"""Times inside C as text: a table of their own, never a column beside latencies of calls."""

from typing import TYPE_CHECKING

from dlmi_bench.profiling.text import GIGA, format_figure, wrap_lines
from dlmi_bench.units import format_number, format_quantity, format_share

if TYPE_CHECKING:
    from dlmi_bench.profiling.profile import Profile
    from dlmi_bench.profiling.row import RuntimeProfile

EXPLAINED = (
    "inside C: no call from Python is in it, so it stands in no column with latencies; the ratio of the two is mostly "
    "the price of a call"
)


def format_native(profile: "Profile") -> list[str]:
    """Time of an example, its limit, and examples a second that share weights; nothing where no runtime has any."""
    rows = [row for row in profile.rows if row.find("native_s")]
    if not rows:
        return []
    lines = ["", f"{'inside C':<22}{'example [min, max]':<26}{'limit':>10}{'share':>8}{'shared':>12}"]
    for row in rows:
        found = (row.find(name) for name in ("native_s", "native_limit_s", "native_throughput_hz"))
        example, limit, shared = (format_figure(figure, is_plain=bool(i)) for i, figure in enumerate(found))
        lines.append(f"  {row.backend:<20}{example:<26}{limit:>10}{_format_share(row):>8}{shared:>12}")
    return [*lines, *wrap_lines(EXPLAINED, *(text for row in rows for text in _explain(row)))]


def _format_share(row: "RuntimeProfile") -> str:
    share = row.find("native_limit_share")
    return "n/a" if share is None or share.value is None else format_share(share.value)


def _explain(row: "RuntimeProfile") -> list[str]:
    """What the limit is of, what is shared, and why something is missing."""
    limit, throughput = row.find("native_limit_s"), row.find("native_throughput_hz")
    lines = [f"{f.name} of {row.backend}: n/a, {f.reason}" for f in row.figures if _is_missing(f.name) and f.reason]
    if limit and limit.value is not None:
        level = limit.conditions["level"]
        is_arithmetic = limit.conditions["bound"] == "arithmetic"
        bound = f"multiply-accumulates (weights in {level})" if is_arithmetic else f"reading the weights from {level}"
        lines.append(f"limit of {row.backend}: {bound}, at the rates of this core; share: limit / example")
    if throughput and throughput.value is not None:
        n = throughput.conditions["n_shared"]
        lines.append(f"shared: examples a second where {n} share each weight that is read")
    return [*lines, *_format_core(row)]


def _is_missing(name: str) -> bool:
    return name in ("native_s", "native_limit_s", "native_throughput_hz")


def _format_core(row: "RuntimeProfile") -> list[str]:
    """Format for instance "this core in C: 180 GFLOP/s; reads L1 at 302, L2 at 136, L3 at 26 GB/s"."""
    flops = row.find("native_flop_hz")
    reads = [f for f in row.figures if f.name == "native_byte_hz"]
    if flops is None or flops.value is None or not reads:
        return []
    rates = ", ".join(f"{f.conditions['level']} at {format_number((f.value or 0) / GIGA)}" for f in reads)
    return [f"this core in C: {format_quantity(flops.value / GIGA, 'flops')} GFLOP/s; reads {rates} GB/s"]
