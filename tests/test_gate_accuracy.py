"""The rules of the accuracy gate, one by one."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlmi_bench.gating.accuracy.convergence import Effort
from dlmi_bench.gating.accuracy.decision import (
    AccuracyVerdict,
    Limits,
    decide,
    judge_convergence,
    judge_recipe,
    judge_weights,
)
from dlmi_bench.gating.accuracy.difference import AccuracyDifference
from dlmi_bench.gating.accuracy.evidence import ExampleSet, PredictedClasses, Runs

N = 2000
SET = ExampleSet("a" * 64, "b" * 64, N)
LABELS = np.arange(N) % 10


def make_answers(*, n_wrong: int = 0, start: int = 0) -> PredictedClasses:
    """Right answers but for `n_wrong` neighbours from `start` on."""
    predictions = LABELS.copy()
    predictions[start : start + n_wrong] = (predictions[start : start + n_wrong] + 1) % 10
    return PredictedClasses(SET, predictions)


def judge(baseline: PredictedClasses, candidate: PredictedClasses, limits: Limits | None = None) -> AccuracyVerdict:
    return judge_weights(baseline, candidate, LABELS, 10, limits or Limits())


def make_runs(*shares: float, first_seed: int = 0) -> Runs:
    """One run for each share of right answers; runs err on the last examples."""
    correct = {first_seed + i: np.arange(N) < share * N for i, share in enumerate(shares)}
    return Runs(SET, tuple(correct), correct)


GOOD = (0.960, 0.961, 0.959, 0.962, 0.958)


@pytest.mark.parametrize(
    ("lost", "gained", "verdict"),
    [
        (0, 0, "SAME"),
        (4, 4, "PASS"),
        (0, 12, "IMPROVED"),
        (60, 0, "REGRESSED"),
        (18, 2, "INCONCLUSIVE"),
        (0, 90, "SUSPICIOUS_IMPROVEMENT"),
    ],
)
def test_same_weights(lost: int, gained: int, verdict: str) -> None:
    """Each balance of lost and gained examples of 2000 gets its verdict at a margin of one point."""
    baseline = make_answers(n_wrong=gained, start=1000)
    candidate = make_answers(n_wrong=lost)
    assert judge(baseline, candidate).verdict == verdict


def test_bounds_decide_not_the_value() -> None:
    """A loss of .8 points that may be 1.3 does not pass a margin of one, and one of 1.2 that may be .8 is no red."""
    assert judge(make_answers(), make_answers(n_wrong=16)).verdict == "INCONCLUSIVE"
    assert judge(make_answers(), make_answers(n_wrong=24)).verdict == "INCONCLUSIVE"


def test_bounds_decide_on_gains_too() -> None:
    """A gain of .1 points that may be none is no improvement, and one of 2.2 that may be 1.7 is not suspicious."""
    assert judge(make_answers(n_wrong=4, start=1000), make_answers(n_wrong=2)).verdict == "PASS"
    assert judge(make_answers(n_wrong=44), make_answers()).verdict == "IMPROVED"


def test_changed_answers_are_not_the_same() -> None:
    """Other wrong answers at equal accuracy pass, and are counted instead of being called the same."""
    baseline = make_answers(n_wrong=5)
    other = replace(baseline, predictions=np.where(baseline.predictions != LABELS, (LABELS + 2) % 10, LABELS))
    judged = judge(baseline, other)
    assert (judged.verdict, judged.n_changed) == ("PASS", 5)
    assert judged.difference is not None
    assert (judged.difference.psi, judged.difference.value) == (0, 0)


@given(st.integers(0, 300))
def test_identical_answers_are_the_same(n_wrong: int) -> None:
    """Identical predictions are SAME at any accuracy, with an interval around 0, in both modes."""
    answers = make_answers(n_wrong=n_wrong)
    runs = make_runs(*(share - n_wrong / N for share in GOOD))
    for judged in (judge(answers, answers), judge_recipe(runs, runs, Limits())):
        assert judged.verdict == "SAME"
        assert judged.difference is not None
        assert judged.difference.lo <= 0 <= judged.difference.hi


def test_unresolvable_margin_is_refused() -> None:
    """20 lost and 20 gained of 2000 cannot resolve half a point; the reason names the 6 868 examples that would."""
    judged = judge(make_answers(n_wrong=20), make_answers(n_wrong=20, start=500), Limits(margin=0.005))
    assert judged.verdict == "INCONCLUSIVE"
    assert "needs 6868 examples, there are 2000" in judged.reason
    assert judge(make_answers(n_wrong=20), make_answers(n_wrong=20, start=500)).verdict == "PASS"


def test_refusal_withholds_approval_and_hides_no_loss() -> None:
    """A refused margin turns PASS and IMPROVED into INCONCLUSIVE; REGRESSED and SUSPICIOUS_IMPROVEMENT stand."""
    limits = Limits(margin=0.001)

    def verdict_of(lo: float, hi: float) -> str:
        return decide(AccuracyDifference((lo + hi) / 2, lo, hi, psi=0.1, n_examples=2000), limits)[0]

    verdicts = [verdict_of(*b) for b in ((-0.0005, 0.01), (0.001, 0.01), (-0.3, -0.2), (0.2, 0.3))]
    assert verdicts == ["INCONCLUSIVE", "INCONCLUSIVE", "REGRESSED", "SUSPICIOUS_IMPROVEMENT"]


@pytest.mark.parametrize(
    ("change", "word"),
    [({"images_sha256": "c" * 64}, "images"), ({"labels_sha256": "c" * 64}, "labels"), ({"n_examples": 7}, "number")],
)
def test_other_test_sets_are_incomparable(change: dict[str, str | int], word: str) -> None:
    """Other images, labels or numbers of examples are INCOMPARABLE in both modes, with the reason."""
    other = replace(SET, **change)
    answers, runs = make_answers(), make_runs(*GOOD)
    for judged in (
        judge(answers, replace(answers, examples=other)),
        judge_recipe(runs, replace(runs, examples=other), Limits()),
    ):
        assert judged.verdict == "INCOMPARABLE"
        assert word in judged.reason


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -1, 10, 2.5])
@pytest.mark.parametrize("side", ["baseline", "candidate", "labels"])
def test_answers_that_are_no_class_are_invalid(bad: float, side: str) -> None:
    """NaN, infinity, a negative or too large class and half a class are INVALID wherever they stand."""
    spoilt = LABELS.astype(float)
    spoilt[3] = bad
    arrays = {"baseline": LABELS, "candidate": LABELS, "labels": LABELS} | {side: spoilt}
    judged = judge_weights(
        PredictedClasses(SET, arrays["baseline"]),
        PredictedClasses(SET, arrays["candidate"]),
        arrays["labels"],
        10,
        Limits(),
    )
    assert judged.verdict == "INVALID"
    assert judged.reason.startswith(side)


@pytest.mark.parametrize("predictions", [LABELS[:-1], LABELS[:, None], LABELS.astype(str)])
def test_malformed_answers_are_invalid(predictions: np.ndarray) -> None:
    """A missing answer, another shape or text is INVALID, even on both sides."""
    assert judge(PredictedClasses(SET, predictions), PredictedClasses(SET, predictions)).verdict == "INVALID"


def test_no_examples_are_invalid() -> None:
    """Nothing judged is not a pass."""
    empty = PredictedClasses(replace(SET, n_examples=0), LABELS[:0])
    assert judge_weights(empty, empty, LABELS[:0], 10, Limits()).verdict == "INVALID"


@pytest.mark.parametrize(
    ("losses", "verdict"),
    [(0.001, "PASS"), (0.03, "REGRESSED"), (-0.004, "IMPROVED"), (0.009, "INCONCLUSIVE"), (-0.03, "SUSPICIOUS")],
)
def test_recipes(losses: float, verdict: str) -> None:
    """Each loss of accuracy over five tight seeds gets its verdict at a margin of one point."""
    judged = judge_recipe(make_runs(*GOOD), make_runs(*(s - losses for s in GOOD), first_seed=50), Limits())
    assert judged.verdict.startswith(verdict)


def test_missing_and_undeclared_seeds_are_invalid() -> None:
    """A declared seed without a run, a run without declaration and a seed declared twice are INVALID on either side."""
    runs = make_runs(*GOOD, 0.96)
    missing = replace(runs, correct={s: c for s, c in runs.correct.items() if s != 2})
    extra = replace(runs, declared=runs.declared[:-1])
    twice = replace(runs, declared=(*runs.declared, 0))
    for bad, word in ((missing, r"missing [2]"), (extra, "not declared [5]"), (twice, "twice")):
        for pair in ((runs, bad), (bad, runs)):
            judged = judge_recipe(*pair, Limits())
            assert judged.verdict == "INVALID"
            assert word in judged.reason


def test_four_seeds_are_not_enough() -> None:
    """With four seeds on either side a recipe is INVALID, however clear the difference."""
    few = make_runs(0.5, 0.5, 0.5, 0.5)
    assert judge_recipe(make_runs(*GOOD), few, Limits()).verdict == "INVALID"
    assert judge_recipe(few, make_runs(*GOOD), Limits()).verdict == "INVALID"


def test_nan_in_one_run_is_invalid() -> None:
    """Correctness that is neither 0 nor 1 makes the recipe INVALID and names the seed."""
    runs = make_runs(*GOOD)
    spoilt = replace(runs, correct={**runs.correct, 3: np.full(N, np.nan)})
    judged = judge_recipe(runs, spoilt, Limits())
    assert (judged.verdict, "seed 3" in judged.reason) == ("INVALID", True)


def test_convergence() -> None:
    """Twice as fast with five clean runs is suspicious; 1.4 x, slower, too few runs or a time of zero are not a red."""
    times = np.array([20.0, 22, 24, 26, 28])

    def verdict_of(candidate: np.ndarray) -> str:
        runs = [[Effort(t, True) for t in side] for side in (times, candidate)]
        return judge_convergence(*runs, Limits(max_speedup=1.5)).verdict

    assert verdict_of(times / 2.5) == "SUSPICIOUS_IMPROVEMENT"
    assert verdict_of(times / 1.4) == "PASS"
    assert verdict_of(times * 3) == "PASS"
    assert verdict_of(times[:4] / 9) == "INVALID"
    assert verdict_of(times * 0) == "INVALID"
    assert verdict_of(times * np.nan) == "INVALID"


@pytest.mark.parametrize("change", [{"margin": 0}, {"margin": float("nan")}, {"max_gain": 0}, {"max_speedup": 0.5}])
def test_limits_that_cannot_be_are_refused(change: dict[str, float]) -> None:
    """A margin of zero or NaN, no gain allowed, or a speed-up below one is an error, not a verdict."""
    with pytest.raises(ValueError):
        Limits(**change)
