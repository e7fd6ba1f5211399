"""Accuracy verdicts: the same weights in another program, a recipe trained anew, a convergence too good to believe.

Every verdict starts INVALID or INCOMPARABLE and is upgraded by evidence; the statistics are in the neighbours.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dlmi_bench.gate.accuracy.convergence import Effort, compute_speedup_p
from dlmi_bench.gate.accuracy.difference import Difference
from dlmi_bench.gate.accuracy.discordance import compute_discordance, compute_tango_difference
from dlmi_bench.gate.accuracy.evidence import (
    MIN_SEEDS,
    Answers,
    Runs,
    describe_mismatch,
    find_problem,
    find_seed_problem,
)
from dlmi_bench.gate.accuracy.seeds import compute_recipe_difference

Verdict = Literal[
    "PASS", "IMPROVED", "SAME", "REGRESSED", "INCONCLUSIVE", "INCOMPARABLE", "INVALID", "SUSPICIOUS_IMPROVEMENT"
]
MAX_SPEEDUP_P = 0.01  # 5 against 5 runs reach 1/252


@dataclass(frozen=True)
class Limits:
    """What is tolerated, declared before anything is measured.

    Attributes:
        margin: Loss of accuracy that does not matter [fraction].
        max_gain: Gain of accuracy beyond which a leak or changed data is likelier than progress [fraction].
        max_speedup: Factor in time to target beyond which the same holds.
    """

    margin: float = 0.01
    max_gain: float = 0.02
    max_speedup: float = 1.5

    def __post_init__(self) -> None:
        if not (0 < self.margin < 1 and 0 < self.max_gain <= 1 and 1 <= self.max_speedup < float("inf")):
            raise ValueError(f"need 0 < margin < 1, 0 < max_gain <= 1 and max_speedup >= 1, got {self}")


@dataclass(frozen=True)
class AccuracyVerdict:
    """A verdict, why, and the evidence; None where it did not come to a comparison.

    Attributes:
        n_changed: Examples that the two sides answer differently, also where both are wrong; same weights only.
    """

    verdict: Verdict
    reason: str
    difference: Difference | None = None
    n_changed: int | None = None


def judge_weights(
    baseline: Answers, candidate: Answers, labels: NDArray[np.generic], n_classes: int, limits: Limits
) -> AccuracyVerdict:
    """Judge an artifact that should answer like the baseline (another format, another runtime, int8).

    Args:
        baseline: Predicted classes of the baseline artifact.
        candidate: Predicted classes of the candidate artifact, the same examples in the same order.
        labels: True classes, (example,).
        n_classes: Classes are 0 .. n_classes - 1; anything else, NaN included, is INVALID.
        limits: Declared tolerance.
    """
    if baseline.examples != candidate.examples:
        return AccuracyVerdict("INCOMPARABLE", describe_mismatch(baseline.examples, candidate.examples))
    n = baseline.examples.n_examples
    arrays = {"baseline": baseline.predictions, "candidate": candidate.predictions, "labels": labels}
    for name, values in arrays.items():
        if problem := find_problem(values, n, n_classes):
            return AccuracyVerdict("INVALID", f"{name}: {problem}")
    counts = compute_discordance(*(values.astype(np.int64) for values in arrays.values()))
    difference = compute_tango_difference(counts)
    if counts.n_changed == 0:
        return AccuracyVerdict("SAME", f"all {n} predictions are equal", difference, 0)
    verdict, reason = decide(difference, limits)
    detail = f"{counts.n_lost} lost, {counts.n_gained} gained, {counts.n_changed} changed of {n}"
    return AccuracyVerdict(verdict, f"{reason}; {detail}", difference, counts.n_changed)


def judge_recipe(baseline: Runs, candidate: Runs, limits: Limits) -> AccuracyVerdict:
    """Judge a recipe that was trained anew from at least MIN_SEEDS declared seeds on each side."""
    if baseline.examples != candidate.examples:
        return AccuracyVerdict("INCOMPARABLE", describe_mismatch(baseline.examples, candidate.examples))
    for name, runs in (("baseline", baseline), ("candidate", candidate)):
        if problem := find_seed_problem(runs):
            return AccuracyVerdict("INVALID", f"{name}: {problem}")
    before, now = baseline.table, candidate.table
    difference = compute_recipe_difference(before, now)
    if np.array_equal(before, now):
        return AccuracyVerdict("SAME", f"all {len(now)} runs are right on the same examples", difference)
    verdict, reason = decide(difference, limits)
    return AccuracyVerdict(verdict, f"{reason}; {len(before)} and {len(now)} seeds", difference)


def judge_convergence(baseline: Sequence[Effort], candidate: Sequence[Effort], limits: Limits) -> AccuracyVerdict:
    """Whether the candidate reaches its target too soon to be believed; slower training is not judged here."""
    runs = [*baseline, *candidate]
    if not all(0 < run.amount < float("inf") for run in runs):
        return AccuracyVerdict("INVALID", "an effort is zero, negative or no number")
    if min(len(baseline), len(candidate)) < MIN_SEEDS:
        return AccuracyVerdict("INVALID", f"{len(baseline)} and {len(candidate)} runs, {MIN_SEEDS} are needed")
    p = compute_speedup_p(baseline, candidate, limits.max_speedup)
    detail = f"more than {limits.max_speedup} x faster to the target: p = {p:.2g}"
    if p <= MAX_SPEEDUP_P:
        return AccuracyVerdict("SUSPICIOUS_IMPROVEMENT", f"{detail}; look for a leak or changed data")
    return AccuracyVerdict("PASS", detail)


def decide(difference: Difference, limits: Limits) -> tuple[Verdict, str]:
    """Verdict and reason of a difference; its bounds decide, never its value.

    A margin that the test set cannot resolve is refused. A refusal withholds approval only: a loss that is certain at
    that margin all the same is REGRESSED, or the worst candidates would hide behind the disagreement they cause.
    """
    text = f"accuracy {_format(difference.value)} [{_format(difference.lo)}, {_format(difference.hi)}] points"
    margin = f"margin {100 * limits.margin:.2f}"
    if difference.hi < -limits.margin:
        return "REGRESSED", f"{text}, {margin}"
    if difference.lo > limits.max_gain:
        return "SUSPICIOUS_IMPROVEMENT", f"{text}: look for a leak or changed data"
    if not difference.resolves(limits.margin):
        needed = f"{difference.compute_n_needed(limits.margin)} examples, there are {difference.n_examples}"
        least = f"these resolve {100 * difference.resolvable_margin:.2f}"
        return "INCONCLUSIVE", f"{text}, {margin} refused: it needs {needed}; {least}"
    if difference.lo > 0:
        return "IMPROVED", text
    return ("PASS" if difference.lo > -limits.margin else "INCONCLUSIVE"), f"{text}, {margin}"


def _format(fraction: float) -> str:
    return f"{100 * fraction:+.2f}"
