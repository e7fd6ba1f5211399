"""Sessions to try the latency gate on: made from one log ratio per process, or simulated from a machine's habits."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dlmi_bench.gating.latency.decision import (
    INPROC,
    MIN_ROUNDS,
    TWOPROC,
    Process,
    confirm_regression,
    count_more_processes,
    decide_latency,
)
from dlmi_bench.gating.verdicts import Decision, Verdict
from dlmi_bench.stats.ratios import compute_log_ratio

Floats = NDArray[np.float64]
SLOW_FACTOR = 1.6  # of a process that is slow throughout, as seen on shared virtual machines
SLOWED = math.log(1.1)  # what 10 % extra calls add to a log ratio


@dataclass(frozen=True)
class Regime:
    """A machine's habits.

    Attributes:
        process_sd: Between processes, of the log ratio.
        round_sd: Between blocks, of the log time.
        slow_share: Probability that a process is SLOW_FACTOR slower throughout.
        is_shared: Whether that hits both sides: two models in one process, or two processes on one CPU.
        preempted_share: Blocks that last 1.2-3 x longer because something else ran.
        cpu_factor: Slowness of the second CPU; every second pair of rounds is on it.
    """

    process_sd: float
    round_sd: float
    looks: tuple[int, ...] = INPROC
    slow_share: float = 0.0
    is_shared: bool = True
    preempted_share: float = 0.0
    cpu_factor: float = 1.0


REGIMES = {
    "one process, quiet": Regime(0.004, 0.004),
    "one process, rounds vary 8 %": Regime(0.004, 0.08),
    "one process, one in seven slow": Regime(0.004, 0.02, slow_share=0.14),
    "one process, 20 % of blocks pre-empted": Regime(0.004, 0.02, preempted_share=0.2),
    "one process, second CPU 1.3 x slower": Regime(0.004, 0.02, cpu_factor=1.3),
    "two processes, one CPU": Regime(0.017, 0.03, TWOPROC),
    "two processes, one in seven slow, each alone": Regime(0.017, 0.03, TWOPROC, slow_share=0.14, is_shared=False),
}


def simulate_rounds(regime: Regime, n: int, rng: np.random.Generator, n_rounds: int = 100) -> tuple[Floats, Floats]:
    """Times of two equal programs in `n` processes: two arrays (process, round)."""
    shape = (n, n_rounds)
    slow = rng.random((n, 2)) < regime.slow_share
    if regime.is_shared:
        slow[:, 1] = slow[:, 0]
    speed = np.where(np.arange(n_rounds) // 2 % 2, regime.cpu_factor, 1.0)
    sides = []
    for side in (0, 1):
        preempted = np.where(rng.random(shape) < regime.preempted_share, rng.uniform(1.2, 3, shape), 1)
        noise = np.exp(rng.normal(0, regime.round_sd, shape))
        sides.append(speed * noise * preempted * np.where(slow[:, [side]], SLOW_FACTOR, 1))
    sides[1] *= np.exp(rng.normal(0, regime.process_sd, (n, 1)))
    return sides[0], sides[1]


def simulate_logs(regime: Regime, n: int, seed: int) -> Floats:
    """Log ratio of two equal programs in each of `n` processes; by numpy, which agrees with the gate's own."""
    base, other = simulate_rounds(regime, n, np.random.default_rng(seed))
    logs: Floats = np.median(np.log(other / base), axis=1)
    assert math.isclose(logs[0], compute_log_ratio(base[0].tolist(), other[0].tolist()), abs_tol=1e-12)
    return logs


def make_process(log_ratio: float, twin: float = 0.0, slowed: float = SLOWED) -> Process:
    """A process in which every round shows these log ratios."""
    flat = [[math.exp(x)] * MIN_ROUNDS for x in (0.0, log_ratio, twin, slowed)]
    return Process(*flat)


def run_session(processes: Sequence[Process], looks: Sequence[int]) -> Decision:
    """Look after look until the gate asks for no more."""
    n = looks[0]
    while True:
        decision = decide_latency("m", processes[:n], looks=looks)
        n_more = count_more_processes(decision, looks)
        if not n_more:
            return decision
        n += n_more


def count_verdicts(regime: Regime, slowdown: float, n: int, seed: int = 1) -> tuple[Counter[Verdict], int]:
    """Verdicts of `n` simulated sessions with noisy controls, and how many of their reds new sessions confirmed."""
    n_most = regime.looks[-1]
    logs = simulate_logs(regime, 2 * n * n_most * 3, seed).reshape(2 * n, n_most, 3)
    shift = np.array([math.log1p(slowdown), 0.0, SLOWED])
    sessions = [[make_process(*row) for row in session] for session in (logs + shift).tolist()]
    counts: Counter[Verdict] = Counter()
    n_confirmed = 0
    for first, second in zip(sessions[:n], sessions[n:], strict=True):
        decision = run_session(first, regime.looks)
        counts[decision.verdict] += 1
        if decision.verdict is Verdict.REGRESSED:
            final = confirm_regression(decision, run_session(second, regime.looks))
            n_confirmed += final.verdict is Verdict.REGRESSED
    return counts, n_confirmed
