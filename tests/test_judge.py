"""Judging predictions that others made: accuracies, pairs, groups, claims, reports, and the command itself."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import dlmi_bench as db
from dlmi_bench.errors import UsageError
from dlmi_bench.stats.clusters import sum_by_group
from dlmi_bench.stats.estimates import (
    estimate_accuracy,
    estimate_difference,
)
from dlmi_bench.stats.reported import estimate_apart
from stand_ins import Command


def make_cases(n: int = 400, seed: int = 0, **accuracies: float) -> pd.DataFrame:
    """Answers that are right on the cases that are easy enough, with some noise of each algorithm."""
    rng = np.random.default_rng(seed)
    truth, ease = rng.integers(0, 2, n), rng.normal(size=n)
    columns = {"case_id": [f"c{i}" for i in range(n)], "ground_truth": truth}
    for name, accuracy in accuracies.items():
        own = 0.95 * ease + np.sqrt(1 - 0.95**2) * rng.normal(size=n)
        columns[name] = np.where(own > stats.norm.ppf(1 - accuracy), truth, 1 - truth)
    return pd.DataFrame(columns)


def test_accuracy_and_difference_of_networks_are_the_hand_formulas() -> None:
    """One set of answers each: examples alone vary, by Agresti and Coull, and Bonett and Price."""
    rng = np.random.default_rng(1)
    a, b = (rng.random((1, 60)) < share for share in (0.8, 0.7))
    a, b = a.astype(float), b.astype(float)
    found = estimate_accuracy(a)
    padded = np.concatenate([a[0], [1, 1, 0, 0]])
    assert (found.value, found.freedom) == (a.mean(), 63)
    assert found.error == pytest.approx(stats.sem(padded))
    difference = estimate_difference(a, b, is_paired=False)
    shift = np.concatenate([a[0] - b[0], [1, -1]])
    half = stats.t.ppf(0.975, 61) * stats.sem(shift)
    assert difference.compute_interval(0.05) == pytest.approx((a.mean() - b.mean() - half, a.mean() - b.mean() + half))


def test_accuracies_without_answers_are_two_samples() -> None:
    found = estimate_apart((0.9, 100), (0.8, 50))
    shares, sizes = np.array([91 / 102, 41 / 52]), np.array([102, 52])
    assert found.value == pytest.approx(0.1)
    assert found.error == pytest.approx(np.sqrt((shares * (1 - shares) / sizes).sum()))


def test_groups_are_units_of_the_mean_and_its_error() -> None:
    """The mean of each row stays; the variance is that of a ratio over clusters."""
    rng = np.random.default_rng(2)
    groups = np.repeat(np.arange(30), rng.integers(1, 9, 30))
    table = (rng.random((3, len(groups))) < np.repeat(rng.random(30), np.bincount(groups))).astype(float)
    summed = sum_by_group(table, groups)
    assert summed.shape == (3, 30)
    assert summed.mean(1) == pytest.approx(table.mean(1))
    sums, sizes = np.bincount(groups, table[0]), np.bincount(groups)
    residuals = sums - table[0].mean() * sizes
    by_hand = 30 / 29 * (residuals**2).sum() / len(groups) ** 2
    assert sum_by_group(table[:1], groups).var(ddof=1) / 30 == pytest.approx(by_hand)
    assert sum_by_group(table, np.arange(len(groups))) == pytest.approx(table)


def test_intervals_of_grouped_cases_cover() -> None:
    """95 % of 400 worlds in which a patient's five images are alike; as independent cases they cover far less."""
    rng, hits, naive = np.random.default_rng(4), 0, 0
    groups = np.repeat(np.arange(60), 5)
    for _ in range(400):
        table = (rng.random((1, 300)) < np.repeat(rng.beta(4, 1, 60), 5)).astype(float)
        for is_grouped in (True, False):
            used = sum_by_group(table, groups) if is_grouped else table
            lo, hi = estimate_accuracy(used).compute_interval(0.05)
            hits, naive = hits + (is_grouped and lo <= 0.8 <= hi), naive + (not is_grouped and lo <= 0.8 <= hi)
    assert hits >= 0.93 * 400 > naive + 10


def test_the_best_the_equal_and_the_open_are_told() -> None:
    """Of answers with known truth: far apart is better, a copy is alike, and close ones are open."""
    cases = make_cases(4000, best=0.95, worse=0.8)
    cases["copy"] = cases["best"]
    cases.loc[:3, "copy"] = 1 - cases.loc[:3, "copy"]
    found = db.judge(cases, margin=0.01)
    verdicts = {(p.first, p.second): p.verdict for p in found.content.pairs}
    assert verdicts == {("best", "copy"): "alike", ("best", "worse"): "better", ("copy", "worse"): "better"}
    assert next(iter(found.content.accuracies)) == "best"
    close = db.judge(make_cases(100, a=0.85, b=0.8))
    assert [row["verdict"] for row in close.rows] == ["open"]
    assert "examples would decide" in str(close)
    assert found.content.exit_code == close.content.exit_code == 0


def test_equal_answers_are_no_difference() -> None:
    """Ties: neither is better, and no interval is empty."""
    cases = make_cases(300, a=0.8).assign(b=lambda frame: frame["a"])
    (pair,) = db.judge(cases).content.pairs
    assert (pair.is_better, pair.difference[:2]) == (False, "0 ")


@pytest.mark.parametrize("n", [1, 2, 3])
def test_few_cases_decide_nothing(n: int) -> None:
    cases = pd.DataFrame({"case_id": range(n), "ground_truth": [0, 1, 0][:n], "a": [0, 1, 0][:n], "b": [1, 0, 1][:n]})
    (pair,) = db.judge(cases).content.pairs
    assert pair.verdict == "open"


def test_wrong_verdicts_are_rare_where_all_are_equal() -> None:
    """Of 50 worlds with four equal algorithms, about 5 % hold a wrong `better` anywhere."""
    wrong = 0
    for seed in range(50):
        pairs = db.judge(make_cases(150, seed, a=0.8, b=0.8, c=0.8, d=0.8)).content.pairs
        wrong += any(pair.is_better for pair in pairs)
    assert wrong <= stats.binom.ppf(0.999, 50, 0.05)


def test_seeds_say_more_than_networks() -> None:
    """With seeds the spread over trainings counts, and seeds are among what would decide."""
    one, two = make_cases(500, a=0.85, b=0.8), make_cases(500, 7, a=0.85, b=0.8)
    seeds = {f"{name}@{i}": frame[name] for i, frame in ((1, one), (2, one), (3, one)) for name in "ab"}
    rng = np.random.default_rng(0)
    cases = pd.DataFrame({"case_id": range(500), "ground_truth": one["ground_truth"], **seeds})
    for name in seeds:
        flipped = rng.random(500) < 0.05
        cases.loc[flipped, name] = 1 - cases.loc[flipped, name]
    found = db.judge(cases)
    assert found.content.accuracies["a"].n_seeds == 3
    assert not any("One set of answers" in note for note in found.content.notes)
    assert any("One set of answers" in note for note in db.judge(two).content.notes)


def test_results_are_kept_for_the_other_commands(tmp_path: Path) -> None:
    """The same again adds nothing; other answers are refused there."""
    cases = make_cases(300, a=0.9, b=0.7)
    found = db.judge(cases, out=tmp_path / "out", name="lungs")
    assert db.judge_claims(tmp_path / "out").content.exit_code == found.content.verdicts.exit_code
    again = db.judge(cases, out=tmp_path / "out", name="lungs")
    assert str(again) == str(found)
    assert len(db.load_results(tmp_path / "out").content.records) == 2
    with pytest.raises(UsageError, match="holds other results"):
        db.judge(make_cases(300, 1, a=0.9, b=0.7), out=tmp_path / "out", name="lungs")


CLAIM = """
[[claim]]
id = "a-not-worse"
kind = "non_inferior"
task = "{task}"
model = "{model}"
against = ["b"]
margin = 0.05
sentence = "a is at most 5 points less accurate than b."
source = "a paper"
"""


def test_the_command_judges_claims_and_writes_a_report(command: Command, tmp_path: Path) -> None:
    make_cases(2000, a=0.9, b=0.85).to_csv(tmp_path / "lungs.csv", index=False)
    (tmp_path / "claims.toml").write_text(CLAIM.format(task="lungs", model="a"))
    done = command("judge", "lungs.csv", "--claims", "claims.toml", "--report", "page")
    assert (done.returncode, done.stderr) == (0, "")
    assert "SUPPORTED     a-not-worse" in done.stdout
    page = (tmp_path / "page" / "report.html").read_text()
    assert "reported by others" in page
    assert "trained or measured here" in page
    (tmp_path / "claims.toml").write_text(CLAIM.format(task="lungs", model="b").replace('["b"]', '["a"]'))
    assert command("judge", "lungs.csv", "--claims", "claims.toml").returncode in (10, 11)


@pytest.mark.parametrize(("task", "model", "said"), [("lung", "a", "no task 'lung'"), ("lungs", "A", "no algorithm")])
def test_claims_about_something_else_are_refused(
    command: Command, tmp_path: Path, task: str, model: str, said: str
) -> None:
    make_cases(50, a=0.9, b=0.85).to_csv(tmp_path / "lungs.csv", index=False)
    (tmp_path / "claims.toml").write_text(CLAIM.format(task=task, model=model))
    done = command("judge", "lungs.csv", "--claims", "claims.toml")
    assert (done.returncode, said in done.stderr) == (2, True)


def test_json_is_what_its_schema_says(command: Command, tmp_path: Path) -> None:
    cases = make_cases(300, a=0.9, b=0.7).assign(patient=[f"p{i // 3}" for i in range(300)])
    cases.to_csv(tmp_path / "lungs.csv", index=False)
    answer = json.loads(command("judge", "lungs.csv", "--json").stdout)
    assert [found["name"] for found in answer["algorithms"]] == ["a", "b"]
    assert answer["algorithms"][0]["n_effective"] <= 300
    assert {claim["id"] for claim in answer["claims"]} == {"a-better-than-b", "a-alike-b"}
    assert "300 cases of 100 groups (patient): a group is one unit." in answer["notes"]


def test_images_of_one_patient_count_once(tmp_path: Path) -> None:
    """Four copies of every case say what one does where the patient is known, and more where it is not."""
    cases = make_cases(200, a=0.9, b=0.8)
    copies = pd.concat([cases.assign(patient=cases["case_id"], case_id=cases["case_id"] + f"/{i}") for i in range(4)])

    def measure(frame: pd.DataFrame) -> tuple[float, float, str]:
        judged = db.judge(frame).content
        (pair,) = judged.pairs
        (comparison,) = judged.verdicts.judgements[0].finding.comparisons  # type: ignore[union-attr]
        lo, hi = comparison.estimate.compute_interval(0.05)
        accuracy = judged.accuracies["a"]
        return hi - lo, accuracy.hi - accuracy.lo, pair.decides

    once, known = measure(cases), measure(copies)
    apart = measure(copies.drop(columns="patient"))
    assert known[:2] == pytest.approx(once[:2], rel=0.02)
    assert apart[0] < 0.6 * once[0]
    assert ("groups" in known[2], "examples" in once[2]) == (bool(known[2]), bool(once[2]))


def test_wrong_for_missing_answers_and_one_class_make_reports(tmp_path: Path) -> None:
    cases = make_cases(60, a=0.9, b=0.8).astype({"a": object})
    cases.loc[:9, "a"] = None
    judged = db.judge(cases, missing="wrong", report=tmp_path / "missing").content
    assert judged.accuracies["a"].mean <= 50 / 60
    one = pd.DataFrame({"case_id": [1], "ground_truth": ["ill"], "a": ["ill"], "b": ["well"]})
    assert db.judge(one, report=tmp_path / "one").content.pairs[0].verdict == "open"
    assert (tmp_path / "one" / "report.html").is_file()


def test_claims_of_somebody_are_not_overwritten(tmp_path: Path) -> None:
    cases = make_cases(60, a=0.9, b=0.8)
    db.judge(cases, out=tmp_path)
    with pytest.raises(UsageError, match=r"claims.toml: holds other claims"):
        db.judge(cases, out=tmp_path, margin=0.05)


def test_names_that_are_markup_reach_no_page(command: Command, tmp_path: Path) -> None:
    cases = make_cases(60, a=0.9, b=0.8).rename(columns={"a": "<script>alert(1)</script>", "b": "##[error]b"})
    cases.to_csv(tmp_path / "x.csv", index=False)
    done = command("judge", "x.csv", "--report", "page")
    assert done.returncode == 0, done.stderr
    assert "<script>alert" not in (tmp_path / "page" / "report.html").read_text()


def test_no_torch_is_loaded() -> None:
    import subprocess
    import sys

    program = (
        "import sys, pandas, dlmi_bench as db\n"
        "db.judge(pandas.DataFrame({'case_id': [1, 2], 'ground_truth': [0, 1], 'a': [0, 1], 'b': [1, 1]}))\n"
        "assert not {'torch', 'onnxruntime', 'sklearn'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-P", "-c", program], check=True, timeout=60)
