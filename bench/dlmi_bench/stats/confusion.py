"""Figures of a confusion matrix: counts (class, class), rows the truth, columns the decision."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]
Metric = Callable[[NDArray[Any]], NDArray[np.float64]]  # (..., class, class) -> (...)

N_RESAMPLES = 2000


def count_confusion(labels: NDArray[np.int64], decisions: NDArray[np.int64], n_classes: int) -> Counts:
    """Counts of each predicted class for each true class."""
    flat = np.bincount(labels * n_classes + decisions, minlength=n_classes**2)
    return flat.reshape(n_classes, n_classes).astype(np.int64)


def compute_balanced_accuracy(confusion: NDArray[Any]) -> NDArray[np.float64]:
    """Mean over the classes that occur of the share of each that was recognised."""
    return _mean_over_classes(confusion, _diagonal(confusion), confusion.sum(-1))


def compute_macro_f1(confusion: NDArray[Any]) -> NDArray[np.float64]:
    """Mean over the classes that occur of 2 TP / (2 TP + FP + FN)."""
    return _mean_over_classes(confusion, 2 * _diagonal(confusion), confusion.sum(-1) + confusion.sum(-2))


def compute_quadratic_kappa(confusion: NDArray[Any]) -> NDArray[np.float64]:
    """Agreement beyond chance with weights that grow with the square of the distance between ordered classes.

    NaN where truth and decisions are one and the same class throughout. Source: J. Cohen, Psychological Bulletin 70
    (1968).
    """
    places = np.arange(confusion.shape[-1])
    weights = (places[:, None] - places) ** 2
    total = confusion.sum((-2, -1))
    expected = confusion.sum(-1)[..., :, None] * confusion.sum(-2)[..., None, :] / total[..., None, None]
    with np.errstate(invalid="ignore"):
        return np.asarray(1 - (weights * confusion).sum((-2, -1)) / (weights * expected).sum((-2, -1)))


def _diagonal(confusion: NDArray[Any]) -> NDArray[Any]:
    return np.diagonal(confusion, axis1=-2, axis2=-1)


def _mean_over_classes(confusion: NDArray[Any], above: NDArray[Any], below: NDArray[Any]) -> NDArray[np.float64]:
    occurs = confusion.sum(-1) > 0
    return np.asarray((above / np.maximum(below, 1) * occurs).sum(-1) / occurs.sum(-1))


def bootstrap_interval(confusion: Counts, metric: Metric, *, alpha: float = 0.05) -> tuple[float, float]:
    """Interval of sampling test examples, the number of each class kept; fixed seed.

    Bias-corrected percentiles, moved out for few examples: by t instead of normal quantiles, with the freedom of the
    smallest class, and by the n of each class that the redrawing loses to its own mean. Plain percentiles of a kappa
    of 120 examples hold the truth in 92 %.

    Source: B. Efron, Canadian Journal of Statistics 9 (1981) 139-172 (bias); T. C. Hesterberg, American Statistician 69
    (2015) 371-386 (expanded percentiles).
    """
    from scipy.special import ndtr, ndtri, stdtrit

    rng = np.random.default_rng(0)
    totals = confusion.sum(1)
    shares = confusion / np.maximum(totals, 1)[:, None]
    rows = [rng.multinomial(n, share, N_RESAMPLES) for n, share in zip(totals, shares, strict=True)]
    values = metric(np.stack(rows, axis=1))
    values = values[np.isfinite(values)]
    occurring = totals[totals > 0]
    freedom = max(1, int(occurring.min()) - 1)
    z = stdtrit(freedom, 1 - alpha / 2) * np.sqrt(totals.sum() / max(1, totals.sum() - len(occurring)))
    value = float(metric(confusion))
    below = (np.mean(values < value) + np.mean(values <= value)) / 2
    shift = ndtri(np.clip(below, 1 / N_RESAMPLES, 1 - 1 / N_RESAMPLES))
    lo, hi = np.quantile(values, ndtr(2 * shift + np.array([-z, z])))
    return float(lo), float(hi)
