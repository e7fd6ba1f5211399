"""Rounds of baseline and candidate in one worker, with the controls that show whether the session can be believed."""

from pathlib import Path
from typing import Any

import numpy as np
from pydantic import JsonValue

from dlmi_bench.backends import BACKENDS, Batch, Runner
from dlmi_bench.instruments.clock import HostClock
from dlmi_bench.instruments.latency import CpuHopper, Plan, Trace, measure_latency, time_block
from dlmi_bench.jobs.protocol import OnProgress

SIDES = ("baseline", "candidate", "twin", "slowed")
# The positive control makes this share of extra calls and must be found out.
EXTRA_CALLS = 0.10
# Enough calls in a block for a tenth of them to be at least one.
MIN_CALLS = 10
# Where that makes a block longer than usual, fewer of them average over as much time.
LONG_ROUNDS = 40


def run_inproc_job(payload: dict[str, Any], on_progress: OnProgress) -> JsonValue:
    """One process in which both artifacts of every benchmark run side by side. For a fresh worker.

    Payload: `benchmarks` (name -> `backend`, `batch`, `input_shape`, `baseline`, `candidate` (paths), `extra_calls`
    (share by which the candidate is slowed down on purpose, for the self-test), `n_calls` (0 in the first process)),
    `n_rounds`, `order_seed`. Returns, by benchmark, the seconds of each round of each side, the share of pre-empted
    rounds, the calls per block and the conditions of both sides.
    """
    hopper = CpuHopper()
    answer: dict[str, Any] = {}
    for index, (name, benchmark) in enumerate(payload["benchmarks"].items()):
        on_progress(name, index / len(payload["benchmarks"]))
        plan = Plan(n_rounds=payload["n_rounds"], order_seed=payload["order_seed"])
        try:
            answer[name] = _run_benchmark(benchmark, plan, hopper)
        except Exception as error:  # noqa: BLE001 - an artifact may fail in any way; the other benchmarks still run
            answer[name] = {"error": f"{type(error).__name__}: {error}"}
    return {"benchmarks": answer, "is_pinned": hopper.is_pinned}


def _run_benchmark(benchmark: dict[str, Any], plan: Plan, hopper: CpuHopper) -> dict[str, Any]:
    """The four sides, interleaved: twin is a second instance of the baseline, slowed a third with extra calls."""
    entry = BACKENDS[benchmark["backend"]]
    paths = {side: Path(benchmark["candidate" if side == "candidate" else "baseline"]) for side in SIDES}
    runners = {side: entry.load(path) for side, path in paths.items()}
    inputs = make_inputs(benchmark["batch"], tuple(benchmark["input_shape"]))
    calls = {side: runner.prepare(inputs) for side, runner in runners.items()}
    n_calls = benchmark["n_calls"] or _calibrate(runners["baseline"], inputs)
    n_extra = {"slowed": EXTRA_CALLS, "candidate": benchmark["extra_calls"]}
    counts = {side: round(n_calls * (1 + n_extra.get(side, 0.0))) for side in SIDES}
    with runners["baseline"].active():
        n_rounds = plan.n_rounds if n_calls > MIN_CALLS else min(plan.n_rounds, LONG_ROUNDS)
        plan = Plan(n_rounds, plan.order_seed, counts)
        traces = measure_latency(calls, plan, clock=entry.make_clock(), pin=hopper)
    return {
        "n_calls": n_calls,
        # Time per call of the baseline's count: extra calls show as extra time.
        "rounds_s": {side: [s * counts[side] / n_calls for s in trace.wall_s] for side, trace in traces.items()},
        "preempted_share": {side: trace.preempted_share for side, trace in traces.items()},
        "conditions": {side: dict(runner.conditions) for side, runner in runners.items()},
    }


class Server:
    """One side of a two-process session: a worker that times a block of its own calls whenever it is told to."""

    def __init__(self, benchmark: dict[str, Any], artifact: Path) -> None:
        self.runner = BACKENDS[benchmark["backend"]].load(artifact)
        inputs = make_inputs(benchmark["batch"], tuple(benchmark["input_shape"]))
        self.call = self.runner.prepare(inputs)
        self.base_calls = benchmark["n_calls"] or _calibrate(self.runner, inputs)
        self.n_calls = round(self.base_calls * (1 + benchmark["extra_calls"]))
        with self.runner.active():
            warm_up = Plan(n_rounds=1, n_calls={"side": self.n_calls})
            measure_latency({"side": self.call}, warm_up)

    def time_round(self, cpu: int | None) -> tuple[float, float, bool]:
        """Wall and CPU seconds of a call in one block, and whether it was pinned; the clock stays in this process."""
        hopper = CpuHopper([cpu] if cpu is not None else None)
        hopper(0)
        trace = Trace(n_calls=self.n_calls)
        with self.runner.active():
            time_block("side", self.call, trace, HostClock())
        scale = self.n_calls / self.base_calls
        return trace.wall_s[0] * scale, trace.cpu_s[0] * scale, hopper.is_pinned


_SERVERS: list[Server] = []  # the benchmark that this worker serves now


def run_prepare_job(payload: dict[str, Any], _: OnProgress) -> JsonValue:
    """Payload: `benchmark` as in `run_inproc_job`, `artifact` (path). Loads, warms up; returns calls and conditions."""
    _SERVERS[:] = [Server(payload["benchmark"], Path(payload["artifact"]))]
    return {"n_calls": _SERVERS[0].base_calls, "conditions": dict(_SERVERS[0].runner.conditions)}


def run_round_job(payload: dict[str, Any], _: OnProgress) -> JsonValue:
    """Payload: `cpu`. Times one block of the benchmark prepared before; returns wall and CPU seconds, and if pinned."""
    return list(_SERVERS[0].time_round(payload["cpu"]))


def _calibrate(runner: Runner, inputs: Batch) -> int:
    """Calls per block, from a short run of the baseline alone."""
    with runner.active():
        trace: Trace = measure_latency({"baseline": runner.prepare(inputs)}, Plan(n_rounds=1))["baseline"]
    return max(MIN_CALLS, trace.n_calls)


def make_inputs(batch: int, input_shape: tuple[int, ...]) -> Batch:
    """Standard normal inputs, the same in every process: a gate needs no data set to time two files."""
    return np.random.default_rng(0).standard_normal((batch, *input_shape)).astype(np.float32)
