"""Subgroups: figures, differences from all others, and one correction for all of them."""

import numpy as np
import pytest
from numpy.typing import NDArray

from dlmi_bench.metrics import compare_subgroups
from dlmi_bench.metrics.subgroups import N_FEWEST, Measure
from dlmi_bench.stats.intervals import compute_wilson
from dlmi_bench.stats.ranking import rank_auc

NAMES = ("without", "with")


def draw(
    rng: np.random.Generator, n: int, distance: NDArray[np.float64] | float
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    labels = np.arange(n) % 2
    odds = rng.standard_normal(n) + distance * (labels - 0.5)
    return np.stack([np.zeros(n), odds], axis=1), labels


def test_rows_by_hand() -> None:
    """Value and interval are those of the subgroup alone; the difference is from all others, by Newcombe's rule."""
    rng = np.random.default_rng(0)
    scores, labels = draw(rng, 120, 1.5)
    sites = np.repeat(["a", "b", "c"], [60, 40, 20])
    rows = compare_subgroups(scores, labels, sites, class_names=NAMES, measure="test_accuracy")
    assert [(row.name, row.n) for row in rows] == [("a", 60), ("b", 40), ("c", 20)]
    is_right = scores.argmax(1) == labels
    first = rows[0]
    own, rest = is_right[:60], is_right[60:]
    assert first.value == pytest.approx(own.mean())
    assert (first.lo, first.hi) == pytest.approx(compute_wilson(own.sum(), 60))
    assert first.difference == pytest.approx(own.mean() - rest.mean())
    z = 2.3939798  # of 1.67 % for three subgroups together
    (lo, hi), (low, high) = compute_wilson(own.sum(), 60, z), compute_wilson(rest.sum(), 60, z)
    assert first.difference_lo == pytest.approx(first.difference - np.hypot(own.mean() - lo, high - rest.mean()))
    assert first.difference_hi == pytest.approx(first.difference + np.hypot(hi - own.mean(), rest.mean() - low))


def test_area_of_a_subgroup_and_classes() -> None:
    """The area is that of the subgroup's own examples; three classes have Hand and Till's."""
    rng = np.random.default_rng(1)
    scores, labels = draw(rng, 100, 1.5)
    sexes = np.repeat(["f", "m"], 50)
    rows = compare_subgroups(scores, labels, sexes, class_names=NAMES)
    assert rows[1].value == pytest.approx(rank_auc(scores[50:, 1], labels[50:] == 1).value)
    assert rows[0].difference == pytest.approx(-rows[1].difference)  # type: ignore[operator]
    assert rows[0].p == rows[1].p
    three = compare_subgroups(
        rng.standard_normal((90, 3)), np.arange(90) % 3, np.repeat(["f", "m"], 45), class_names="abc"
    )
    assert all(row.value is not None and 0.2 < row.value < 0.8 for row in three)


def test_small_subgroups_say_so() -> None:
    """One class of nine says nothing, and is no part of the correction; alone, there is nothing to compare with."""
    rng = np.random.default_rng(2)
    scores, labels = draw(rng, 118, 1.5)
    sites = np.repeat(["a", "b", "c"], [60, 40, 18])
    rows = compare_subgroups(scores, labels, sites, class_names=NAMES)
    assert (rows[2].value, rows[2].p, rows[2].n) == (None, None, 18)
    assert rows[2].reason == f"too small: 9 examples of a class, {N_FEWEST} are needed"
    assert rows[0].p is not None
    (alone,) = compare_subgroups(scores, labels, ["all"] * 118, class_names=NAMES)
    assert alone.value is not None
    assert alone.p is None
    assert "all others: too small: 0" in alone.reason


@pytest.mark.parametrize("measure", ["test_auc", "test_balanced_accuracy", "test_sensitivity", "test_specificity"])
def test_worse_subgroup_is_found(measure: Measure) -> None:
    """Of four sites of 200 one is much worse: it alone differs after correction, and its bounds leave 0 out."""
    rng = np.random.default_rng(3)
    sites = np.repeat(list("abcd"), 200)
    scores, labels = draw(rng, 800, np.where(sites == "c", 0.8, 3.0))
    rows = compare_subgroups(scores, labels, sites, class_names=NAMES, measure=measure)
    worst = min(rows, key=lambda row: row.p or 0)
    assert worst.name == "c"
    assert worst.p is not None
    assert worst.p < 1e-3
    assert worst.difference_hi is not None
    assert worst.difference_hi < 0


@pytest.mark.parametrize("measure", ["test_auc", "test_accuracy"])
def test_equal_subgroups_are_rarely_called_different(measure: Measure) -> None:
    """Of 100 worlds without a difference, with pairs of examples, few have any at 5 % after correction."""
    n_wrong = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        groups = np.arange(160) // 2
        common = rng.standard_normal(80)[groups]
        labels = groups % 2
        odds = 1.5 * (labels - 0.5) + 0.8 * common + 0.6 * rng.standard_normal(160)
        scores = np.stack([np.zeros(160), odds], axis=1)
        sites = np.array(list("abcd"))[groups // 20]
        rows = compare_subgroups(scores, labels, sites, class_names=NAMES, measure=measure, groups=groups)
        n_wrong += any(row.p is not None and row.p <= 0.05 for row in rows)
    assert n_wrong <= 10


def test_p_and_bounds_agree() -> None:
    """Of two subgroups the smaller p-value, uncorrected, is at the level at which the bounds touch 0."""
    rng = np.random.default_rng(5)
    sites = np.repeat(["a", "b"], 100)
    scores, labels = draw(rng, 200, np.where(sites == "a", 1.0, 2.0))
    first, _ = compare_subgroups(scores, labels, sites, class_names=NAMES)
    assert first.p is not None
    again, _ = compare_subgroups(scores, labels, sites, class_names=NAMES, alpha=first.p)
    assert again.difference_hi is not None
    assert again.difference_hi == pytest.approx(0, abs=1e-6)
