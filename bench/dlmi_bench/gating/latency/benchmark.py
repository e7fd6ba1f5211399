"""Requests and answers of the jobs that time the gate's benchmarks. Loads no runtime.

`gate --against REV` exchanges the JSON of GateBenchmark, PrepareSideRequest, Prepared, RoundRequest and RoundTime with
workers of another commit, so their fields keep their names and meaning.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple

from dlmi_bench.jobs.protocol import Request
from dlmi_bench.records import Conditions, Plain

SIDES = ("baseline", "candidate", "twin", "slowed")
EXTRA_CALLS = 0.10  # share by which the positive control is slowed down, which must be detected


class GateBenchmark(Plain):
    """Two artifacts to time side by side, on one runtime at one batch size.

    Attributes:
        input_shape: Shape of one example, (channel, height, width).
        candidate_shape: The same as the candidate's file states it.
        extra_calls: Share by which the candidate is slowed down on purpose, to try the gate.
        n_calls: Calls per block; 0 in the first process, which finds it.
    """

    backend: str
    batch: int
    input_shape: tuple[int, ...]
    candidate_shape: tuple[int, ...]
    baseline: Path
    candidate: Path
    extra_calls: float = 0.0
    n_calls: int = 0

    def find_artifact(self, side: str) -> Path:
        """File that the side runs: twin and slowed copy run the baseline's."""
        return self.candidate if side == "candidate" else self.baseline

    def find_extra_calls(self, side: str) -> float:
        """Share by which the side makes more calls than the baseline."""
        return {"slowed": EXTRA_CALLS, "candidate": self.extra_calls}.get(side, 0.0)


# Benchmarks by name.
Benchmarks = dict[str, GateBenchmark]


def name_benchmark(model: str, backend: str, batch: int) -> str:
    """Name of a benchmark in tables, settings and stored noise, for instance "usps/softmax onnxruntime@1"."""
    return f"{model} {backend}@{batch}"


@dataclass(frozen=True)
class Timings:
    """One process's figures for one benchmark, each by side.

    Attributes:
        n_calls: Calls per block of the baseline.
        rounds_s: Duration of a call in each round [s]; extra calls show as extra time.
        preempted_share: Share of blocks during which something else held the CPU.
    """

    n_calls: int
    rounds_s: dict[str, list[float]]
    preempted_share: dict[str, float]
    conditions: dict[str, Conditions]


@dataclass(frozen=True)
class Failure:
    """Reason why a benchmark could not be timed; the others of its process still are."""

    error: str


@dataclass(frozen=True)
class Replicate:
    """Answer of one process: every benchmark by name, and whether its CPUs could be pinned."""

    benchmarks: dict[str, Timings | Failure]
    is_pinned: bool


class SessionRequest(Request[Replicate]):
    """Time both artifacts of every benchmark in one fresh process; `order_seed` sets the order of the sides."""

    job: ClassVar[str] = "dlmi_bench.gating.latency.rounds:run_inproc_job"
    benchmarks: Benchmarks
    n_rounds: int
    order_seed: int


@dataclass(frozen=True)
class Prepared:
    """Calls per block, and identity of the runtime of one side that is ready to be timed."""

    n_calls: int
    conditions: Conditions


class PrepareSideRequest(Request[Prepared]):
    """Load and warm up one side of a benchmark, in a process of its own."""

    job: ClassVar[str] = "dlmi_bench.gating.latency.rounds:run_prepare_job"
    benchmark: GateBenchmark
    artifact: Path


class RoundTime(NamedTuple):
    """Time of a call in one block [s]. Older commits do not report pinning; the candidate, run by this code, does."""

    wall_s: float
    cpu_s: float
    is_pinned: bool = True


class RoundRequest(Request[RoundTime]):
    """Time one block of the side that was prepared before, on this CPU; on any one where it is None."""

    job: ClassVar[str] = "dlmi_bench.gating.latency.rounds:run_round_job"
    cpu: int | None
