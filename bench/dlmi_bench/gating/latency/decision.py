"""Latency verdicts: rounds of baseline and candidate in, decisions out. No clock, no file, no process.

One number leaves each level: block mean -> round (log ratio) -> process (median) -> session (interval over processes).
The replicate is the process, never the round. Error rates, each with its n, are in METHOD.md, section Gate.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median

from dlmi_bench.gating.verdicts import Decision, Verdict
from dlmi_bench.stats.intervals import compute_sign_interval, compute_t_interval
from dlmi_bench.stats.ratios import compute_log_ratio
from dlmi_bench.units import format_share

TAU = 0.05  # slowdown that passes, unless the settings allow another
ALPHA = 0.02  # one-sided, of each look
# The sign test knows few levels: 1/32 at 5 processes, 9/256 at 8. A limit of ALPHA would leave the extremes of 8, so
# that one slow process would keep a session from ever passing.
SIGN_ALPHA = 0.04
MIN_GAIN = 0.02  # a smaller gain is PASS: two processes of one program differ by as much
MAX_PREEMPTED = 0.5  # share of a process's blocks; beyond it the median itself is of interrupted blocks
# A block longer than both limits (the second times the median of its side) is no measurement: no scheduler does that.
STALL_S = 1.0
STALL_RATIO = 10.0
MIN_ROUNDS = 10
N_ROBUST_SD = 5.0  # from the median, in sd estimated by the median absolute deviation
MAD_TO_SD = 1.4826  # of a normal distribution

# Processes at each look. Two processes alternating vary 4 x more than two calls in one, so they start at 5.
INPROC = (3, 5, 8)
TWOPROC = (5, 8)


@dataclass(frozen=True)
class Process:
    """Times of one process, round by round: mean duration of a call [s].

    Attributes:
        twin_s: Negative control, a second instance of the baseline.
        slowed_s: Positive control, the baseline with 10 % extra calls.
        preempted_share: Share of blocks during which something else held the CPU.
        n_calls: Calls per block.
    """

    baseline_s: Sequence[float]
    candidate_s: Sequence[float]
    twin_s: Sequence[float]
    slowed_s: Sequence[float]
    preempted_share: float = 0.0
    n_calls: int = 1

    @property
    def series(self) -> tuple[Sequence[float], ...]:
        return self.baseline_s, self.candidate_s, self.twin_s, self.slowed_s

    @property
    def n_stalled(self) -> int:
        """Number of blocks in which the clock jumped ahead or the machine stood still."""
        limits_s = [max(STALL_S / self.n_calls, STALL_RATIO * median(times)) for times in self.series]
        return sum(t > limit_s for limit_s, times in zip(limits_s, self.series, strict=True) for t in times)


@dataclass(frozen=True)
class Interval:
    """Log ratio over processes: mean and t-bounds, or median and sign-test bounds where processes are outlying."""

    centre: float
    lo: float
    hi: float
    n_outlying: int


def count_outlying(logs: Sequence[float], tau: float) -> int:
    """Count the processes far from the median one.

    An outlying process is farther from the median than ln(1 + tau), so that it could decide the verdict by itself, and
    farther than N_ROBUST_SD, so that a session that is merely wide keeps its t-interval.
    """
    centre = median(logs)
    distances = [abs(x - centre) for x in logs]
    limit = max(math.log1p(tau), N_ROBUST_SD * MAD_TO_SD * median(distances))
    return sum(distance > limit for distance in distances)


def compute_interval(logs: Sequence[float], tau: float) -> Interval:
    """Compute the interval of the log ratio from one number per process; infinite where they are too few."""
    n_outlying = count_outlying(logs, tau)
    if not n_outlying:
        return Interval(math.fsum(logs) / len(logs), *compute_t_interval(logs, ALPHA), 0)
    return Interval(median(logs), *(compute_sign_interval(logs, SIGN_ALPHA) or (-math.inf, math.inf)), n_outlying)


def judge_interval(interval: Interval, tau: float) -> Verdict:
    """Verdict of an interval; its centre alone decides nothing."""
    limit = math.log1p(tau)
    if interval.lo > limit:
        return Verdict.REGRESSED
    if interval.hi >= limit:
        return Verdict.INCONCLUSIVE
    is_faster = interval.hi < 0 and interval.centre < math.log1p(-MIN_GAIN)
    return Verdict.IMPROVED if is_faster else Verdict.PASS


def decide_latency(
    name: str, processes: Sequence[Process], *, tau: float = TAU, looks: Sequence[int] = INPROC
) -> Decision:
    """Judge one session, at the look to which its number of processes belongs.

    A verdict counts only where both controls hold. Where one does not yet, the session is INCONCLUSIVE until its last
    look, then INVALID: it could not have detected a slower candidate.

    Args:
        processes: All processes of the session, those of earlier looks included.
        tau: Largest slowdown that passes, as a fraction.
        looks: Processes at each look: INPROC, TWOPROC, or either of them doubled where pinning is refused.

    Raises:
        ValueError: `tau` is not in (0, 1).
    """
    if not 0 < tau < 1:
        raise ValueError(f"tau must lie between 0 and 1, got {tau}")
    if fault := _find_fault(processes):
        return Decision(name, why=fault, tau=tau, n_processes=len(processes))
    if fault := find_disturbance(processes):
        return Decision(name, why=fault, tau=tau, n_processes=len(processes), is_disturbed=True)
    if len(processes) not in looks or min(looks) < 3:
        fault = f"{len(processes)} processes reported; a look needs {' or '.join(map(str, looks))}, at least 3"
        return Decision(name, why=fault, tau=tau, n_processes=len(processes))
    interval = compute_interval([compute_log_ratio(p.baseline_s, p.candidate_s) for p in processes], tau)
    decision = _describe(Decision(name, tau=tau, n_processes=len(processes)), interval)
    decision = replace(decision, verdict=judge_interval(interval, tau), look=list(looks).index(len(processes)) + 1)
    if fault := _find_control_fault(processes, tau):
        is_last = decision.look == len(looks)
        verdict = Verdict.INVALID if is_last else Verdict.INCONCLUSIVE
        return replace(decision, verdict=verdict, why=fault, is_disturbed=is_last)
    return decision


def count_more_processes(decision: Decision, looks: Sequence[int] = INPROC) -> int:
    """Number of processes that the next look needs; 0 where the session is over."""
    is_open = decision.verdict is Verdict.INCONCLUSIVE and 0 < decision.look < len(looks)
    return looks[decision.look] - decision.n_processes if is_open else 0


def confirm_regression(first: Decision, second: Decision) -> Decision:
    """Combine a regression with a second session of new processes.

    Two regressions are REGRESSED, with the second interval: the first was selected for being large. If the second
    session could not measure, its verdict stands, and a busy machine does not excuse the first. Any other verdict
    disagrees with the first, which is INCONCLUSIVE and never a pass.
    """
    if first.verdict is not Verdict.REGRESSED or first.name != second.name:
        raise ValueError(f"{second.name}/{second.verdict} cannot confirm {first.name}/{first.verdict}")
    if second.verdict is Verdict.REGRESSED:
        return replace(second, notes=(*second.notes, f"confirmed; first session: {first.why}"))
    if second.verdict in (Verdict.INVALID, Verdict.INCOMPARABLE):
        notes = (*second.notes, f"not confirmed; first session: {first.why}")
        return replace(second, notes=notes, is_disturbed=False)
    why = f"two sessions disagree: {first.why}; then {second.why}"
    return replace(second, verdict=Verdict.INCONCLUSIVE, why=why)


def _find_fault(processes: Sequence[Process]) -> str | None:
    for number, process in enumerate(processes, 1):
        lengths = {len(series) for series in process.series}
        if len(lengths) > 1 or min(lengths) < MIN_ROUNDS:
            return f"process {number}: rounds missing; every series needs the same number, at least {MIN_ROUNDS}"
        if not all(math.isfinite(t) and t > 0 for series in process.series for t in series):
            return f"process {number}: a time is zero, negative or not a number"
        if not 0 <= process.preempted_share <= 1:
            return f"process {number}: the share of pre-empted blocks is {process.preempted_share}"
    return None


def find_disturbance(processes: Sequence[Process]) -> str | None:
    """Describe the disturbance by the machine that voids the session, whatever later processes measure; else None."""
    for number, process in enumerate(processes, 1):
        if n_stalled := process.n_stalled:
            blocks = f"{n_stalled} of its blocks took over {STALL_S:g} s and {STALL_RATIO:g} x the usual one"
            return f"process {number}: {blocks}; the clock jumped, or the machine stood still"
        if process.preempted_share > MAX_PREEMPTED:
            return f"process {number}: pre-empted in {format_share(process.preempted_share)} of its blocks"
    return None


def _find_control_fault(processes: Sequence[Process], tau: float) -> str | None:
    """Describe the control that failed. Both are judged like the candidate, the positive one by TAU at most."""
    twin = compute_interval([compute_log_ratio(p.baseline_s, p.twin_s) for p in processes], tau)
    if not -math.log1p(tau) < twin.lo <= twin.hi < math.log1p(tau):
        return f"negative control: the baseline compared with itself: {_format_interval(twin)}"
    strict = min(tau, TAU)
    slowed = compute_interval([compute_log_ratio(p.baseline_s, p.slowed_s) for p in processes], strict)
    if judge_interval(slowed, strict) is not Verdict.REGRESSED:
        return f"positive control: 10 % extra calls were not detected: {_format_interval(slowed)}"
    return None


def _describe(decision: Decision, interval: Interval) -> Decision:
    """Add the figures of `interval` and a sentence on them to the decision; its verdict stays."""
    assert decision.tau is not None
    words = {Verdict.REGRESSED: "beyond", Verdict.INCONCLUSIVE: "not resolved from"}
    word = words.get(judge_interval(interval, decision.tau), "within")
    outlying = f"{interval.n_outlying} of {decision.n_processes} processes outlying: sign-test interval"
    return replace(
        decision,
        why=f"{_format_interval(interval)}, {word} the limit of +{format_share(decision.tau, 1)}",
        estimate=math.exp(interval.centre),
        lo=math.exp(interval.lo) if math.isfinite(interval.lo) else None,
        hi=math.exp(interval.hi) if math.isfinite(interval.hi) else None,
        notes=(outlying,) if interval.n_outlying else (),
    )


def _format_interval(interval: Interval) -> str:
    bounds = (interval.centre, interval.lo, interval.hi)
    centre, lo, hi = (f"{100 * math.expm1(x):+.1f}" if math.isfinite(x) else "?" for x in bounds)
    return f"{centre} % [{lo}, {hi}]"
