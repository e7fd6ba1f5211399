"""Second session for benchmarks whose first one was disturbed by the machine."""

from collections.abc import Callable
from dataclasses import replace

from dlmi_bench.gating.latency.benchmark import Benchmarks, Replicate
from dlmi_bench.gating.latency.looks import Measure, decide_benchmarks
from dlmi_bench.gating.verdicts import Decision

PAUSE_S = 10.0  # lets whatever ran at the same time end
# First number of the second session's replicates, so that they differ from all others.
RETRY = 2000


def decide_with_retry(
    benchmarks: Benchmarks,
    taus: dict[str, float],
    measure: Measure,
    looks: tuple[int, ...],
    pause: Callable[[float], object],
) -> dict[str, Decision]:
    """Decide like `decide_benchmarks`, and measure once more, from the start, what the machine disturbed.

    A disturbed session was not judged by its ratio, so repeating it selects nothing. A verdict, a regression that waits
    for its confirmation, a dead worker and an impossible time are never measured again.
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
    return replace(second, notes=(*second.notes, f"second session; first session: {first.why}"))
