"""Figures of a confusion matrix: counts (class, class), rows the truth, columns the decision."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlmi_bench.stats.linear import Units

Counts = NDArray[np.int64]
Metric = Callable[[NDArray[Any]], NDArray[np.float64]]  # (..., class, class) -> (...)

N_DRAWS, MIN_DRAWS, MAX_DRAWN = 2000, 200, 20_000_000
PRIOR = 2.0  # examples, shared by the classes


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


def compute_mcc(confusion: NDArray[Any]) -> NDArray[np.float64]:
    """Correlation of truth and decisions, of two or more classes; NaN where either is one class throughout.

    Source: J. Gorodkin, Computational Biology and Chemistry 28 (2004) 367-374.
    """
    truths, decisions, n = confusion.sum(-1) * 1.0, confusion.sum(-2) * 1.0, confusion.sum((-2, -1)) * 1.0
    shared = _diagonal(confusion).sum(-1) * n - (truths * decisions).sum(-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        below = (n**2 - (truths**2).sum(-1)) * (n**2 - (decisions**2).sum(-1))
        return np.asarray(shared / np.sqrt(below))


def draw_interval(
    confusion: Counts, metric: Metric, *, design: float = 1.0, alpha: float = 0.05
) -> tuple[float, float]:
    """Interval of sampling test examples, the number of each class kept; fixed seed.

    Shares of decisions are drawn from their posterior, class by class, with a prior of PRIOR / classes examples spread
    over the classes: Jeffreys' of two. Unlike resampled counts they vary where no mistake was seen. Quantiles are
    moved out for few examples, by t instead of normal ones, with as much freedom as the smallest class has examples.

    Args:
        design: Variance of sampling groups of examples over that of sampling examples; see `compute_design`.

    Source: L. D. Brown et al., Statistical Science 16 (2001) 101-133 (Jeffreys' interval); T. C. Hesterberg, American
    Statistician 69 (2015) 371-386 (expanded percentiles).
    """
    from scipy.special import ndtr, stdtrit

    rng, totals, n_classes = np.random.default_rng(0), confusion.sum(1), len(confusion)
    n_draws = int(np.clip(MAX_DRAWN / n_classes**2, MIN_DRAWS, N_DRAWS))
    drawn = rng.standard_gamma(confusion / design + PRIOR / n_classes**2, (n_draws, n_classes, n_classes))
    values = metric(drawn / np.maximum(drawn.sum(-1, keepdims=True), 1e-300) * totals[:, None])
    freedom = max(1.0, float(totals[totals > 0].min()) / design)
    lo = float(ndtr(-stdtrit(freedom, 1 - alpha / 2)))
    found = np.quantile(values[np.isfinite(values)], [lo, 1 - lo])
    return float(found[0]), float(found[1])


def compute_design(decisions: NDArray[np.int64], units: Units, metric: Metric) -> float:
    """Variance of a metric where groups of examples are sampled, over that where examples are; at least 1.

    Source: J. N. K. Rao, A. J. Scott, Biometrics 48 (1992) 577-585.
    """
    confusion = count_confusion(units.labels, decisions, units.n_classes)
    parts = _derive(confusion, metric)[units.labels, decisions]
    own = units.linearise(0.0, parts).variance
    alone = Units(units.labels, None, units.n_classes).linearise(0.0, parts).variance
    return max(1.0, own / alone) if alone > 0 else len(decisions) / units.n_units


def _derive(confusion: Counts, metric: Metric) -> NDArray[np.float64]:
    """Slope of the metric along each count, (class, class), the number of each class kept."""
    n_classes, step = len(confusion), 1e-4
    shares = confusion / np.maximum(confusion.sum(1), 1)[:, None]
    found = np.zeros(confusion.shape)
    for row in range(n_classes):
        moves = np.zeros((n_classes, n_classes, n_classes))
        moves[:, row] = np.eye(n_classes) - shares[row]
        found[row] = (metric(confusion + step * moves) - metric(confusion - step * moves)) / (2 * step)
    return np.nan_to_num(found)
