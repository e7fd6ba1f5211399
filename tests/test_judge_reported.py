"""Accuracies and costs that others reported: the probability of a false claim, verdicts, ratios, and bad tables."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import integrate, stats

import dlmi_bench as db
from dlmi_bench.errors import BenchError, UsageError
from dlmi_bench.stats.congruence import compute_false_claim, find_congruences
from dlmi_bench.stats.reported import estimate_reported
from stand_ins import Command

RANDOM = [tuple(np.random.default_rng(seed).uniform((0.5, 0.5, 20, 0), (0.95, 0.99, 900, 1))) for seed in range(12)]


def choose(draw: tuple[float, ...]) -> tuple[float, float, int, float]:
    """Two accuracies, a number of cases, and a congruence that they allow."""
    first, other, n, place = draw
    second = first + 0.1 * (other - 0.745)  # near enough for the probability to be none of 0 and 1
    least, most = find_congruences(first, second)
    return first, second, int(n), least + place * (most - least)


@pytest.mark.parametrize("draw", RANDOM)
def test_a_false_claim_has_the_probability_of_the_dirichlet(draw: tuple[float, ...]) -> None:
    """The mass of the posterior of all four shares, drawn, where the first is at most as large as the second."""
    first, second, n, congruence = choose(draw)
    counts = np.array([congruence, first - congruence, second - congruence, 1 + congruence - first - second]) * n
    rng, hits, n_draws = np.random.default_rng(0), 0, 2_000_000
    for _ in range(4):
        shares = rng.standard_gamma(np.maximum(counts, 0) + 1, (n_draws // 4, 4))
        hits += int((shares[:, 0] + shares[:, 1] <= shares[:, 0] + shares[:, 2]).sum())
    found = compute_false_claim(first, second, n, congruence)
    assert found.value == pytest.approx(hits / n_draws, abs=1e-3)
    assert found.lo <= found.value <= found.hi


@pytest.mark.parametrize("draw", RANDOM)
def test_a_false_claim_has_the_probability_of_the_integral(draw: tuple[float, ...]) -> None:
    """The paper's double integral over the two shares that one alone answers rightly, by quadrature."""
    first, second, n, congruence = choose(draw)
    a, b = (n * (accuracy - congruence) + 1 for accuracy in (first, second))
    rest = n + 4 - a - b

    def integrate_over_first(share: float) -> float:
        """Density of the second's share times the probability that the first's, of what is left, is at most it."""
        return float(stats.beta.pdf(share, b, a + rest) * stats.beta.cdf(min(1, share / (1 - share)), a, rest))

    centre = b / (a + b + rest)
    value, _ = integrate.quad(integrate_over_first, 0, 1 - 1e-12, points=[centre], limit=400)
    assert compute_false_claim(first, second, n, congruence).value == pytest.approx(value, abs=1e-3)


def test_a_false_claim_by_hand() -> None:
    """Two more right of 10 that only the first gets: one half to the third power; the same twice is a coin."""
    assert compute_false_claim(0.9, 0.7, 10, 0.7).value == pytest.approx(0.5**3)
    assert compute_false_claim(0.8, 0.8, 50).value == pytest.approx(0.5)
    assert compute_false_claim(0.9, 0.8, 100).lo == pytest.approx(0.5**11)
    with pytest.raises(ValueError, match=r"between 0.7 and 0.8, not 0.9"):
        compute_false_claim(0.9, 0.8, 100, 0.9)


def make_paper(*rows: tuple[str, object, object]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["algorithm", "accuracy", "n"])


def test_a_paper_is_judged_by_its_accuracies() -> None:
    found = db.judge_accuracies(
        make_paper(("new", 0.95, 1000), ("old", 0.8, 1000), ("tie", 0.8, 1000), ("few", 0.9, 10))
    )
    verdicts = {(p.first, p.second): p.verdict for p in found.content.pairs}
    assert verdicts[("new", "old")] == "better"
    assert verdicts[("old", "tie")] == verdicts[("new", "few")] == "open"
    assert ("new", "few") not in found.content.false_claims
    assert found.content.false_claims[("old", "tie")].value == pytest.approx(0.5)
    assert "Seeds, classes, patients and calibration cannot be judged" in " ".join(str(found).split())


def test_congruence_decides_what_independence_leaves_open() -> None:
    paper = make_paper(("new", 0.92, 500), ("old", 0.9, 500))
    loose, tight = (db.judge_accuracies(paper, congruence=c).content.false_claims for c in (None, 0.895))
    assert loose[("new", "old")].value > 0.1 > tight[("new", "old")].value
    with pytest.raises(UsageError, match=r"--congruence: new and old: .* between 0.82 and 0.9, not 0.5"):
        db.judge_accuracies(paper, congruence=0.5)


def test_an_impossible_accuracy_is_named(tmp_path: Path) -> None:
    (tmp_path / "paper.csv").write_text("algorithm;accuracy;n\na;0,73;50\nb;0,74;50\n")
    notes = db.judge_accuracies(tmp_path / "paper.csv").content.notes
    assert [note for note in notes if "no whole number of right answers of 50 gives 0.73" in note]
    assert not [note for note in notes if "gives 0.74" in note]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("a,91,50\n", r"line 2, column 'accuracy': 91 is no share"),
        ("a,0.9,50\na,0.8,50\n", r"line 3, column 'algorithm': 'a' again"),
        (",0.9,50\n", r"line 2, column 'algorithm': empty"),
        ("a,0.9,50.5\n", r"column 'n': 50.5 is no number of cases"),
        ("a,0.9,\n", r"column 'n': nan is no number of cases"),
        ("a,,50\n", r"column 'accuracy': nan is no share"),
        ("a,=1-B3,50\n", r"'=1-B3' is a formula"),
        ("a,high,50\n", r"'high' is not a number"),
    ],
)
def test_what_no_paper_can_report_is_refused(tmp_path: Path, rows: str, said: str) -> None:
    (tmp_path / "paper.csv").write_text(f"algorithm,accuracy,n\n{rows}")
    with pytest.raises(BenchError, match=said) as caught:
        db.judge_accuracies(tmp_path / "paper.csv")
    assert caught.value.remedy


CASES = pd.DataFrame({"case_id": range(200), "ground_truth": [0, 1] * 100})
CASES["small"] = np.where(CASES["case_id"] < 160, CASES["ground_truth"], 1 - CASES["ground_truth"])
CASES["large"] = np.where(CASES["case_id"] < 170, CASES["ground_truth"], 1 - CASES["ground_truth"])
COSTS = (
    "algorithm,parameters,macs,latency_s,latency_lo_s,latency_hi_s,energy_j,source\n"
    "small,1000,5000,0.001,0.0009,0.0011,0.02,NVML\nlarge,9000,70000,0.004,0.0039,0.0041,0.05,NVML\n"
)
CLAIMS = """
[[claim]]
id = "smaller"
kind = "ordered"
task = "data frame"
model = "small"
against = ["large"]
sentence = "small has fewer parameters."
source = "a paper"

[[claim]]
id = "faster"
kind = "ratio"
metric = "latency_s"
factor = 3
task = "data frame"
model = "small"
against = ["large"]
sentence = "small answers three times as fast."
source = "a paper"

[[claim]]
id = "thrifty"
kind = "ratio"
metric = "inference_energy_j"
task = "data frame"
model = "small"
against = ["large"]
sentence = "small needs less energy."
source = "a paper"
"""


def test_a_ratio_of_reported_costs_is_by_its_bounds() -> None:
    found = estimate_reported(4, 3.9, 4.1, 1, 0.9, 1.1)
    error = math.hypot(math.log(4.1 / 3.9), math.log(1.1 / 0.9)) / (2 * stats.norm.ppf(0.975))
    assert (found.value, found.error) == (pytest.approx(math.log(4)), pytest.approx(error))
    assert found.compute_p(found.value - 1.645 * error)[0] == pytest.approx(0.05, abs=1e-4)
    lo, _ = found.compute_interval(0.05)
    assert found.compute_p(lo)[0] == pytest.approx(0.025)
    assert found.find_needed(found.value - error, 0.025) == {"times as many measurements": 4}


def test_reported_costs_enter_claims_fronts_and_the_page(tmp_path: Path) -> None:
    (tmp_path / "costs.csv").write_text(COSTS)
    (tmp_path / "claims.toml").write_text(CLAIMS)
    found = db.judge(CASES, costs=tmp_path / "costs.csv", claims=tmp_path / "claims.toml", report=tmp_path / "page")
    said = {j.claim.id: (j.verdict.value, " ".join(j.evidence)) for j in found.content.verdicts.judgements}
    assert said["smaller"][0] == "SUPPORTED"
    assert said["faster"][0] == "SUPPORTED"
    assert said["thrifty"] == ("NOT MEASURED", "inference_energy_j was reported without bounds")
    assert found.content.exit_code == 12
    page = (tmp_path / "page" / "details.md").read_text()
    assert "1.00 [0.90, 1.10] ms | 20.0 J | reported by others: NVML" in page
    assert "| 0.111 x | 0.0714 x | 0.25" in page
    assert "On the front of accuracy against" in page


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("small,", "tiny,", r"line 2, column 'algorithm': 'tiny', which gave no answers"),
        ("large,", "small,", r"line 3, column 'algorithm': 'small' again"),
        ("0.0009", "0.002", r"line 2, column 'latency_s': 0.001 is not within its bounds"),
        ("1000,", "-1000,", r"column 'parameters': -1000 is not a count above 0"),
        ("9000,", "9000.5,", r"line 3, column 'parameters': 9000.5 is not a count"),
        ("0.02,NVML", "0.02,", r"line 2, column 'energy_j': joules without a source"),
        ("macs", "flops", r"no cost 'flops'"),
    ],
)
def test_costs_that_cannot_be_are_refused(tmp_path: Path, old: str, new: str, said: str) -> None:
    (tmp_path / "costs.csv").write_text(COSTS.replace(old, new, 1))
    with pytest.raises(BenchError, match=said) as caught:
        db.judge(CASES, costs=tmp_path / "costs.csv")
    assert caught.value.remedy


def test_the_command_takes_answers_or_accuracies(command: Command, tmp_path: Path) -> None:
    make_paper(("new", 0.95, 1000), ("old", 0.8, 1000)).to_csv(tmp_path / "paper.csv", index=False)
    answer: dict[str, list[dict[str, object]]] = command.json("judge", "--table", "paper.csv", "--report", "page")
    assert answer["false_claims"][0]["probability"] == pytest.approx(0, abs=1e-6)
    assert "How probably a claimed superiority is false" in (tmp_path / "page" / "details.md").read_text()
    for words in (("judge",), ("judge", "paper.csv", "--table", "paper.csv")):
        assert command(*words).returncode == 2
