"""Measurements that several parents share, in fresh workers: a latency session, and the machine's peaks.

In each process of a latency session all models of a backend are timed side by side.
"""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dlmi_bench.errors import BenchError, MeasurementError
from dlmi_bench.instruments.accuracy import make_accuracy_figure
from dlmi_bench.instruments.host.neighbours import list_complaints
from dlmi_bench.instruments.latency import Trace
from dlmi_bench.instruments.latency_figures import make_latency_figures
from dlmi_bench.instruments.pinning import list_cpus
from dlmi_bench.instruments.roofline import make_peak_figures
from dlmi_bench.jobs.inputs import LabelledSet, save_examples
from dlmi_bench.jobs.protocol import (
    EMPTY,
    LatencyAnswer,
    LatencyRequest,
    ModelFiles,
    OnProgress,
    PeaksRequest,
    PredictRequest,
)
from dlmi_bench.jobs.worker import Worker
from dlmi_bench.records import Benchmark, Cell, Conditions, Figure, Record, unavailable


class SessionPlan(Protocol):
    """How finely latency is measured: a plan, or a comparison."""

    @property
    def batches(self) -> tuple[int, ...]: ...
    @property
    def n_rounds(self) -> int: ...
    @property
    def n_processes(self) -> int: ...


@dataclass(frozen=True)
class Timing:
    """Results of a session for one model.

    Attributes:
        rounds_s: Mean time of a call by benchmark, process and round, for ratios of models timed side by side.
        singles_s: Calls timed one by one, by benchmark and process.
        failures: What went wrong where that is why figures are missing.
        processes: What each process was like: order of its rounds, neighbours, switches, which rounds were pre-empted.
    """

    figures: list[Figure]
    rounds_s: dict[str, list[list[float]]] = field(default_factory=dict)
    singles_s: dict[str, list[list[float]]] = field(default_factory=dict)
    processes: dict[str, list[dict[str, object]]] = field(default_factory=dict)
    failures: tuple[str, ...] = ()


def run_latency_session(
    backend: str,
    models: dict[str, ModelFiles],
    plan: SessionPlan,
    on_progress: OnProgress,
    *,
    n_threads: int = 1,
) -> dict[str, Timing]:
    """Timings by model. The first process calibrates the calls per block, all use the same.

    The processes run one after the other while this one sleeps. Where one fails, no model of the session has a latency;
    where the answers of one model are wrong in any of them, that model has none.
    """
    common: dict[str, str | int] = {"backend": backend, "threads": n_threads}
    if not has_cpus(n_threads):
        reason = f"needs {n_threads} CPUs to pin to, {len(list_cpus())} are allowed"
        return {name: Timing(refuse_latency(plan, reason, **common)) for name in models}
    try:
        answers = _run_processes(backend, models, plan, on_progress, n_threads)
    except BenchError as error:
        return {name: _refuse(error, plan, common) for name in models}
    wrong = {name: MeasurementError(*words) for answer in answers for name, words in answer.wrong.items()}
    return {
        name: _refuse(wrong[name], plan, common)
        if name in wrong
        else _summarise(name, backend, plan, n_threads, answers)
        for name in models
    }


def _refuse(error: BenchError, plan: SessionPlan, common: dict[str, str | int]) -> Timing:
    figures = refuse_latency(plan, f"failed: {error.cause.splitlines()[0]}", **common)
    return Timing(figures, failures=(f"latency on {common['backend']}, {common['threads']} threads: {error}",))


def _run_processes(
    backend: str,
    models: dict[str, ModelFiles],
    plan: SessionPlan,
    on_progress: OnProgress,
    n_threads: int,
) -> list[LatencyAnswer]:
    answers: list[LatencyAnswer] = []
    n_wanted = plan.n_processes
    while len(answers) < n_wanted:
        index = len(answers)
        on_progress(f"{backend}, {n_threads} threads, process {index + 1} of {n_wanted}", index / n_wanted)
        request = LatencyRequest(
            backend=backend,
            batches=plan.batches,
            n_rounds=plan.n_rounds,
            n_threads=n_threads,
            order_seed=index,
            n_calls={name: trace.n_calls for name, trace in answers[0].traces.items()} if answers else {},
            models=models,
        )
        with Worker(index, n_threads=n_threads) as worker:
            answers.append(worker.ask(request))
        if not answers[0].is_pinned:
            n_wanted = 2 * plan.n_processes  # unpinned processes vary more; more of them make up for it
    return answers


def refuse_latency(plan: SessionPlan, reason: str, **conditions: str | int) -> list[Figure]:
    """Unavailable figures for every latency of a failed session, with the reason."""
    names = ("latency_s", "cold_start_s", "throughput_hz", "overhead_share")
    return [unavailable(name, reason, batch=batch, **conditions) for batch in plan.batches for name in names]


def _summarise(model: str, backend: str, plan: SessionPlan, n_threads: int, answers: list[LatencyAnswer]) -> Timing:
    floors = _get_traces(answers, EMPTY)
    is_pinned = all(answer.is_pinned for answer in answers)
    complaints = list_complaints([answer.neighbours for answer in answers])
    timing = Timing([])
    for batch in plan.batches:
        key = Benchmark(model, backend, batch, n_threads).key
        traces = _get_traces(answers, f"{model}@{batch}")
        conditions: Conditions = {"backend": backend, "batch": batch, **answers[0].conditions[model]}
        timing.figures.extend(
            make_latency_figures(traces, floors, is_pinned=is_pinned, conditions=conditions, complaints=complaints)
        )
        timing.rounds_s[key] = [[float(f"{t:.6g}") for t in trace.wall_s] for trace in traces]
        timing.singles_s[key] = [[float(f"{t:.4g}") for t in trace.single_s] for trace in traces]
        timing.processes[key] = [
            {
                "order_seed": index,
                **asdict(answer.neighbours),
                "n_switches": sum(trace.n_switches),
                "preempted_share": trace.preempted_share,
                "preempted_rounds": trace.preempted,
                "empty_call_s": median(floor.wall_s),
            }
            for index, (answer, trace, floor) in enumerate(zip(answers, traces, floors, strict=True))
        ]
    return timing


def _get_traces(answers: list[LatencyAnswer], name: str) -> list[Trace]:
    return [answer.traces[name] for answer in answers]


def make_latency_record(cell: Cell, timings: list[Timing], peaks: list[Figure], session_id: str) -> Record:
    """Record of all sessions of one model; rounds pair with those of records of the same session."""
    details: dict[str, Any] = {"session": session_id, "rounds_s": {}, "singles_s": {}, "processes": {}}
    for timing in timings:
        details["rounds_s"] |= timing.rounds_s
        details["singles_s"] |= timing.singles_s
        details["processes"] |= timing.processes
    figures = [figure for timing in timings for figure in timing.figures]
    failures = tuple(failure for timing in timings for failure in timing.failures)
    return Record(cell=cell, figures=(*figures, *peaks), failures=failures, details=details)


def run_accuracy(backend: str, path: str, labelled: LabelledSet, choices: dict[str, Any]) -> Figure:
    """Judge a file by a test set, in a process of its own.

    Args:
        choices: See `BackendEntry.load`.

    Raises:
        JobError: the runtime does not run the file on these examples.
    """
    with TemporaryDirectory() as folder, Worker() as worker:
        images, found = save_examples(labelled.examples, Path(folder), "test"), Path(folder, "scores.npy")
        request = PredictRequest(backend=backend, path=path, images=str(images), scores=str(found), choices=choices)
        worker.ask(request)
        scores: NDArray[np.float32] = np.load(found, allow_pickle=False)
    if scores.ndim != 2 or len(scores) != len(labelled.labels) or scores.shape[1] <= labelled.labels.max():
        said = f"scores of shape {scores.shape}, and classes 0 to {labelled.labels.max()}"
        return unavailable("test_accuracy", said, backend=backend)
    if not np.isfinite(scores).all():
        return unavailable("test_accuracy", "scores are not finite", backend=backend)
    is_right = scores.argmax(1) == labelled.labels
    return make_accuracy_figure("test_accuracy", is_right, source="test set", conditions={"backend": backend})


def run_peaks(n_threads: int) -> list[Figure]:
    """Measure the machine's peaks with so many threads; none where it has fewer CPUs."""
    if not has_cpus(n_threads):
        return []
    with Worker(n_threads=n_threads) as worker:
        peaks = worker.ask(PeaksRequest(n_threads=n_threads))
    return make_peak_figures([*peaks], n_threads)


def has_cpus(n_threads: int) -> bool:
    """Tell whether so many threads can have a CPU each; one always can."""
    return n_threads == 1 or n_threads <= len(list_cpus())
