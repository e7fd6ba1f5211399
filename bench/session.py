"""A latency session: several fresh processes, in each of which all models of a backend are timed side by side."""

from typing import Any

from bench.executors import OnProgress, Worker
from bench.figures import make_latency_figures
from bench.latency import Trace
from bench.profiling import EMPTY
from bench.records import Figure
from bench.suites import Suite

# Model -> `path` of its artifact and of the `scores` of its accuracy run.
Paths = dict[str, dict[str, str]]


def run_latency_session(
    backend: str, task: str, models: Paths, suite: Suite, on_progress: OnProgress
) -> dict[str, list[Figure]]:
    """Figures by model. The first process calibrates the calls per block, all use the same.

    The processes run one after the other while this one sleeps.
    """
    payload: dict[str, Any] = {
        "backend": backend,
        "task": task,
        "batches": list(suite.batches),
        "n_rounds": suite.n_rounds,
        "models": models,
        "n_calls": {},
    }
    results: list[dict[str, Any]] = []
    n_wanted = suite.n_processes
    while len(results) < n_wanted:
        index = len(results)
        on_progress(f"{backend}, process {index + 1} of {n_wanted}", index / n_wanted)
        with Worker(index) as worker:
            results.append(worker.call("bench.profiling:run_latency_job", payload | {"order_seed": index}))
        payload["n_calls"] = {name: trace["n_calls"] for name, trace in results[0]["traces"].items()}
        if not results[0]["is_pinned"]:
            n_wanted = 2 * suite.n_processes  # unpinned processes vary more; more of them make up for it
    return {name: _summarise(name, backend, suite, results) for name in models}


def _summarise(model: str, backend: str, suite: Suite, results: list[dict[str, Any]]) -> list[Figure]:
    floors = _get_traces(results, EMPTY)
    is_pinned = all(result["is_pinned"] for result in results)
    figures: list[Figure] = []
    for batch in suite.batches:
        conditions = {"backend": backend, "batch": batch, **results[0]["conditions"][model]}
        traces = _get_traces(results, f"{model}@{batch}")
        figures += make_latency_figures(traces, floors, is_pinned=is_pinned, conditions=conditions)
    return figures


def _get_traces(results: list[dict[str, Any]], name: str) -> list[Trace]:
    return [Trace(**result["traces"][name]) for result in results]
