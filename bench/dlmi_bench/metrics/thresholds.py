"""Sensitivity and specificity at thresholds that were fixed on validation, and predictive values."""

from collections.abc import Callable, Iterator
from functools import partial
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlmi_bench.metrics.discrimination import MAX_CLASSES, ONE_CLASS
from dlmi_bench.metrics.predictions import Floats, Predictions
from dlmi_bench.records import Figure
from dlmi_bench.stats.confusion import compute_design, count_confusion, draw_interval
from dlmi_bench.stats.linear import bound_share

WANTED = 0.9
AT_SPECIFICITY, AT_SENSITIVITY = f"specificity {WANTED:g}", f"sensitivity {WANTED:g}"
NO_VALIDATION = "no validation scores, on which a threshold could be fixed"
NAMES = ("test_sensitivity", "test_specificity", "test_ppv", "test_npv")


def make_threshold_figures(
    found: Predictions, validation: Predictions | None, prevalence: float | None
) -> Iterator[Figure]:
    """Make the figures at thresholds; of several classes, each one's sensitivity against the rest."""
    if found.is_binary:
        reason = _find_obstacle(found, validation, 1)
        if validation is None or reason:
            yield from (found.make_missing(name, reason) for name in NAMES)
            return
        limits = {at: fix(validation.get_odds(1), validation.labels == 1) for at, fix in FIXES.items()}
        yield from _make_shares(found, limits)
        yield from _make_predictive(found, limits[AT_SPECIFICITY], prevalence)
        return
    for index in found.classes if len(found.class_names) <= MAX_CLASSES else ():
        more = {"class": found.class_names[index], "at": AT_SPECIFICITY}
        if validation is None or (reason := _find_obstacle(found, validation, index)):
            yield found.make_missing(NAMES[0], reason if validation else NO_VALIDATION, more)
            continue
        limit = fix_by_specificity(validation.get_odds(index), validation.labels == index)
        yield _make_share(found, NAMES[0], index, limit, found.labels == index, more)


def _find_obstacle(found: Predictions, validation: Predictions | None, index: int) -> str:
    if validation is None:
        return NO_VALIDATION
    if not np.isfinite(validation.logits).all():
        return "the validation scores are not finite"
    for labels, where in ((validation.labels, " in the validation examples"), (found.labels, "")):
        if len(set((labels == index).tolist())) < 2:
            return f"{ONE_CLASS}{where}"
    return ""


def fix_by_specificity(odds: Floats, is_positive: NDArray[np.bool_], wanted: float = WANTED) -> float:
    """Lowest threshold at which at least the wanted share of negative examples lies below it."""
    negative = np.sort(odds[~is_positive])
    return float(np.nextafter(negative[ceil(wanted * len(negative)) - 1], np.inf))


def fix_by_sensitivity(odds: Floats, is_positive: NDArray[np.bool_], wanted: float = WANTED) -> float:
    """Highest threshold that at least the wanted share of positive examples reaches."""
    positive = np.sort(odds[is_positive])
    return float(positive[len(positive) - ceil(wanted * len(positive))])


FIXES: dict[str, Callable[..., float]] = {AT_SPECIFICITY: fix_by_specificity, AT_SENSITIVITY: fix_by_sensitivity}


def _make_shares(found: Predictions, limits: dict[str, float]) -> Iterator[Figure]:
    """Make both shares at both thresholds; first each at the one that was fixed by the other."""
    is_positive = found.labels == 1
    for is_crossed in (True, False):
        for name, is_own, own in ((NAMES[0], is_positive, AT_SENSITIVITY), (NAMES[1], ~is_positive, AT_SPECIFICITY)):
            at = next(a for a in limits if (a != own) is is_crossed)
            yield _make_share(found, name, 1, limits[at], is_own, {"at": at})


def _make_share(
    found: Predictions, name: str, index: int, limit: float, is_own: NDArray[np.bool_], more: dict[str, str]
) -> Figure:
    """Share of examples on their side of the threshold."""
    is_hit = ((found.get_odds(index) >= limit) == (found.labels == index))[is_own]
    groups = None if found.groups is None else found.groups[is_own]
    how = f"threshold fixed on validation at log odds of {limit:.4g}"
    bounds = bound_share(is_hit, groups)
    return found.make(name, float(is_hit.mean()), bounds, "Wilson", more, how=how, n=len(is_hit))


def _make_predictive(found: Predictions, limit: float, prevalence: float | None) -> Iterator[Figure]:
    """Make the predictive values of the decisions at a threshold, at a prevalence."""
    share = float((found.labels == 1).mean()) if prevalence is None else prevalence
    decisions = (found.get_odds(1) >= limit).astype(np.int64)
    confusion = count_confusion(found.labels, decisions, 2)
    whose = "the sample's own" if prevalence is None else "as stated"
    for name, index in (("test_ppv", 1), ("test_npv", 0)):
        metric = partial(compute_predictive, index=index, prevalence=share)
        value = float(metric(confusion))
        more = {"at": AT_SPECIFICITY, "prevalence": f"{share:.3g}"}
        if not np.isfinite(value):
            yield found.make_missing(name, f"no example was called {found.class_names[index]}", more)
            continue
        design = 1.0 if found.groups is None else compute_design(decisions, found.units, metric)
        bounds = draw_interval(confusion, metric, design=design)
        yield found.make(name, value, bounds, "posterior", more, how=f"prevalence {share:.3g}, {whose}")


def compute_predictive(confusion: NDArray[Any], index: int, prevalence: float) -> Floats:
    """Share of the examples called one class that are of it, at a prevalence of class 1; (..., 2, 2) -> (...)."""
    rates = confusion[..., index] / confusion.sum(-1)  # called so, by true class
    weights = np.array([1 - prevalence, prevalence])
    with np.errstate(invalid="ignore"):
        return np.asarray(weights[index] * rates[..., index] / (weights * rates).sum(-1))
