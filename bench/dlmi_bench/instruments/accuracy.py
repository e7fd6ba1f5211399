"""Accuracy and confusion as figures."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlmi_bench.records import Conditions, Figure, unavailable
from dlmi_bench.stats.confusion import Counts, Metric, draw_interval
from dlmi_bench.stats.intervals import compute_wilson
from dlmi_bench.stats.linear import bound_share

GROUPED = "groups of examples"


def make_accuracy_figure(
    name: str,
    is_right: NDArray[np.bool_],
    *,
    source: str,
    conditions: Conditions,
    groups: NDArray[Any] | None = None,
) -> Figure:
    """Share of decisions that are right, (n,), with the interval from sampling the examples.

    Args:
        groups: Whose each example is, (n,): they are sampled as one.
    """
    n_right, n = int(is_right.sum()), len(is_right)
    lo, hi = compute_wilson(n_right, n) if groups is None else bound_share(is_right, groups)
    return Figure(
        name=name,
        value=n_right / n,
        lo=lo,
        hi=hi,
        n=n,
        interval=f"Wilson 95 %, sampling of {'examples' if groups is None else GROUPED}",
        kind="measured",
        source=source,
        conditions=conditions,
    )


def make_confusion_figure(
    name: str,
    confusion: Counts,
    metric: Metric,
    *,
    source: str,
    design: float | None = None,
    **conditions: str | int,
) -> Figure:
    """A metric of a confusion matrix; unavailable where it is not defined.

    Args:
        design: Variance of sampling groups of examples over that of examples; None where there are no groups.
    """
    value = float(metric(confusion))
    if math.isnan(value):
        return unavailable(name, "not defined where truth and decisions are all of one class", **conditions)
    lo, hi = draw_interval(confusion, metric, design=design or 1.0)
    return Figure(
        name=name,
        value=value,
        lo=min(lo, value),
        hi=max(hi, value),
        n=int(confusion.sum()),
        interval=f"posterior 95 %, sampling of {'examples' if design is None else GROUPED} within classes",
        kind="measured",
        source=source,
        conditions=conditions,
    )
