"""Figures of decisions: correlation with the truth, accuracy of the most certain, distance in ordered classes."""

from collections.abc import Iterator
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlmi_bench.metrics.discrimination import ONE_CLASS
from dlmi_bench.metrics.predictions import Floats, Predictions
from dlmi_bench.records import Figure
from dlmi_bench.stats.confusion import Metric, compute_design, compute_mcc, count_confusion, draw_interval
from dlmi_bench.stats.linear import bound_share

CERTAIN = 0.9  # share of examples that are answered


def make_decision_figures(found: Predictions, *, is_ordinal: bool) -> Iterator[Figure]:
    """Make the figures of the classes decided for."""
    yield _make_confusion_figure(found, "test_mcc", compute_mcc, f"{ONE_CLASS} in truth or decisions")
    kept = keep_certain(found.probabilities)
    is_right = (found.decisions == found.labels)[kept]
    bounds = bound_share(is_right, None if found.groups is None else found.groups[kept])
    how = f"of the {100 * CERTAIN:g} % of examples with the largest probability of their decision"
    name = "test_confident_accuracy"
    yield found.make(name, float(is_right.mean()), bounds, "Wilson", how=how, n=len(kept))
    if is_ordinal:
        yield _make_confusion_figure(found, "test_absolute_error", compute_absolute_error, "")


def keep_certain(probabilities: Floats, share: float = CERTAIN) -> NDArray[np.intp]:
    """Places of the examples with the largest probability of their decision; of equal ones the first."""
    certainty = probabilities.max(1)
    return np.argsort(-certainty, kind="stable")[: ceil(share * len(certainty))]


def compute_absolute_error(confusion: NDArray[Any]) -> Floats:
    """Mean distance between true and decided class, in classes; (..., class, class) -> (...)."""
    places = np.arange(confusion.shape[-1])
    distances = np.abs(places[:, None] - places)
    return np.asarray((confusion * distances).sum((-2, -1)) / confusion.sum((-2, -1)))


def _make_confusion_figure(found: Predictions, name: str, metric: Metric, reason: str) -> Figure:
    confusion = count_confusion(found.labels, found.decisions, len(found.class_names))
    value = float(metric(confusion))
    if not np.isfinite(value):
        return found.make_missing(name, reason)
    design = 1.0 if found.groups is None else compute_design(found.decisions, found.units, metric)
    return found.make(name, value, draw_interval(confusion, metric, design=design), "posterior")
