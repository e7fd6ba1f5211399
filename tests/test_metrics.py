"""Figures of answers against hand calculations, scikit-learn and known worlds."""

import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dlmi_bench.metrics import compare_areas, describe_answers
from dlmi_bench.metrics.answers import NAMES, NOT_FINITE
from dlmi_bench.metrics.discrimination import bound_auc
from dlmi_bench.metrics.thresholds import NO_VALIDATION, fix_by_sensitivity, fix_by_specificity
from dlmi_bench.records import Figure
from dlmi_bench.selftest.worlds import Setting, World
from dlmi_bench.stats.calibration import estimate_calibration_error, estimate_shared_slope, estimate_slope
from dlmi_bench.stats.confusion import compute_balanced_accuracy, compute_design, compute_mcc, count_confusion
from dlmi_bench.stats.intervals import compute_wilson
from dlmi_bench.stats.linear import Linear, Units, bound_share
from dlmi_bench.stats.ranking import count_worth, rank_auc, rank_hand_till, rank_precision

Scores = NDArray[np.float64]
Labels = NDArray[np.int64]


def draw(n: int, n_classes: int, seed: int = 0, step: float = 0.0) -> tuple[Scores, Labels]:
    """Logits that favour the truth; rounded to `step`, so that there are ties."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, n_classes, n)
    scores = rng.standard_normal((n, n_classes))
    scores[np.arange(n), labels] += 1.2
    return (np.round(scores / step) * step if step else scores), labels


def describe(scores: Any, labels: Any, **more: Any) -> list[Figure]:
    names = tuple(f"c{i}" for i in range(scores.shape[1]))
    return describe_answers(scores, labels, **({"class_names": names, "source": "test", "conditions": {}} | more))


def find(figures: list[Figure], name: str, **conditions: str) -> Figure:
    return next(f for f in figures if f.name == name and all(f.conditions.get(k) == v for k, v in conditions.items()))


def test_auc_and_its_variance_by_hand() -> None:
    """3.5 of 6 pairs are right; placements 1, 3/4, 0 and 2/3, 1/2 give DeLong's variance."""
    is_positive = np.array([True, True, True, False, False])
    found = rank_auc(np.array([3.0, 2.0, 1.0, 1.5, 2.0]), is_positive)
    assert found.value == pytest.approx(3.5 / 6)
    variance = np.var([1, 0.75, 0], ddof=1) / 3 + np.var([2 / 3, 0.5], ddof=1) / 2
    own = Units(is_positive.astype(np.int64), None, 2).linearise(found.value, found.parts)
    assert own.variance == pytest.approx(variance)
    assert np.var(found.spread()) / 5 == pytest.approx(np.var([1, 0.75, 0]) / 3 + np.var([2 / 3, 0.5]) / 2)


def test_clustered_variance_by_hand() -> None:
    """Obuchowski's three sums, with groups that hold both classes, written out in loops."""
    rng = np.random.default_rng(1)
    scores, is_positive, groups = rng.standard_normal(40), rng.random(40) < 0.4, np.arange(40) // 4
    found = rank_auc(scores, is_positive)
    m, n = int(is_positive.sum()), int((~is_positive).sum())

    def win(x: float, y: float) -> float:
        return float(x > y) + 0.5 * (x == y)

    sums = {True: np.zeros(10), False: np.zeros(10)}
    for i in range(40):
        others = scores[is_positive != is_positive[i]]
        placed = np.mean([win(scores[i], x) if is_positive[i] else win(x, scores[i]) for x in others])
        sums[bool(is_positive[i])][groups[i]] += placed - found.value
    n_groups = {side: len(set(groups[is_positive == side])) for side in (True, False)}
    by_class = {side: n_groups[side] / (n_groups[side] - 1) * (sums[side] ** 2).sum() for side in sums}
    shared = 10 / 9 * (sums[True] * sums[False]).sum()
    expected = by_class[True] / m**2 + by_class[False] / n**2 + 2 * shared / (m * n)
    assert Units(is_positive.astype(np.int64), groups, 2).linearise(found.value, found.parts).variance == pytest.approx(
        expected
    )


@pytest.mark.parametrize("step", [0.0, 0.5], ids=["continuous", "ties"])
def test_points_are_those_of_scikit_learn(step: float) -> None:
    """Of two and of four classes, with and without ties."""
    metrics = pytest.importorskip("sklearn.metrics")
    scores, labels = draw(300, 2, step=step)
    figures, odds = describe(scores, labels), scores[:, 1] - scores[:, 0]
    chances = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    expected = {
        "test_auc": metrics.roc_auc_score(labels, odds),
        "test_auprc": metrics.average_precision_score(labels, odds),
        "test_log_loss": metrics.log_loss(labels, chances),
        "test_brier": metrics.brier_score_loss(labels, chances[:, 1]),
        "test_mcc": metrics.matthews_corrcoef(labels, scores.argmax(1)),
    }
    assert {name: find(figures, name).value for name in expected} == pytest.approx(expected)
    scores, labels = draw(300, 4, step=step)
    figures = describe(scores, labels)
    chances = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    expected = {
        "test_auc": metrics.roc_auc_score(labels, chances.round(12), multi_class="ovo", average="macro"),
        "test_auprc": metrics.average_precision_score(np.eye(4)[labels], chances.round(12), average="macro"),
        "test_log_loss": metrics.log_loss(labels, chances),
        "test_brier": ((chances - np.eye(4)[labels]) ** 2).sum(1).mean(),
        "test_mcc": metrics.matthews_corrcoef(labels, scores.argmax(1)),
    }
    assert {name: find(figures, name).value for name in expected} == pytest.approx(expected)
    of_class = metrics.roc_auc_score(labels == 2, chances[:, 2].round(12))
    assert find(figures, "test_auc", **{"class": "c2"}).value == pytest.approx(of_class)


def test_slope_and_intercept_are_those_of_scikit_learn() -> None:
    """Logistic regression without penalty on the log odds; the intercept makes the mean probability right."""
    linear = pytest.importorskip("sklearn.linear_model")
    scores, labels = draw(400, 2)
    odds = 3 * (scores[:, 1] - scores[:, 0]) + 1
    figures = describe(np.stack([np.zeros(400), odds], 1), labels)
    fitted = linear.LogisticRegression(C=np.inf, tol=1e-10).fit(odds[:, None], labels)
    assert find(figures, "test_calibration_slope").value == pytest.approx(fitted.coef_[0, 0], rel=1e-4)
    shift = find(figures, "test_calibration_intercept").value
    assert shift is not None
    assert (1 / (1 + np.exp(-odds - shift))).mean() == pytest.approx(labels.mean())


def test_slope_undoes_a_factor() -> None:
    """Logits five times as large have a fifth of the slope; of probabilities that nothing informs there is none."""
    scores, labels = draw(500, 3)
    units = Units(labels, None, 3)
    plain, large = (estimate_shared_slope(factor * scores, units) for factor in (1, 5))
    assert plain is not None
    assert large is not None
    assert plain.value / large.value == pytest.approx(5)
    assert plain.error / large.error == pytest.approx(5)
    assert estimate_shared_slope(np.zeros((500, 3)), units) is None
    assert estimate_slope(np.zeros(500), labels == 1, Units(np.minimum(labels, 1), None, 2)) is None


def test_copies_of_an_example_add_nothing() -> None:
    """Each example three times, as one group: the same values and bounds, but for what counts examples."""
    scores, labels = draw(120, 2, step=0.25)
    index = np.repeat(np.arange(120), 3)
    single, copied = describe(scores, labels), describe(scores[index], labels[index], groups=index)
    for name in ("test_auc", "test_auprc", "test_log_loss", "test_brier"):
        a, b = find(single, name), find(copied, name)
        assert (a.value, a.lo, a.hi) == pytest.approx((b.value, b.lo, b.hi), rel=1e-6), name
        assert (a.interval, b.interval) == (a.interval, a.interval.replace("examples", "groups of examples"))
    wide, narrow = find(copied, "test_mcc"), find(describe(scores[index], labels[index]), "test_mcc")
    assert wide.lo is not None and wide.hi is not None and narrow.lo is not None and narrow.hi is not None  # noqa: PT018
    assert (wide.hi - wide.lo) / (narrow.hi - narrow.lo) == pytest.approx(np.sqrt(3), rel=0.1)


def test_design_is_the_number_of_copies() -> None:
    """Four copies of each decision as one group carry a quarter of the information; single ones all of it."""
    scores, labels = draw(200, 3)
    index, decisions = np.repeat(np.arange(200), 4), scores.argmax(1)
    for metric in (compute_mcc, compute_balanced_accuracy):
        found = compute_design(decisions[index], Units(labels[index], index, 3), metric)
        assert found == pytest.approx(4, rel=0.03)
        assert compute_design(decisions, Units(labels, None, 3), metric) == 1


def test_share_of_groups() -> None:
    """Without groups it is Wilson's; of pairs that are right together Wilson's of half as many, with t for z."""
    is_hit = np.arange(100) < 80
    assert bound_share(is_hit, None) == pytest.approx(compute_wilson(80, 100))
    lo, hi = bound_share(np.repeat(is_hit, 2), np.repeat(np.arange(100), 2))
    assert (lo, hi) == pytest.approx(compute_wilson(80, 100, 1.9842), abs=1e-3)
    assert bound_share(np.full(40, True), np.arange(40) // 4) == pytest.approx(compute_wilson(10, 10, 2.2622), abs=1e-4)


def test_mcc_by_hand() -> None:
    """(6 x 3 - 1 x 2) / sqrt(8 x 7 x 4 x 5) for two classes; nothing where all is decided alike."""
    assert compute_mcc(np.array([[6, 1], [2, 3]])) == pytest.approx(16 / np.sqrt(8 * 7 * 4 * 5))
    assert np.isnan(compute_mcc(np.array([[5, 0], [5, 0]])))


def test_difference_of_areas() -> None:
    """Of 2 000 examples the bounds are DeLong's for pairs; p and bounds agree, also of three classes and of groups."""
    scores, labels = draw(2000, 2)
    other = scores + 0.25 * np.random.default_rng(1).standard_normal(scores.shape)
    a, b = (rank_auc(np.round(x[:, 1] - x[:, 0], 10), labels == 1) for x in (scores, other))
    found = compare_areas(scores, other, labels, class_names=("c0", "c1"))
    bounds = Units(labels, None, 2).linearise(a.value - b.value, a.parts - b.parts).compute_interval()
    assert (found.value, found.lo, found.hi) == pytest.approx((a.value - b.value, *(bounds or ())), abs=0.001)
    at_p = compare_areas(scores, other, labels, class_names=("c0", "c1"), alpha=found.p)
    assert at_p.lo == pytest.approx(0, abs=1e-6)
    index = np.repeat(np.arange(2000), 2)
    copied = compare_areas(scores[index], other[index], labels[index], class_names=("c0", "c1"), groups=index)
    assert (copied.lo, copied.hi) == pytest.approx((found.lo, found.hi), abs=1e-6)
    scores, labels = draw(300, 3)
    three = compare_areas(scores, scores[:, [1, 2, 0]], labels, class_names=("c0", "c1", "c2"))
    assert three.lo > 0
    assert three.p < 1e-6


def test_two_perfect_models_may_differ() -> None:
    """Both have an area of 1: the bounds hold 0 and more, and are narrower with more examples."""
    widths = []
    for n in (20, 2000):
        labels = np.arange(n) % 2
        scores = np.stack([-labels, labels], axis=1) * 1.0
        found = compare_areas(scores, 2 * scores, labels, class_names=("c0", "c1"))
        assert (found.value, found.p) == (0, pytest.approx(1))
        widths.append(found.hi - found.lo)
    assert 0 < widths[1] < 0.01 < 0.1 < widths[0]


def test_brier_parts_add_up() -> None:
    """Miscalibration less discrimination, plus that of the shares of the classes, is the score, of two and more."""
    for n_classes in (2, 3):
        scores, labels = draw(150, n_classes, step=0.5)
        figures = describe(scores, labels)
        brier, worse, better = (
            find(figures, f"test_brier{part}").value for part in ("", "_miscalibration", "_discrimination")
        )
        shares = np.bincount(labels) / 150
        uncertain = (shares * (1 - shares)).sum() / (2 if n_classes == 2 else 1)
        assert brier is not None
        assert worse is not None
        assert better is not None
        assert worse - better + uncertain == pytest.approx(brier)
        assert worse > 0 < better


def test_calibration_error_by_hand() -> None:
    """Ten bins of ten examples, probability .05 to .95, none right: the mean, .5, less what chance adds."""
    chances = np.repeat(np.arange(10) / 10 + 0.05, 10)
    found = estimate_calibration_error(chances, np.full(100, False), Units(np.zeros(100, np.int64), None, 1))
    assert found.plain == pytest.approx(0.5)
    chance = np.sqrt(2 / np.pi) * np.sqrt(chances * (1 - chances) * 10).reshape(10, 10)[:, 0].sum() / 100
    assert found.value == pytest.approx(0.5 - chance)


def test_thresholds_come_from_validation_alone() -> None:
    """Nine of ten negatives lie below the one, nine of ten positives reach the other; test scores move neither."""
    odds, is_positive = np.arange(20.0), np.arange(20) >= 10
    assert 8 < fix_by_specificity(odds, is_positive) < 8.001
    assert fix_by_sensitivity(odds, is_positive) == 11
    scores = np.stack([np.zeros(20), odds], 1)
    labels = is_positive.astype(np.int64)
    test = np.stack([np.zeros(4), np.array([7.0, 9.0, 8.5, 30.0])], 1)
    figures = describe(test, np.array([0, 0, 1, 1]), validation=(scores, labels))
    found = find(figures, "test_sensitivity", at="specificity 0.9"), find(figures, "test_specificity")
    assert [f.value for f in found] == [1.0, 1.0]
    assert found[1].conditions["at"] == "sensitivity 0.9"
    assert find(figures, "test_specificity", at="specificity 0.9").value == 0.5


def test_predictive_values_at_a_prevalence() -> None:
    """Sensitivity 1 and specificity 1/2 at 10 %: .1 / (.1 + .45); the default is the sample's share, and says so."""
    odds, labels = np.arange(20.0), (np.arange(20) >= 10).astype(np.int64)
    scores = np.stack([np.zeros(20), odds], 1)
    test, truth = np.stack([np.zeros(4), np.array([7.0, 9.0, 8.5, 30.0])], 1), np.array([0, 0, 1, 1])
    stated = find(describe(test, truth, validation=(scores, labels), prevalence=0.1), "test_ppv")
    assert stated.value == pytest.approx(0.1 / 0.55)
    own = find(describe(test, truth, validation=(scores, labels)), "test_ppv")
    assert (own.value, own.method) == (pytest.approx(2 / 3), "prevalence 0.5, the sample's own")
    assert own.lo is not None and own.hi is not None  # noqa: PT018
    assert 0 < own.lo < 2 / 3 < own.hi < 1


def test_probabilities_and_logits_are_one() -> None:
    """Probabilities give what their logits give."""
    scores, labels = draw(80, 3)
    chances = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    for a, b in zip(describe(scores, labels), describe(chances, labels, are_probabilities=True), strict=True):
        assert (a.name, a.value) == (b.name, pytest.approx(b.value)), a.name


@pytest.mark.parametrize(
    ("scores", "labels", "reason"),
    [
        (np.full((5, 2), np.nan), np.array([0, 1, 0, 1, 0]), NOT_FINITE),
        (np.zeros((0, 2)), np.zeros(0, np.int64), "no example"),
        (np.zeros((5, 2)), np.zeros(5, np.int64), "only one class"),
    ],
    ids=["not finite", "empty", "one class"],
)
def test_what_is_undefined_says_why(scores: Scores, labels: Labels, reason: str) -> None:
    """No figure is missing: each has a value or a reason."""
    figures = describe(scores, labels)
    assert {figure.name for figure in figures} == set(NAMES) - {"test_absolute_error"}
    assert reason in find(figures, "test_auc").reason


def test_one_example() -> None:
    """A single example has values without bounds, and no area."""
    figures = describe(np.array([[0.0, 1.0]]), np.array([1]), groups=np.array(["a"]))
    loss = find(figures, "test_log_loss")
    assert loss.value == pytest.approx(np.log1p(np.exp(-1)))
    assert (loss.lo, loss.hi) == (None, None)
    assert "single example" in loss.interval
    assert find(figures, "test_sensitivity").reason == NO_VALIDATION


def test_perfect_scores_are_not_certain() -> None:
    """An area of 1 has a lower bound, the lower the fewer examples; a slope of separated classes does not exist."""
    found = {}
    for n in (6, 200):
        labels = np.arange(n) % 2
        figures = describe(np.stack([-8.0 * labels, 8.0 * labels], 1), labels)
        area = find(figures, "test_auc")
        assert (area.value, area.hi) == (1.0, 1.0)
        found[n] = area.lo
        assert "separate" in find(figures, "test_calibration_slope").reason
    assert found[6] < 0.8 < 0.95 < found[200] < 1  # type: ignore[operator]


def test_worth_of_an_area() -> None:
    """The variance of normal scores: by simulation of an area of .8 with 30 and 60 examples."""
    rng, distance = np.random.default_rng(0), 1.190232
    areas = [
        rank_auc(np.concatenate([rng.normal(distance, 1, 30), rng.standard_normal(60)]), np.arange(90) < 30).value
        for _ in range(2000)
    ]
    assert 0.8 * 0.2 / np.var(areas) == pytest.approx(count_worth(0.8, 30, 60), rel=0.1)


def test_ordered_classes_have_a_distance() -> None:
    """One of four is two classes off: half a class on average."""
    scores = np.eye(3)[[0, 1, 2, 2]]
    figure = find(describe(scores, np.array([0, 1, 2, 0]), is_ordinal=True), "test_absolute_error")
    assert figure.value == 0.5
    assert figure.lo is not None
    assert figure.lo > 0


def test_intervals_of_a_clustered_world_are_wider() -> None:
    """Pairs that share half of their variance: knowing the groups widens the area's bounds by a fifth or so."""
    setting = Setting(600, 0.5, is_clustered=True)
    rng, ratios = np.random.default_rng(3), []
    for _ in range(20):
        world = World.draw(setting, rng)
        found, labels = rank_auc(world.draw_odds(rng), world.labels == 1), world.labels
        own, alone = (bound_auc(found, Units(labels, g, 2)) for g in (world.groups, None))
        assert own is not None
        assert alone is not None
        ratios.append((own[1] - own[0]) / (alone[1] - alone[0]))
    assert 1.1 < np.mean(ratios) < 1.4


def test_parts_predict_what_leaving_one_out_changes() -> None:
    """The parts of each figure by ranks are what the jackknife finds, to the first order."""
    scores, labels = draw(200, 3)
    for value, parts, again in (
        (*_unpack(rank_auc(scores[:, 0], labels == 0)), lambda k: rank_auc(scores[k, 0], labels[k] == 0).value),
        (
            *_unpack(rank_precision(scores[:, 0], labels == 0)),
            lambda k: rank_precision(scores[k, 0], labels[k] == 0).value,
        ),
        (*_unpack(rank_hand_till(scores, labels)), lambda k: rank_hand_till(scores[k], labels[k]).value),
    ):
        left = np.array([value - again(np.arange(200) != i) for i in range(0, 200, 5)])
        for is_own in (labels[::5] == 0, labels[::5] != 0):  # a class that loses one moves the prevalence as well
            assert np.corrcoef(left[is_own], parts[::5][is_own])[0, 1] > 0.97


def _unpack(found: Any) -> tuple[float, Scores]:
    return found.value, found.parts


def test_no_torch_is_imported() -> None:
    """The way in needs neither torch nor pandas."""
    code = (
        "import sys, json, dlmi_bench.metrics; print(json.dumps([m for m in ('torch', 'pandas') if m in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert json.loads(done.stdout) == []


def test_interval_of_log_is_symmetric_in_ratio() -> None:
    """lo x hi = value squared; without a spread there is none."""
    bounds = Linear(2.0, 0.04, 10, 11).compute_log_interval()
    assert bounds is not None
    assert bounds[0] * bounds[1] == pytest.approx(4)
    assert Linear(2.0, 0.04, 10, 1).compute_log_interval() is None


def test_confusion_counts_agree() -> None:
    """The figure of decisions is that of the counted confusion."""
    scores, labels = draw(60, 3)
    expected = compute_mcc(count_confusion(labels, scores.argmax(1), 3))
    assert find(describe(scores, labels), "test_mcc").value == pytest.approx(expected)
