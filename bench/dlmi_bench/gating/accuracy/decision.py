"""Accuracy verdicts: the same weights in another program, a retrained recipe, a suspiciously fast convergence.

Every verdict starts INVALID or INCOMPARABLE and only evidence upgrades it. The other modules hold the statistics.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dlmi_bench.gating.accuracy.convergence import Effort, compute_speedup_p
from dlmi_bench.gating.accuracy.difference import AccuracyDifference
from dlmi_bench.gating.accuracy.discordance import compute_discordance, compute_tango_difference
from dlmi_bench.gating.accuracy.evidence import (
    MIN_SEEDS,
    PredictedClasses,
    Runs,
    describe_mismatch,
    find_problem,
    find_seed_problem,
)
from dlmi_bench.gating.accuracy.seeds import compute_recipe_difference
from dlmi_bench.gating.verdicts import Verdict

MAX_SPEEDUP_P = 0.01  # 5 against 5 runs reach 1/252


@dataclass(frozen=True)
class Limits:
    """Tolerances, declared before anything is measured.

    Attributes:
        margin: Loss of accuracy that does not matter [fraction].
        max_gain: Gain of accuracy beyond which a leak or changed data is likelier than progress [fraction].
        max_speedup: Factor in time to target beyond which a leak is likelier as well.
    """

    margin: float = 0.01
    max_gain: float = 0.02
    max_speedup: float = 1.5

    def __post_init__(self) -> None:
        if not (0 < self.margin < 1 and 0 < self.max_gain <= 1 and 1 <= self.max_speedup < float("inf")):
            raise ValueError(f"need 0 < margin < 1, 0 < max_gain <= 1 and max_speedup >= 1, got {self}")


@dataclass(frozen=True)
class AccuracyVerdict:
    """A verdict, its reason and its evidence; None where nothing was compared.

    Attributes:
        n_changed: Examples with different predictions, also where both are wrong; for the same weights only.
    """

    verdict: Verdict
    reason: str
    difference: AccuracyDifference | None = None
    n_changed: int | None = None


def judge_weights(
    baseline: PredictedClasses, candidate: PredictedClasses, labels: NDArray[np.generic], n_classes: int, limits: Limits
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
        return AccuracyVerdict(Verdict.INCOMPARABLE, describe_mismatch(baseline.examples, candidate.examples))
    n = baseline.examples.n_examples
    arrays = {"baseline": baseline.predictions, "candidate": candidate.predictions, "labels": labels}
    for name, values in arrays.items():
        if problem := find_problem(values, n, n_classes):
            return AccuracyVerdict(Verdict.INVALID, f"{name}: {problem}")
    counts = compute_discordance(*(values.astype(np.int64) for values in arrays.values()))
    difference = compute_tango_difference(counts)
    if counts.n_changed == 0:
        return AccuracyVerdict(Verdict.SAME, f"all {n} predictions are equal", difference, 0)
    verdict, reason = decide(difference, limits)
    detail = f"{counts.n_lost} lost, {counts.n_gained} gained, {counts.n_changed} changed of {n}"
    return AccuracyVerdict(verdict, f"{reason}; {detail}", difference, counts.n_changed)


def judge_recipe(baseline: Runs, candidate: Runs, limits: Limits) -> AccuracyVerdict:
    """Judge a retrained recipe by at least MIN_SEEDS declared seeds on each side."""
    if baseline.examples != candidate.examples:
        return AccuracyVerdict(Verdict.INCOMPARABLE, describe_mismatch(baseline.examples, candidate.examples))
    for name, runs in (("baseline", baseline), ("candidate", candidate)):
        if problem := find_seed_problem(runs):
            return AccuracyVerdict(Verdict.INVALID, f"{name}: {problem}")
    before, now = baseline.table, candidate.table
    difference = compute_recipe_difference(before, now)
    if np.array_equal(before, now):
        return AccuracyVerdict(Verdict.SAME, f"all {len(now)} runs are right on the same examples", difference)
    verdict, reason = decide(difference, limits)
    return AccuracyVerdict(verdict, f"{reason}; {len(before)} and {len(now)} seeds", difference)


def judge_convergence(baseline: Sequence[Effort], candidate: Sequence[Effort], limits: Limits) -> AccuracyVerdict:
    """Judge whether the candidate reaches its target suspiciously fast; slower training is not judged."""
    runs = [*baseline, *candidate]
    if not all(0 < run.amount < float("inf") for run in runs):
        return AccuracyVerdict(Verdict.INVALID, "time to target: zero, negative or not a number")
    if min(len(baseline), len(candidate)) < MIN_SEEDS:
        return AccuracyVerdict(
            Verdict.INVALID, f"{len(baseline)} and {len(candidate)} runs; each side needs {MIN_SEEDS}"
        )
    p = compute_speedup_p(baseline, candidate, limits.max_speedup)
    detail = f"more than {limits.max_speedup} x faster to the target: p = {p:.2g}"
    if p <= MAX_SPEEDUP_P:
        return AccuracyVerdict(Verdict.SUSPICIOUS_IMPROVEMENT, f"{detail}; look for a leak or changed data")
    return AccuracyVerdict(Verdict.PASS, detail)


def decide(difference: AccuracyDifference, limits: Limits) -> tuple[Verdict, str]:
    """Decide on a difference: verdict and reason. The bounds decide, never the value.

    A margin that the test set cannot resolve is refused, but only for approval: a loss that is certain at that margin
    is still REGRESSED, or the worst candidates would hide behind the disagreement that they cause.
    """
    text = f"accuracy {_format(difference.value)} [{_format(difference.lo)}, {_format(difference.hi)}] points"
    margin = f"margin {100 * limits.margin:.2f}"
    if difference.hi < -limits.margin:
        return Verdict.REGRESSED, f"{text}, {margin}"
    if difference.lo > limits.max_gain:
        return Verdict.SUSPICIOUS_IMPROVEMENT, f"{text}: look for a leak or changed data"
    if not difference.resolves(limits.margin):
        needed = f"{difference.compute_n_needed(limits.margin)} examples, there are {difference.n_examples}"
        least = f"these resolve {100 * difference.resolvable_margin:.2f}"
        return Verdict.INCONCLUSIVE, f"{text}, {margin} refused: it needs {needed}; {least}"
    if difference.lo > 0:
        return Verdict.IMPROVED, text
    return (Verdict.PASS if difference.lo > -limits.margin else Verdict.INCONCLUSIVE), f"{text}, {margin}"


def _format(fraction: float) -> str:
    return f"{100 * fraction:+.2f}"
