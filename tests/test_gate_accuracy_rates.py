"""Error rates of the accuracy gate on recorded trainings: false alarms, power, coverage, each with its n."""

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

from dlmi_bench.gating.accuracy.decision import Limits, decide
from dlmi_bench.gating.accuracy.difference import AccuracyDifference
from dlmi_bench.gating.accuracy.discordance import Discordance, compute_tango_difference
from dlmi_bench.gating.accuracy.seeds import compute_recipe_difference


@pytest.fixture(scope="module")
def recorded() -> dict[str, np.ndarray]:
    """Correctness of 30 trainings of each of four recipes on 797 examples; best recipe first."""
    shared = Path(os.environ.get("DLMI_BENCH_SHARED", Path(__file__).parent.parent.parent / "shared"))
    path = shared / "data" / "gate" / "accuracy_seeds.npz"
    if not path.is_file():
        pytest.skip(f"the recorded trainings are not in {path.parent}")
    with np.load(path) as file:
        return {name: file[name] for name in ("64", "32", "16", "12")}


def draw_differences(first: np.ndarray, second: np.ndarray, n: int, n_seeds: int = 5) -> list[AccuracyDifference]:
    """Differences of `n` random pairs of disjoint sets of seeds, (seed, example) each."""
    rng = np.random.default_rng(11)
    orders = [rng.permutation(len(first)) for _ in range(n)]
    return [compute_recipe_difference(first[o[:n_seeds]], second[o[n_seeds : 2 * n_seeds]]) for o in orders]


def count_verdicts(differences: list[AccuracyDifference], margin: float) -> Counter[str]:
    return Counter(decide(difference, Limits(margin=margin))[0] for difference in differences)


def test_naive_rule_cries_wolf(recorded: dict[str, np.ndarray]) -> None:
    """The rule "half a point lower" fires on 10 to 45 % of the ordered pairs of seeds of one and the same recipe."""
    rates = {}
    for name, correct in recorded.items():
        accuracy = correct.mean(1)
        rates[name] = float(np.mean([b < a - 0.005 for a in accuracy for b in accuracy if a is not b]))
    assert all(0.1 < rate < 0.45 for rate in rates.values()), rates


def test_no_false_alarm_between_disjoint_seeds(recorded: dict[str, np.ndarray]) -> None:
    """Of 12 independent A/A pairs (3 of 5 + 5 seeds from each recipe) none is REGRESSED at one point."""
    blocks = [correct[i : i + 10] for correct in recorded.values() for i in range(0, 30, 10)]
    verdicts = count_verdicts([compute_recipe_difference(block[:5], block[5:]) for block in blocks], 0.01)
    assert verdicts["REGRESSED"] + verdicts["SUSPICIOUS_IMPROVEMENT"] == 0, verdicts


@pytest.mark.parametrize("name", ["64", "32", "16", "12"])
def test_false_alarms_of_resampled_pairs(recorded: dict[str, np.ndarray], name: str) -> None:
    """Of 100 random A/A pairs of a recipe none is REGRESSED or suspicious: at most 3 %, by Clopper-Pearson."""
    verdicts = count_verdicts(draw_differences(recorded[name], recorded[name], 100), 0.01)
    assert verdicts["REGRESSED"] + verdicts["SUSPICIOUS_IMPROVEMENT"] == 0, verdicts
    assert binomtest(0, 100).proportion_ci(0.9, "exact").high < 0.03


@pytest.mark.parametrize(("name", "margin", "least"), [("12", 0.01, 0.9), ("16", 0.01, 0.6), ("16", 0.005, 0.85)])
def test_power_between_recipes(recorded: dict[str, np.ndarray], name: str, margin: float, least: float) -> None:
    """A recipe that is 2.4 or 3.4 points worse is REGRESSED as often as stated, and never passes."""
    verdicts = count_verdicts(draw_differences(recorded["64"], recorded[name], 100), margin)
    assert verdicts["REGRESSED"] >= least * 100, verdicts
    assert verdicts["PASS"] + verdicts["IMPROVED"] == 0, verdicts


def count_misses(first: np.ndarray, second: np.ndarray, n: int, n_seeds: int = 5) -> tuple[int, int]:
    """How often the bounds lie above and below the true difference, seeds and examples drawn from the recorded ones."""
    rng = np.random.default_rng(7)
    true = second.mean() - first.mean()
    above = below = 0
    for _ in range(n):
        examples = rng.integers(0, first.shape[1], first.shape[1])
        pair = (side[rng.integers(0, len(side), n_seeds)][:, examples] for side in (first, second))
        difference = compute_recipe_difference(*pair)
        above += difference.lo > true
        below += difference.hi < true
    return above, below


@pytest.mark.parametrize("pair", [("64", "64"), ("64", "32"), ("64", "12")])
def test_recipe_bounds_cover(recorded: dict[str, np.ndarray], pair: tuple[str, str]) -> None:
    """Each bound misses the truth in at most 6.5 % of draws (skewed seeds cost 1.5), up to the noise of 200 draws."""
    for n_missed in count_misses(*(recorded[name] for name in pair), 200):
        assert binomtest(n_missed, 200).proportion_ci(0.9, "exact").low < 0.065


def test_one_seed_for_a_recipe_cries_wolf(recorded: dict[str, np.ndarray]) -> None:
    """Equal recipes judged from one seed each, as if only examples varied, are REGRESSED in over 2 % of the pairs."""
    verdicts = Counter(judge_single(a, b) for a in recorded["12"] for b in recorded["12"] if a is not b)
    assert verdicts["REGRESSED"] > 0.02 * verdicts.total(), verdicts


def judge_single(first: np.ndarray, second: np.ndarray) -> str:
    lost, gained = int(np.sum(first & ~second)), int(np.sum(~first & second))
    return decide(compute_tango_difference(Discordance(lost, gained, lost + gained, len(first))), Limits())[0]


def format_rate(k: int, n: int) -> str:
    bounds = binomtest(k, n).proportion_ci(0.9, "exact")
    return f"{k} of {n} = {k / n:.1%} [{bounds.low:.1%}, {bounds.high:.1%}]"


PAIRS = [("64", "64"), ("32", "32"), ("16", "16"), ("12", "12"), ("64", "32"), ("64", "16"), ("64", "12"), ("12", "64")]


@pytest.mark.slow
@pytest.mark.parametrize("pair", PAIRS)
def test_rates_at_length(recorded: dict[str, np.ndarray], pair: tuple[str, str]) -> None:
    """In 1 000 draws A/A is never REGRESSED at one point; prints all rates with one-sided 95 % bounds (-s)."""
    n, sides = 1000, [recorded[name] for name in pair]
    for n_seeds in (5, 10):
        differences = draw_differences(*sides, n, n_seeds)
        for margin in (0.01, 0.005):
            verdicts = count_verdicts(differences, margin)
            rates = "; ".join(f"{verdict} {format_rate(k, n)}" for verdict, k in verdicts.most_common())
            print(f"{pair}, {n_seeds} seeds, margin {margin}: {rates}")  # noqa: T201
            assert pair[0] != pair[1] or margin < 0.01 or verdicts["REGRESSED"] == 0
    above, below = count_misses(*sides, n)
    print(f"{pair}, misses: lower {format_rate(above, n)}; upper {format_rate(below, n)}", flush=True)  # noqa: T201
