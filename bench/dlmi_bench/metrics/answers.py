"""The way in: all figures of the answers of one model to one set of test examples."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlmi_bench.metrics.calibration import make_calibration_figures
from dlmi_bench.metrics.decisions import make_decision_figures
from dlmi_bench.metrics.discrimination import make_discrimination_figures
from dlmi_bench.metrics.predictions import Predictions, make_logits
from dlmi_bench.metrics.thresholds import make_threshold_figures
from dlmi_bench.records import Conditions, Figure

NAMES = (
    "test_auc",
    "test_auprc",
    "test_sensitivity",
    "test_specificity",
    "test_ppv",
    "test_npv",
    "test_mcc",
    "test_confident_accuracy",
    "test_log_loss",
    "test_brier",
    "test_brier_miscalibration",
    "test_brier_discrimination",
    "test_ece",
    "test_calibration_slope",
    "test_calibration_intercept",
    "test_absolute_error",
)
NOT_FINITE = "the scores are not finite"
NO_EXAMPLE = "there is no example"


def describe_answers(
    scores: NDArray[Any],
    labels: NDArray[Any],
    *,
    class_names: Sequence[str],
    is_ordinal: bool = False,
    groups: NDArray[Any] | None = None,
    validation: tuple[NDArray[Any], NDArray[Any]] | None = None,
    source: str,
    conditions: Conditions,
    are_probabilities: bool = False,
    prevalence: float | None = None,
) -> list[Figure]:
    """Make the figures of discrimination, decisions and calibration, each with a 95 % interval.

    A figure that is not defined is unavailable, with the reason. Of several figures of one name the first is the
    overall one; those of single classes have the condition `class`.

    Args:
        scores: (n, class), logits or, with `are_probabilities`, probabilities.
        labels: (n,), classes from 0.
        class_names: Of two classes the second is the positive one.
        is_ordinal: Whether the classes have an order.
        groups: Whose each example is, (n,): they are sampled as one. None takes all examples for independent.
        validation: Scores and labels of other examples, on which thresholds are fixed.
        source: Where the scores come from.
        conditions: Part of the identity of each figure.
        prevalence: Share of positive examples for predictive values; None for that of the labels.
    """
    found = Predictions(
        make_logits(scores, are_probabilities=are_probabilities),
        np.asarray(labels, np.int64),
        tuple(class_names),
        None if groups is None else np.asarray(groups),
        source,
        conditions,
    )
    if reason := _find_obstacle(found):
        names = [name for name in NAMES if _applies(name, found, is_ordinal=is_ordinal)]
        return [found.make_missing(name, reason) for name in names]
    known = None
    if validation is not None:
        logits = make_logits(validation[0], are_probabilities=are_probabilities)
        known = replace(found, logits=logits, labels=np.asarray(validation[1], np.int64), groups=None)
    return [
        *make_discrimination_figures(found),
        *make_threshold_figures(found, known, prevalence),
        *make_decision_figures(found, is_ordinal=is_ordinal),
        *make_calibration_figures(found),
    ]


def _find_obstacle(found: Predictions) -> str:
    if not len(found.labels):
        return NO_EXAMPLE
    return "" if np.isfinite(found.logits).all() else NOT_FINITE


def _applies(name: str, found: Predictions, *, is_ordinal: bool) -> bool:
    """Tell whether a figure is made of answers like these."""
    if name == "test_absolute_error":
        return is_ordinal
    return found.is_binary or name not in ("test_specificity", "test_ppv", "test_npv", "test_calibration_intercept")
