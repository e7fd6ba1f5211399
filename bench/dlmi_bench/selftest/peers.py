"""The same spins through other people's tools and through this one, side by side: truth, uncertainty, tail, difference.

The tools live in an environment of their own; how each is asked is in `dlmi_bench.selftest.tools.readings`.
"""

import math
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from dlmi_bench.errors import BenchError
from dlmi_bench.selftest.spins import DURATIONS_S, JITTER, TAIL_FACTOR, TAIL_SHARE, compute_median
from dlmi_bench.selftest.tools.readings import DIFFERENCE, FIELDS, OWN, TOOLS, Reading, Spins, Tool, find_version
from dlmi_bench.stats.intervals import compute_clopper_pearson
from dlmi_bench.units import format_share

COMPARED_S = 1e-3
N_PAIRS = 5
Say = Callable[[str], object]


@dataclass(frozen=True)
class Comparison:
    """Reading of one spin by one tool, or in `centre` why there is none."""

    tool: str
    version: str
    spin: str
    centre: str
    error: str = ""
    uncertainty: str = ""
    tail: str = ""
    n: str = ""

    @property
    def label(self) -> str:
        return f"{self.tool} {self.version}".strip()

    def to_json(self) -> dict[str, str]:
        return asdict(self)


@dataclass
class Answers:
    """Readings of a tool, request by request, until it failed for the reason given."""

    version: str = ""
    readings: list[list[Reading]] = field(default_factory=list)
    reason: str = ""


def compare_peers(
    python: Path | None, names: Sequence[str] = (), *, say: Say = lambda _: None, tools: Sequence[Tool] = TOOLS
) -> list[Comparison]:
    """Every tool, this one first; one that fails says why, and is not asked again.

    All answer to one request before the next is made, each request begun by another tool: what drifts on the machine
    drifts for all of them.
    """
    chosen = [tool for tool in tools if not names or tool.name in names]
    answers = {tool.name: Answers() for tool in chosen}
    for index, (label, spins) in enumerate(list_requests()):
        first = index % max(1, len(chosen))
        for tool in chosen[first:] + chosen[:first]:
            say(f"{label}, {tool.name}")
            _ask(tool, Path(sys.executable) if tool.package == OWN else python, spins, answers[tool.name])
    return [row for tool in chosen for row in _describe(tool, answers[tool.name])]


def list_requests() -> Iterator[tuple[str, Spins]]:
    """Each spin alone; then, several times, one of 1 ms, its equal and one that takes 5 % more."""
    for seed, (name, duration_s) in enumerate(DURATIONS_S.items()):
        yield name, [(duration_s, seed)]
    for i in range(N_PAIRS):
        seeds = [10 + i + side * N_PAIRS for side in range(3)]
        yield (
            f"pair {i + 1}",
            [(COMPARED_S * factor, s) for factor, s in zip((1, 1, 1 + DIFFERENCE), seeds, strict=True)],
        )


def _ask(tool: Tool, python: Path | None, spins: Spins, answers: Answers) -> None:
    if answers.reason:
        return
    try:
        answers.version = answers.version or find_version(tool.package, python)
        readings = _check(tool.ask(python, spins), spins)
    except (BenchError, OSError, subprocess.SubprocessError, LookupError, TypeError, ValueError) as error:
        answers.reason = _explain(error)
    else:
        answers.readings.append(readings)


def _check(readings: list[Reading], spins: Spins) -> list[Reading]:
    if len(readings) != len(spins):
        raise ValueError(f"{len(readings)} answers to {len(spins)} spins")
    for reading in readings:
        if missing := FIELDS - reading.keys():
            raise KeyError(", ".join(sorted(missing)))
    return readings


def _explain(error: Exception) -> str:
    if isinstance(error, BenchError):
        return error.cause.splitlines()[0]
    said = (getattr(error, "stderr", None) or "").strip() or f"{type(error).__name__}: {error}"
    return str(said.splitlines()[-1][:120])


def _describe(tool: Tool, answers: Answers) -> Iterator[Comparison]:
    n_alone = len(DURATIONS_S)
    for (name, duration_s), (reading,) in zip(DURATIONS_S.items(), answers.readings[:n_alone], strict=False):
        yield _describe_spin(tool, answers.version, name, duration_s, reading)
    if trios := answers.readings[n_alone:]:
        told, false = (
            _format_share(sum(tool.is_told(trio[0], trio[side]) for trio in trios), len(trios)) for side in (2, 1)
        )
        spin = f"1 ms and {format_share(DIFFERENCE)} more"
        yield Comparison(tool.name, answers.version, spin, f"told {told}", f"false {false}", tool.rule)
    if answers.reason:
        what = "the rest" if answers.readings else "all"
        yield Comparison(tool.name, answers.version, what, f"not available: {answers.reason}")


def _format_share(k: int, n: int) -> str:
    lo, hi = compute_clopper_pearson(k, n)
    return f"{k} of {n} [{100 * lo:.0f}, {100 * hi:.0f} %]"


def _describe_spin(tool: Tool, version: str, name: str, duration_s: float, reading: Reading) -> Comparison:
    centre_s, most_s = reading["centre_s"], reading["most_s"]
    truths = {"median": compute_median(duration_s), "mean": compute_mean(duration_s)}
    error = ", ".join(f"{centre_s / truth - 1:+.2%} of the {what}" for what, truth in truths.items())
    tail = f"largest {most_s / duration_s:.2f} x" + (f", {reading['outliers']}" if "outliers" in reading else "")
    centre = f"{tool.centre} {centre_s / duration_s:.4f} x"
    if "p50_s" in reading:
        centre += f", p50 of calls {reading['p50_s'] / duration_s:.4f} x"
    spread = f"{tool.spread} {format_share(reading['spread_s'] / centre_s, 2)}"
    return Comparison(tool.name, version, name, centre, error, spread, tail, str(reading["n"]))


def compute_mean(median_s: float) -> float:
    """Mean time of one call, its share of the tail included [s]."""
    return median_s * (1 + TAIL_SHARE * (TAIL_FACTOR - 1)) * math.exp(JITTER**2 / 2)
