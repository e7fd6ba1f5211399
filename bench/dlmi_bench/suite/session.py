"""A latency session: several fresh processes, in each of which all models of a backend are timed side by side."""

from dataclasses import asdict, dataclass, field
from statistics import median

from dlmi_bench.errors import BenchError, MeasurementError
from dlmi_bench.instruments.host.neighbours import list_complaints
from dlmi_bench.instruments.latency import Trace
from dlmi_bench.instruments.latency_figures import make_latency_figures
from dlmi_bench.instruments.pinning import list_cpus
from dlmi_bench.jobs.protocol import EMPTY, LatencyAnswer, LatencyRequest, ModelFiles, OnProgress
from dlmi_bench.jobs.sessions import _has_cpus
from dlmi_bench.jobs.worker import Worker
from dlmi_bench.records import Benchmark, Conditions, Figure, unavailable
from dlmi_bench.suite.suites import Suite


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
    inputs: str,
    models: dict[str, ModelFiles],
    suite: Suite,
    on_progress: OnProgress,
    *,
    n_threads: int = 1,
) -> dict[str, Timing]:
    """Timings by model. The first process calibrates the calls per block, all use the same.

    The processes run one after the other while this one sleeps. Where one fails, no model of the session has a latency;
    where the answers of one model are wrong in any of them, that model has none.
    """
    common: dict[str, str | int] = {"backend": backend, "threads": n_threads}
    if not _has_cpus(n_threads):
        reason = f"needs {n_threads} CPUs to pin to, {len(list_cpus())} are allowed"
        return {name: Timing(refuse_latency(suite, reason, **common)) for name in models}
    try:
        answers = _run_processes(backend, inputs, models, suite, on_progress, n_threads)
    except BenchError as error:
        return {name: _refuse(error, suite, common) for name in models}
    wrong = {name: MeasurementError(*words) for answer in answers for name, words in answer.wrong.items()}
    return {
        name: _refuse(wrong[name], suite, common)
        if name in wrong
        else _summarise(name, backend, suite, n_threads, answers)
        for name in models
    }


def _refuse(error: BenchError, suite: Suite, common: dict[str, str | int]) -> Timing:
    figures = refuse_latency(suite, f"failed: {error.cause.splitlines()[0]}", **common)
    return Timing(figures, failures=(f"latency on {common['backend']}, {common['threads']} threads: {error}",))


def _run_processes(
    backend: str,
    inputs: str,
    models: dict[str, ModelFiles],
    suite: Suite,
    on_progress: OnProgress,
    n_threads: int,
) -> list[LatencyAnswer]:
    answers: list[LatencyAnswer] = []
    n_wanted = suite.n_processes
    while len(answers) < n_wanted:
        index = len(answers)
        on_progress(f"{backend}, {n_threads} threads, process {index + 1} of {n_wanted}", index / n_wanted)
        request = LatencyRequest(
            backend=backend,
            inputs=inputs,
            batches=suite.batches,
            n_rounds=suite.n_rounds,
            n_threads=n_threads,
            order_seed=index,
            n_calls={name: trace.n_calls for name, trace in answers[0].traces.items()} if answers else {},
            models=models,
        )
        with Worker(index, n_threads=n_threads) as worker:
            answers.append(worker.ask(request))
        if not answers[0].is_pinned:
            n_wanted = 2 * suite.n_processes  # unpinned processes vary more; more of them make up for it
    return answers


def refuse_latency(suite: Suite, reason: str, **conditions: str | int) -> list[Figure]:
    """Unavailable figures for every latency of a failed session, with the reason."""
    names = ("latency_s", "cold_start_s", "throughput_hz", "overhead_share")
    return [unavailable(name, reason, batch=batch, **conditions) for batch in suite.batches for name in names]


def _summarise(model: str, backend: str, suite: Suite, n_threads: int, answers: list[LatencyAnswer]) -> Timing:
    floors = _get_traces(answers, EMPTY)
    is_pinned = all(answer.is_pinned for answer in answers)
    complaints = list_complaints([answer.neighbours for answer in answers])
    timing = Timing([])
    for batch in suite.batches:
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
