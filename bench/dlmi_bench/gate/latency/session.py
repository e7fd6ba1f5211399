"""Fresh processes for the gate: both artifacts in one of them, or each side in its own where the software differs."""

import os
import random
from typing import Any

from dlmi_bench.gate.latency.rounds import EXTRA_CALLS, SIDES
from dlmi_bench.instruments.latency import PREEMPTED_RATIO
from dlmi_bench.jobs.protocol import OnProgress
from dlmi_bench.jobs.worker import Software, Worker

# Name -> what `rounds.run_inproc_job` takes; the answer of a process has the same names.
Benchmarks = dict[str, dict[str, Any]]
TWOPROC_ROUNDS = 150  # noisier than rounds within one process, so more of them


def run_inproc(
    benchmarks: Benchmarks, index: int, n_rounds: int, on_progress: OnProgress, *, timeout_s: float | None = None
) -> dict[str, Any]:
    """One replicate: a fresh process in which all sides alternate.

    Raises:
        JobError: it died, or did not answer within `timeout_s`.
    """
    payload = {"benchmarks": benchmarks, "n_rounds": n_rounds, "order_seed": index}
    with Worker(index) as worker:
        answer: dict[str, Any] = worker.call(
            "dlmi_bench.gate.latency.rounds:run_inproc_job", payload, on_progress, timeout_s=timeout_s
        )
    return answer


def run_twoproc(
    benchmarks: Benchmarks,
    index: int,
    n_rounds: int,
    on_progress: OnProgress,
    software: Software,
    *,
    timeout_s: float | None = None,
) -> dict[str, Any]:
    """One replicate: four fresh processes that take turns on one CPU, which changes every second round.

    The baseline, its twin and its slowed copy run the other `software`, the candidate runs this one.

    Raises:
        JobError: one of them died, or did not answer within `timeout_s` when it prepared or in a round.
    """
    cpus = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    workers = {side: Worker(index, None if side == "candidate" else software) for side in SIDES}
    try:
        answer: dict[str, Any] = {}
        is_pinned = True
        for done, (name, benchmark) in enumerate(benchmarks.items()):
            on_progress(name, done / len(benchmarks))
            answer[name] = _run_benchmark(workers, benchmark, index, n_rounds, cpus, timeout_s)
            is_pinned &= answer[name].pop("is_pinned")
    finally:
        for worker in workers.values():
            worker.close()
    return {"benchmarks": answer, "is_pinned": is_pinned}


def _run_benchmark(
    workers: dict[str, Worker],
    benchmark: dict[str, Any],
    index: int,
    n_rounds: int,
    cpus: list[int],
    timeout_s: float | None,
) -> dict[str, Any]:
    n_calls, conditions = benchmark["n_calls"], {}
    for side, worker in workers.items():  # the baseline comes first: it calibrates the calls per block
        extra = {"slowed": EXTRA_CALLS, "candidate": benchmark["extra_calls"]}.get(side, 0.0)
        artifact = benchmark["candidate" if side == "candidate" else "baseline"]
        payload = {"benchmark": benchmark | {"n_calls": n_calls, "extra_calls": extra}, "artifact": artifact}
        prepared = worker.call("dlmi_bench.gate.latency.rounds:run_prepare_job", payload, timeout_s=timeout_s)
        n_calls, conditions[side] = prepared["n_calls"], prepared["conditions"]
    rounds: dict[str, list[list[float]]] = {side: [] for side in SIDES}
    is_pinned = True
    names, order = list(SIDES), random.Random(index)  # noqa: S311 - a schedule, not a secret
    for i in range(n_rounds):
        # Random order, each round followed by its mirror image, as within one process.
        if i % 2 == 0:
            order.shuffle(names)
        else:
            names.reverse()
        cpu = cpus[i // 2 % len(cpus)] if cpus else None
        for side in names:
            job = "dlmi_bench.gate.latency.rounds:run_round_job"
            wall, cpu_time, *more = workers[side].call(job, {"cpu": cpu}, timeout_s=timeout_s)
            rounds[side].append([wall, cpu_time])
            is_pinned &= all(more)  # what another commit does not tell, this one's candidate does
    return {
        "n_calls": n_calls,
        "rounds_s": {side: [wall for wall, _ in times] for side, times in rounds.items()},
        "preempted_share": {side: _compute_preempted(times) for side, times in rounds.items()},
        "conditions": conditions,
        "is_pinned": is_pinned,
    }


def _compute_preempted(times: list[list[float]]) -> float:
    return sum(wall > PREEMPTED_RATIO * cpu for wall, cpu in times) / len(times)
