"""Figures by subgroup: each with its interval, its difference from all others, and one correction for all of them."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dlmi_bench.metrics.areas import find_p
from dlmi_bench.metrics.discrimination import make_auc_bounds, rank_all
from dlmi_bench.metrics.predictions import Predictions, make_logits
from dlmi_bench.stats.intervals import compute_holm
from dlmi_bench.stats.linear import Bounds, make_share_bounds
from dlmi_bench.stats.ranking import rank_auc

Measure = Literal["test_accuracy", "test_balanced_accuracy", "test_auc", "test_sensitivity", "test_specificity"]
N_FEWEST = 10  # examples of a class, below which a subgroup says nothing
Bound = Callable[[float], Bounds | None]  # of alpha


@dataclass(frozen=True)
class Subgroup:
    """One subgroup.

    Attributes:
        value, lo, hi: The figure with its 95 % interval; None where `reason` says why.
        difference: The figure less that of all other examples, with bounds that hold for all subgroups together.
        p: P-value of no difference, corrected by Holm for all subgroups.
    """

    name: str
    n: int
    value: float | None = None
    lo: float | None = None
    hi: float | None = None
    difference: float | None = None
    difference_lo: float | None = None
    difference_hi: float | None = None
    p: float | None = None
    reason: str = ""


@dataclass(frozen=True)
class _Part:
    """A figure of some examples: its value and its bounds at any level; or why there is none."""

    value: float
    bound: Bound
    reason: str = ""


def compare_subgroups(
    scores: NDArray[Any],
    labels: NDArray[Any],
    column: NDArray[Any] | Sequence[str],
    *,
    class_names: Sequence[str],
    measure: Measure = "test_auc",
    threshold: float = 0.0,
    groups: NDArray[Any] | None = None,
    are_probabilities: bool = False,
    alpha: float = 0.05,
) -> list[Subgroup]:
    """Compute a figure in each subgroup, and compare it with the same figure of all other examples.

    Args:
        scores: (n, class), logits or, with `are_probabilities`, probabilities.
        labels: (n,), classes from 0; of two the second is the positive one.
        column: Subgroup of each example, (n,): words.
        threshold: Log odds from which an example counts as positive, for sensitivity and specificity.
        groups: Whose each example is, (n,); None takes all examples for independent.
        alpha: Level of the intervals, and of all differences together.

    Source: R. G. Newcombe, Statistics in Medicine 17 (1998) 873-890 (differences by the bounds of both sides).
    """
    logits = make_logits(scores, are_probabilities=are_probabilities)
    words, known = np.asarray(column).astype(str), np.asarray(labels, np.int64)
    whole = Predictions(logits, known, tuple(class_names), groups, "", {})
    found: list[tuple[Subgroup, _Part, _Part]] = []
    for name in np.unique(words).tolist():
        own, rest = (_compute(_take(whole, is_in), measure, threshold) for is_in in (words == name, words != name))
        found.append((Subgroup(name, int((words == name).sum()), reason=own.reason), own, rest))
    compared = [i for i, (_, own, rest) in enumerate(found) if not own.reason and not rest.reason]
    p_values = dict(zip(compared, compute_holm([_find_p(*found[i][1:]) for i in compared]), strict=True))
    level = alpha / max(1, len(compared))
    return [_describe(*row, alpha, level, p_values.get(i)) for i, row in enumerate(found)]


def _describe(row: Subgroup, own: _Part, rest: _Part, alpha: float, level: float, p: float | None) -> Subgroup:
    if own.reason or (bounds := own.bound(alpha)) is None:
        return row
    row = replace(row, value=own.value, lo=bounds[0], hi=bounds[1])
    if p is None:
        return replace(row, reason=f"no comparison, all others: {rest.reason}" if rest.reason else "")
    lo, hi = _bound_difference(own, rest, level)
    return replace(row, difference=own.value - rest.value, difference_lo=lo, difference_hi=hi, p=p)


def _take(whole: Predictions, is_in: NDArray[np.bool_]) -> Predictions:
    groups = None if whole.groups is None else np.asarray(whole.groups)[is_in]
    return replace(whole, logits=whole.logits[is_in], labels=whole.labels[is_in], groups=groups)


def _compute(part: Predictions, measure: Measure, threshold: float) -> _Part:
    """Compute the figure of some examples."""
    counts = np.bincount(part.labels, minlength=len(part.class_names))
    needed = {"test_sensitivity": counts[-1:], "test_specificity": counts[:1], "test_accuracy": counts.sum()[None]}
    fewest = int(np.min(needed.get(measure, counts)))
    if fewest < N_FEWEST:
        what = "examples" if measure == "test_accuracy" else "examples of a class"
        return _Part(math.nan, lambda _: None, f"too small: {fewest} {what}, {N_FEWEST} are needed")
    return _MEASURES[measure](part, threshold)


def _compute_auc(part: Predictions, _: float) -> _Part:
    if part.is_binary:
        is_own, units = part.split_one(1)
        area = rank_auc(part.get_odds(1), is_own)
        return _Part(area.value, make_auc_bounds(area, units))
    area = rank_all(part)
    return _Part(area.value, make_auc_bounds(area, part.units))


def _compute_balanced(part: Predictions, _: float) -> _Part:
    """Mean recall; a subgroup that is large enough has all classes."""
    is_right = part.decisions == part.labels
    counts = np.bincount(part.labels, minlength=len(part.class_names))
    parts = is_right / counts[part.labels] / len(counts)
    own = part.units.linearise(float(parts.sum()), parts).cautious
    return _Part(own.value, lambda alpha: own.compute_share_interval(alpha))


def _compute_share(part: Predictions, threshold: float, index: int | None = None) -> _Part:
    is_own = np.full(len(part.labels), True) if index is None else part.labels == index
    decisions = part.decisions if index is None else part.get_odds(1) >= threshold
    is_hit = (decisions == part.labels)[is_own]
    groups = None if part.groups is None else part.groups[is_own]
    return _Part(float(is_hit.mean()), make_share_bounds(is_hit, groups))


_MEASURES: dict[str, Callable[[Predictions, float], _Part]] = {
    "test_auc": _compute_auc,
    "test_balanced_accuracy": _compute_balanced,
    "test_accuracy": _compute_share,
    "test_sensitivity": lambda part, threshold: _compute_share(part, threshold, 1),
    "test_specificity": lambda part, threshold: _compute_share(part, threshold, 0),
}


def _bound_difference(own: _Part, rest: _Part, alpha: float) -> Bounds:
    """Bounds of a difference from those of both sides, which are taken for independent."""
    first, second = own.bound(alpha) or (0.0, 1.0), rest.bound(alpha) or (0.0, 1.0)
    value = own.value - rest.value
    below = math.hypot(own.value - first[0], second[1] - rest.value)
    above = math.hypot(first[1] - own.value, rest.value - second[0])
    return value - below, value + above


def _find_p(own: _Part, rest: _Part) -> float:
    return find_p(lambda alpha: _bound_difference(own, rest, alpha))
