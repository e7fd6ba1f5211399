"""Latency decisions for many benchmarks: looks, stops, and one confirmation of every regression."""

from collections.abc import Callable

from dlmi_bench.errors import BenchError
from dlmi_bench.gating.latency.benchmark import Benchmarks, Failure, GateBenchmark, Replicate, Timings
from dlmi_bench.gating.latency.decision import (
    Process,
    confirm_regression,
    count_more_processes,
    decide_latency,
    find_disturbance,
)
from dlmi_bench.gating.latency.identity import find_incomparable
from dlmi_bench.gating.verdicts import Decision, Verdict, judge_closed
from dlmi_bench.records import Conditions

# Runs the benchmarks in the replicate of that number.
Measure = Callable[[Benchmarks, int], Replicate]
# First number of a confirmation's replicates: other layouts in memory, other orders.
CONFIRMATION = 1000


def decide_benchmarks(
    benchmarks: Benchmarks, taus: dict[str, float], measure: Measure, looks: tuple[int, ...]
) -> dict[str, Decision]:
    """Decide on each benchmark; a regression stands only when new processes confirm it.

    Args:
        benchmarks: Benchmarks to judge, by name.
        taus: Allowed slowdown by name.
        measure: Runs one replicate.
        looks: Number of processes at each look; doubled where pinning is refused.
    """
    decisions = _decide(benchmarks, taus, measure, looks, 0)
    red = {name: b for name, b in benchmarks.items() if decisions[name].verdict is Verdict.REGRESSED}
    if red:
        second = _decide(red, taus, measure, looks, CONFIRMATION)
        decisions |= {name: confirm_regression(decisions[name], second[name]) for name in red}
    return decisions


def _decide(
    benchmarks: Benchmarks, taus: dict[str, float], measure: Measure, looks: tuple[int, ...], first: int
) -> dict[str, Decision]:
    open_ = dict(benchmarks)
    decisions = {name: Decision(name) for name in benchmarks}
    processes: dict[str, list[Process]] = {name: [] for name in benchmarks}
    n_wanted = looks[0]
    while open_:
        index = first + len(processes[next(iter(open_))])
        try:
            answer = measure(open_, index)
        except BenchError as error:
            decisions |= {name: Decision(name, why=f"process {index + 1}: {error.cause}") for name in open_}
            break
        if not answer.is_pinned and not any(processes.values()):
            looks = tuple(2 * k for k in looks)  # unpinned processes vary more; more of them make up for it
            n_wanted = looks[0]
        decisions |= _take(answer.benchmarks, open_, processes)
        is_look = any(len(processes[name]) == n_wanted for name in open_)
        for name in list(open_):
            if is_look or find_disturbance(processes[name]):  # which no later process undoes
                decisions[name] = _judge(name, processes[name], taus[name], looks)
                if not count_more_processes(decisions[name], looks):
                    del open_[name]
        if is_look and open_:
            n_wanted = looks[looks.index(n_wanted) + 1]
    return decisions


def _judge(name: str, processes: list[Process], tau: float, looks: tuple[int, ...]) -> Decision:
    return judge_closed(name, lambda: decide_latency(name, processes, tau=tau, looks=looks))


def _take(
    answers: dict[str, Timings | Failure], open_: Benchmarks, processes: dict[str, list[Process]]
) -> dict[str, Decision]:
    """Add one replicate to `processes`; benchmarks that failed or do not compare leave `open_` with a decision."""
    closed: dict[str, Decision] = {}
    for name, benchmark in open_.items():
        answer = answers.get(name, Failure("the worker did not report it"))
        if isinstance(answer, Failure):
            closed[name] = Decision(name, why=answer.error)
        elif fault := _find_fault(name, benchmark, answer):
            closed[name] = fault
        else:
            open_[name] = benchmark.model_copy(update={"n_calls": answer.n_calls})
            rounds = {f"{side}_s": times for side, times in answer.rounds_s.items()}
            share = max(answer.preempted_share.values())
            processes[name].append(Process(**rounds, preempted_share=share, n_calls=answer.n_calls))
    for name in closed:
        del open_[name]
    return closed


def _find_fault(name: str, benchmark: GateBenchmark, answer: Timings) -> Decision | None:
    stated: Conditions = {"backend": benchmark.backend, "batch": benchmark.batch}
    shapes = {"baseline": benchmark.input_shape, "candidate": benchmark.candidate_shape}
    # Another version of a runtime is another candidate, not another benchmark.
    baseline, candidate = (
        {name: {**answer.conditions[side], **stated, "shape": "x".join(map(str, shape)), "version": "any"}}
        for side, shape in shapes.items()
    )
    return next(iter(find_incomparable(baseline, candidate)), None)
