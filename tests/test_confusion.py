"""Figures of confusion matrices against hand calculations and scikit-learn's published definitions."""

import numpy as np
import pytest

from dlmi_bench.stats.confusion import (
    compute_balanced_accuracy,
    compute_macro_f1,
    compute_quadratic_kappa,
    count_confusion,
    draw_interval,
)

# truth: 10 of class 0, 20 of class 1, 10 of class 2
CONFUSION = np.array([[8, 2, 0], [4, 12, 4], [0, 5, 5]])


def test_counts_put_truth_in_rows() -> None:
    """Two of class 1 taken for class 0 stand in row 1, column 0."""
    found = count_confusion(np.array([0, 1, 1, 2]), np.array([0, 0, 0, 2]), 3)
    assert found.tolist() == [[1, 0, 0], [2, 0, 0], [0, 0, 1]]


def test_hand_calculations() -> None:
    """Recalls .8, .6, .5; F1 16/22, 24/39, 10/19; kappa from the weighted sums."""
    assert compute_balanced_accuracy(CONFUSION) == pytest.approx((0.8 + 0.6 + 0.5) / 3)
    assert compute_macro_f1(CONFUSION) == pytest.approx((16 / 22 + 24 / 39 + 10 / 19) / 3)
    # columns 12, 19, 9: expected = row x column / 40, weights 1 beside the diagonal and 4 in the corners
    observed = 2 + 4 + 4 + 5
    expected = (10 * 19 + 20 * 12 + 20 * 9 + 10 * 19) / 40 + 4 * (10 * 9 + 10 * 12) / 40
    assert compute_quadratic_kappa(CONFUSION) == pytest.approx(1 - observed / expected)


def test_balance_is_what_accuracy_lacks() -> None:
    """Whoever always names the largest class has a high accuracy, a balanced one at chance, and no kappa."""
    lazy = np.array([[90, 0, 0], [5, 0, 0], [5, 0, 0]])
    assert compute_balanced_accuracy(lazy) == pytest.approx(1 / 3)
    assert compute_quadratic_kappa(lazy) == pytest.approx(0.0)
    assert np.isnan(compute_quadratic_kappa(np.array([[7, 0], [0, 0]])))


def test_class_that_does_not_occur_does_not_count() -> None:
    """Two perfect classes and one that is missing from the test set: 1, not 2/3."""
    assert compute_balanced_accuracy(np.diag([3, 3, 0])) == 1.0
    assert compute_macro_f1(np.diag([3, 3, 0])) == 1.0


def test_interval_covers_as_it_says() -> None:
    """95 % intervals of balanced accuracy cover the truth in about 95 % of 300 simulated test sets."""
    rng = np.random.default_rng(1)
    shares, truth = CONFUSION / CONFUSION.sum(1)[:, None], (0.8 + 0.6 + 0.5) / 3
    n_covered = 0
    for _ in range(300):
        drawn = np.stack([rng.multinomial(100, share) for share in shares])
        lo, hi = draw_interval(drawn, compute_balanced_accuracy)
        n_covered += lo <= truth <= hi
    assert 275 <= n_covered <= 297
