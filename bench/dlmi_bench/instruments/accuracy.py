"""Accuracy and confusion as figures."""

import math

import numpy as np
from numpy.typing import NDArray

from dlmi_bench.records import Conditions, Figure, unavailable
from dlmi_bench.stats.confusion import Counts, Metric, bootstrap_interval
from dlmi_bench.stats.intervals import compute_wilson


def make_accuracy_figure(name: str, is_right: NDArray[np.bool_], *, source: str, conditions: Conditions) -> Figure:
    """Share of decisions that are right, (n,), with the interval from sampling the examples."""
    n_right, n = int(is_right.sum()), len(is_right)
    lo, hi = compute_wilson(n_right, n)
    return Figure(
        name=name,
        value=n_right / n,
        lo=lo,
        hi=hi,
        n=n,
        interval="Wilson 95 %, sampling of examples",
        kind="measured",
        source=source,
        conditions=conditions,
    )


def make_confusion_figure(
    name: str, confusion: Counts, metric: Metric, *, source: str, **conditions: str | int
) -> Figure:
    """A metric of a confusion matrix; unavailable where it is not defined."""
    value = float(metric(confusion))
    if math.isnan(value):
        return unavailable(name, "not defined where truth and decisions are all of one class", **conditions)
    lo, hi = bootstrap_interval(confusion, metric)
    return Figure(
        name=name,
        value=value,
        lo=min(lo, value),
        hi=max(hi, value),
        n=int(confusion.sum()),
        interval="bootstrap 95 %, sampling of examples within classes",
        kind="measured",
        source=source,
        conditions=conditions,
    )
