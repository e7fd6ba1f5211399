"""Fresh processes for the gate: both artifacts in one of them, or each side in its own where the software differs."""

import os
import random

from dlmi_bench.gating.latency.benchmark import (
    SIDES,
    Benchmarks,
    Failure,
    GateBenchmark,
    PrepareSideRequest,
    Replicate,
    RoundRequest,
    RoundTime,
    SessionRequest,
    Timings,
)
from dlmi_bench.instruments.latency import PREEMPTED_RATIO
from dlmi_bench.jobs.protocol import OnProgress
from dlmi_bench.jobs.worker import Software, Worker

TWOPROC_ROUNDS = 150  # noisier than rounds within one process, so more of them


def run_inproc(
    benchmarks: Benchmarks, index: int, n_rounds: int, on_progress: OnProgress, *, timeout_s: float | None = None
) -> Replicate:
    """Run one replicate: a fresh process in which all sides alternate.

    Raises:
        JobError: it died, or did not answer within `timeout_s`.
    """
    request = SessionRequest(benchmarks=benchmarks, n_rounds=n_rounds, order_seed=index)
    with Worker(index) as worker:
        return worker.ask(request, on_progress, timeout_s=timeout_s)


def run_twoproc(
    benchmarks: Benchmarks,
    index: int,
    n_rounds: int,
    on_progress: OnProgress,
    software: Software,
    *,
    timeout_s: float | None = None,
) -> Replicate:
    """Run one replicate: four fresh processes that take turns on one CPU, which changes every second round.

    The baseline, its twin and its slowed copy run the other `software`, the candidate runs this one.

    Raises:
        JobError: one of them died, or did not answer within `timeout_s` when it prepared or in a round.
    """
    cpus = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    workers = {side: Worker(index, None if side == "candidate" else software) for side in SIDES}
    answers: dict[str, Timings | Failure] = {}
    pinned: list[bool] = []
    try:
        for done, (name, benchmark) in enumerate(benchmarks.items()):
            on_progress(name, done / len(benchmarks))
            answers[name], is_pinned = _time_sides(workers, benchmark, index, n_rounds, cpus, timeout_s)
            pinned.append(is_pinned)
    finally:
        for worker in workers.values():
            worker.close()
    return Replicate(answers, all(pinned))


def _time_sides(
    workers: dict[str, Worker],
    benchmark: GateBenchmark,
    index: int,
    n_rounds: int,
    cpus: list[int],
    timeout_s: float | None,
) -> tuple[Timings, bool]:
    """Timings of the benchmark, and whether every block was pinned."""
    n_calls, conditions = benchmark.n_calls, {}
    for side, worker in workers.items():  # the baseline comes first: it calibrates the calls per block
        own = benchmark.model_copy(update={"n_calls": n_calls, "extra_calls": benchmark.find_extra_calls(side)})
        prepared = worker.ask(
            PrepareSideRequest(benchmark=own, artifact=benchmark.find_artifact(side)), timeout_s=timeout_s
        )
        n_calls, conditions[side] = prepared.n_calls, prepared.conditions
    rounds: dict[str, list[RoundTime]] = {side: [] for side in SIDES}
    names, order = list(SIDES), random.Random(index)  # noqa: S311 - a schedule, not a secret
    for i in range(n_rounds):
        # Random order, each round followed by its mirror image, as within one process.
        if i % 2 == 0:
            order.shuffle(names)
        else:
            names.reverse()
        cpu = cpus[i // 2 % len(cpus)] if cpus else None
        for side in names:
            rounds[side].append(workers[side].ask(RoundRequest(cpu=cpu), timeout_s=timeout_s))
    timings = Timings(
        n_calls=n_calls,
        rounds_s={side: [time.wall_s for time in times] for side, times in rounds.items()},
        preempted_share={side: _compute_preempted(times) for side, times in rounds.items()},
        conditions=conditions,
    )
    return timings, all(time.is_pinned for times in rounds.values() for time in times)


def _compute_preempted(times: list[RoundTime]) -> float:
    return sum(time.wall_s > PREEMPTED_RATIO * time.cpu_s for time in times) / len(times)
