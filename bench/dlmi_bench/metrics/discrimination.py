"""Figures of discrimination: areas under the ROC curve and under that of precision and recall."""

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from dlmi_bench.metrics.predictions import DIGITS, NOTHING, Predictions
from dlmi_bench.records import Figure
from dlmi_bench.stats.linear import Bounds, Units
from dlmi_bench.stats.ranking import Ranked, count_worth, rank_auc, rank_hand_till, rank_precision

MAX_CLASSES = 20  # with more, only the overall figures are kept
# Trials that one positive example is worth at most, for the area under precision and recall; and the areas of pairs of
# classes that their mean is worth.
WORTH, WORTH_PAIRS = 2, 1.5
ONE_CLASS = "only one class occurs"


def make_discrimination_figures(found: Predictions) -> Iterator[Figure]:
    """Make the areas over all classes, then, of several classes, those of each against the rest."""
    names = ("test_auc", "test_auprc")
    if len(found.classes) < 2:
        yield from (found.make_missing(name, ONE_CLASS) for name in names)
        return
    if found.is_binary:
        yield from _make_areas(found, 1)
        return
    whole = rank_all(found)
    bounds = bound_auc(whole, found.units)
    yield found.make(names[0], whole.value, bounds, "DeLong", how="Hand and Till: mean over pairs of classes")
    ranked = [rank_precision(found.get_odds(index), found.labels == index) for index in found.classes]
    mean = Ranked(float(np.mean([r.value for r in ranked])), np.mean([r.parts for r in ranked], axis=0))
    smallest = int(np.bincount(found.labels)[found.classes].min())
    bounds = _bound_precision(mean, found.units, 2 * smallest)
    yield found.make(names[1], mean.value, bounds, "linearised", how="mean over classes against the rest")
    for index in found.classes if len(found.class_names) <= MAX_CLASSES else ():
        yield from _make_areas(found, index, {"class": found.class_names[index]})


def rank_all(found: Predictions) -> Ranked:
    """Area of the positive class of two, Hand and Till's of several."""
    if found.is_binary:
        return rank_auc(found.get_odds(1), found.labels == 1)
    return rank_hand_till(np.round(found.logs, DIGITS), found.labels)


def _make_areas(found: Predictions, index: int, more: Mapping[str, str] = NOTHING) -> Iterator[Figure]:
    """Make both areas of one class against the rest."""
    is_own, units = found.split_one(index)
    odds = found.get_odds(index)
    area = rank_auc(odds, is_own)
    yield found.make("test_auc", area.value, bound_auc(area, units), "DeLong", more)
    area = rank_precision(odds, is_own)
    bounds = _bound_precision(area, units, int(is_own.sum()))
    yield found.make("test_auprc", area.value, bounds, "linearised", more)


def bound_auc(area: Ranked, units: Units, alpha: float = 0.05) -> Bounds | None:
    """Bounds of an area under the ROC curve; few examples that agree by chance do not make it certain.

    Args:
        units: Examples of two classes, or of more for a mean over pairs of them.
    """
    return make_auc_bounds(area, units)(alpha)


def make_auc_bounds(area: Ranked, units: Units) -> Callable[[float], Bounds | None]:
    """Make the function of alpha that gives these bounds."""
    if 0 < area.value < 1:
        sizes, design = np.bincount(units.labels), find_design(area, units)
    else:
        sizes, design = units.n_groups, 1.0
    smallest, *others = sorted(size for size in sizes.tolist() if size)
    worth = count_worth(area.value, smallest, sum(others)) * (1 if units.n_classes == 2 else WORTH_PAIRS) / design
    own = units.linearise(area.value, area.parts)
    return lambda alpha: own.compute_share_interval(alpha, worth)


def find_design(area: Ranked, units: Units) -> float:
    """Find the variance of sampling groups of examples, over that of sampling examples; at least 1."""
    own, alone = (u.linearise(0.0, area.parts).variance for u in (units, Units(units.labels, None, units.n_classes)))
    return max(1.0, own / alone) if alone > 0 else len(units.labels) / units.n_units


def _bound_precision(area: Ranked, units: Units, n_positive: int) -> Bounds | None:
    worth = WORTH * n_positive / find_design(area, units)
    return units.linearise(area.value, area.parts).compute_share_interval(n_most=worth)
