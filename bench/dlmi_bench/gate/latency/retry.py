"""A second session where the machine, not the benchmark, is why the first could not be judged."""

from collections.abc import Callable
from dataclasses import replace

from dlmi_bench.gate.latency.benchmark import Benchmarks, Replicate
from dlmi_bench.gate.latency.looks import Measure, decide_benchmarks
from dlmi_bench.gate.verdicts import Decision

PAUSE_S = 10.0  # for whatever ran beside it to end
# Replicates of the second session are numbered apart, as those of a confirmation are.
RETRY = 2000


def decide_with_retry(
    benchmarks: Benchmarks,
    taus: dict[str, float],
    measure: Measure,
    looks: tuple[int, ...],
    pause: Callable[[float], object],
) -> dict[str, Decision]:
    """Decisions like those of `decide_benchmarks`; what the machine disturbed is measured once more, all anew.

    A disturbed session was not judged by its ratio, so that nothing is selected by repeating it. A verdict, a red that
    waits for its confirmation, a worker that died and a time that cannot be are never measured again.
    """
    decisions = decide_benchmarks(benchmarks, taus, measure, looks)
    disturbed = {name: b for name, b in benchmarks.items() if decisions[name].is_disturbed}
    if disturbed:
        pause(PAUSE_S)

        def measure_again(asked: Benchmarks, index: int) -> Replicate:
            return measure(asked, RETRY + index)

        second = decide_benchmarks(disturbed, taus, measure_again, looks)
        decisions |= {name: _note(second[name], decisions[name]) for name in disturbed}
    return decisions


def _note(second: Decision, first: Decision) -> Decision:
    return replace(second, notes=(*second.notes, f"second session; first {first.why}"))
