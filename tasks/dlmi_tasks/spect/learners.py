"""Simple learners to compare the networks with: numpy and scipy, no randomness, small enough to read."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Features = NDArray[np.float64]  # (n, features)
Labels = NDArray[np.int64]
Predict = Callable[[Features], Labels]

LOGISTIC_C = 0.01  # inverse strength of the penalty, as the figures this project compares with


def fit_lda(features: Features, labels: Labels) -> Predict:
    """Linear discriminants: one covariance for all classes, equal priors."""
    classes = np.unique(labels)
    means = np.array([features[labels == c].mean(0) for c in classes])
    residuals = features - means[np.searchsorted(classes, labels)]
    covariance = residuals.T @ residuals / (len(labels) - len(classes))
    weights = np.linalg.lstsq(covariance, means.T, rcond=None)[0]  # scans that are all alike have no inverse
    offsets = -0.5 * np.einsum("kf,fk->k", means, weights)
    return lambda x: classes[(x @ weights + offsets).argmax(1)]


def fit_logistic(features: Features, labels: Labels, c: float = LOGISTIC_C) -> Predict:
    """Multinomial logistic regression on standardised features, squared penalty, L-BFGS."""
    from scipy.optimize import minimize

    classes = np.unique(labels)
    center, spread = features.mean(0), features.std(0)
    spread = np.where(spread > 0, spread, 1.0)
    x = (features - center) / spread
    onehot = (labels[:, None] == classes).astype(float)
    shape = (x.shape[1] + 1, len(classes))

    def compute_loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weights = flat.reshape(shape)
        log_p = _log_softmax(x @ weights[:-1] + weights[-1])
        error = np.exp(log_p) - onehot
        gradient = np.vstack([c * (x.T @ error) + weights[:-1], c * error.sum(0)])
        return float(-c * (onehot * log_p).sum() + 0.5 * (weights[:-1] ** 2).sum()), gradient.ravel()

    best = minimize(compute_loss, np.zeros(shape).ravel(), jac=True, method="L-BFGS-B", options={"maxiter": 300})
    weights = best.x.reshape(shape)
    return lambda new: classes[((new - center) / spread @ weights[:-1] + weights[-1]).argmax(1)]


def _log_softmax(scores: Features) -> Features:
    scores = scores - scores.max(1, keepdims=True)
    return np.asarray(scores - np.log(np.exp(scores).sum(1, keepdims=True)))


def fit_nearest(features: Features, labels: Labels) -> Predict:
    """The label of the nearest training example (Euclidean)."""
    squares = (features**2).sum(1)
    return lambda x: labels[(squares - 2 * x @ features.T).argmin(1)]


def compute_accuracy(predict: Predict, features: Features, labels: Labels) -> float:
    return float((predict(features) == labels).mean())
