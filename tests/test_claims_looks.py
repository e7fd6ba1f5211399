"""Claims at looks and by family, from a file of claims and a store to the verdicts."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from dlmi_bench.errors import UsageError
from dlmi_bench.records import Cell
from dlmi_bench.stats.estimates import estimate_accuracy
from dlmi_bench.stats.looks import compute_spent
from dlmi_bench.store import Store
from dlmi_reports.claims.evidence import Evidence
from dlmi_reports.claims.file import ClaimFile, load_claims
from dlmi_reports.claims.looks import follow
from dlmi_reports.claims.verdicts import ClaimVerdict, Verdicts, judge_claims
from dlmi_reports.results.answers import read_answers
from dlmi_reports.results.load import load_results
from test_claims import evaluate
from test_claims import store as toy  # noqa: F401 - a fixture
from test_deciding import ACCURACIES, CLAIM, DrawnRunner, read_file

ABOVE = '[[claim]]\nid = "{id}"\nkind = "above"\ntask = "usps"\nmodel = "{model}"\nvalue = {value}\n'
ABOVE += 'sentence = "It is so."\nsource = "us"\n'


def fill(store: Store, accuracies: Mapping[str, Sequence[float]]) -> None:
    """Store trainings of these accuracies, by model and seed."""
    runner = DrawnRunner(store, 0.0)
    with pytest.MonkeyPatch.context() as patch:
        for model, found in accuracies.items():
            for index, accuracy in enumerate(found):
                patch.setitem(ACCURACIES, model, accuracy)
                runner.train([Cell(kind="train", task="usps", model=model, seed_index=index)], None)


def jitter(centre: float, n: int) -> list[float]:
    return [centre + 0.002 * (-1) ** i * (1 + i % 3) for i in range(n)]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """`mlp-64-32` is better than `cnn-4` by 3 points over the first five seeds and as good over ten."""
    store = Store(tmp_path_factory.mktemp("drawn"))
    turning = [*jitter(0.96, 5), *jitter(0.9, 5)]
    fill(store, {"mlp-64-32": turning, "cnn-4": jitter(0.93, 10), "softmax": jitter(0.91, 20)})
    return store


def judge(store: Store, folder: Path, *claims: str, head: str = "looks = [5, 10]\n") -> Verdicts:
    return judge_claims(read_claims(folder, *claims, head=head), load_results(store))


def read_claims(folder: Path, *claims: str, head: str = "looks = [5, 10]\n") -> ClaimFile:
    path = folder / "mine.toml"
    path.write_text(head + "\n".join(claims))
    return load_claims(path)


BETTER = CLAIM.replace("margin = 0.01", "margin = 0.0")
TURNING = BETTER.format(id="turning", model="mlp-64-32", other="cnn-4")


def test_decided_claim_stays_decided(drawn: Store, tmp_path: Path) -> None:
    """Five seeds show a difference that ten do not: supported all the same, by the evidence of the five."""
    found = judge(drawn, tmp_path, TURNING).get("turning")
    assert (found.verdict, found.n_seeds) == (ClaimVerdict.supported, 5)
    assert found.evidence[0].startswith("test accuracy, mlp-64-32 minus cnn-4: 3.0")
    planned_at_once = judge(drawn, tmp_path, TURNING, head="").get("turning")
    assert (planned_at_once.verdict, planned_at_once.n_seeds) == (ClaimVerdict.inconclusive, 10)


def test_interval_is_that_of_the_look_that_decided(drawn: Store, tmp_path: Path) -> None:
    """Its level is alpha times the share of that look, which seeds and examples decide."""
    found = judge(drawn, tmp_path, TURNING).get("turning")
    assert found.finding is not None
    (comparison,) = found.finding.comparisons
    share = compute_spent(comparison.estimate.compute_fraction(10))
    assert found.alpha == pytest.approx(0.05 * share)
    assert found.evidence[0] == comparison.describe(0.05 * share)
    assert found.p == pytest.approx(comparison.p[0] / share)


def test_earlier_look_uses_the_first_seeds(drawn: Store, tmp_path: Path) -> None:
    """The look at five has the mean of the first five of both models, and shares as by hand."""
    file = read_claims(tmp_path, TURNING)
    course = follow(file.claim[0], Evidence(load_results(drawn)), file.looks)  # type: ignore[arg-type]
    assert [look.n_seeds for look in course.looks] == [5, 10]
    estimates = [look.finding.comparisons[0].estimate for look in course.looks]
    differences = [np.subtract(jitter(0.96, 5), jitter(0.93, 5)), np.subtract(jitter(0.9, 5), jitter(0.93, 10)[5:])]
    assert estimates[0].value == pytest.approx(differences[0].mean())
    assert estimates[1].value == pytest.approx(np.concatenate(differences).mean())
    first = compute_spent(estimates[0].compute_fraction(10))
    assert [look.share for look in course.looks] == pytest.approx([first, 1 - first])
    assert course.later == ()


def test_look_takes_as_many_seeds_of_each_model(drawn: Store, tmp_path: Path) -> None:
    """Of 10 seeds beside 20 a look takes the first 10 of both, so that it stays what it was once both have 20."""
    claim = BETTER.format(id="uneven", model="cnn-4", other="softmax")
    file = read_claims(tmp_path, claim, head="looks = [5, 10, 20]\n")
    course = follow(file.claim[0], Evidence(load_results(drawn)), file.looks)  # type: ignore[arg-type]
    assert [look.n_seeds for look in course.looks] == [5, 10]
    assert course.later == (20,)
    value = np.mean(jitter(0.93, 10)) - np.mean(jitter(0.91, 10))
    assert course.last.finding.comparisons[0].estimate.value == pytest.approx(value)


def test_seeds_between_looks_and_beyond_the_last_wait(drawn: Store, tmp_path: Path) -> None:
    """20 seeds with looks at 5 and 12: those beyond tell nothing, so that a claim that twelve decided stays decided."""
    claim = ABOVE.format(id="waits", model="softmax", value=0.9)
    file = read_claims(tmp_path, claim, head="looks = [5, 12]\n")
    evidence = Evidence(load_results(drawn))
    for looks, n_seeds, later in (((5, 12), [5, 12], ()), ((5, 12, 40), [5, 12], (40,)), ((30,), [20], (30,))):
        course = follow(file.claim[0], evidence, looks)  # type: ignore[arg-type]
        assert ([look.n_seeds for look in course.looks], course.later) == (n_seeds, later)
        value = course.last.finding.comparisons[0].estimate.value
        assert value == pytest.approx(np.mean(jitter(0.91, n_seeds[-1])))


def test_take_counts_seeds(drawn: Store) -> None:
    found = load_results(drawn).tasks["usps"].models["softmax"]
    assert [r.cell.seed_index for r in found.take(3).trainings] == [0, 1, 2]
    assert len(found.take(None).trainings) == len(found.take(99).trainings) == 20
    assert len(found.take(3).values("test_accuracy")) == 3


@pytest.mark.parametrize(
    "claim",
    [
        'kind = "ratio"; task = "toy"; model = "small"; against = ["rival"]; metric = "latency_s"',
        'kind = "ratio"; task = "toy"; model = "small"; against = ["rival"]; metric = "training_s"',
        'kind = "ordered"; task = "toy"; model = "small"; against = ["slow"]',
    ],
    ids=["processes", "timed seeds", "counts"],
)
def test_claims_that_do_not_sample_seeds_pay_nothing(toy: Store, tmp_path: Path, claim: str) -> None:  # noqa: F811
    """Processes, timed seeds and counts are looked at once: the same p-value and level with looks as without."""
    with_looks, without = (evaluate(toy, tmp_path, claim, head=head) for head in ("looks = [2, 3, 5, 40]", ""))
    found, same = with_looks.judgements[0], without.judgements[0]
    assert (found.p, found.evidence, found.alpha) == (same.p, same.evidence, 0.05)
    assert (found.n_seeds, found.chances) == (0, ())


FAMILIES = 'looks = [5, 10]\n[[family]]\nid = "one"\n[[family]]\nid = "many"\nalpha = 0.1\n'


def write_above(name: str, value: float, family: str, more: str = "") -> str:
    return ABOVE.format(id=name, model="cnn-4", value=value) + f'family = "{family}"\n{more}'


def find_limit(store: Store, p: float) -> float:
    """Find what the mean of `cnn-4` lies above with this p-value, at the better of its two looks."""
    table = read_answers(load_results(store).tasks["usps"].models["cnn-4"], "test_accuracy").table
    looks = estimate_accuracy(table[:5]), estimate_accuracy(table)
    share = compute_spent(looks[0].compute_fraction(10))
    return max(look.compute_interval(2 * p * s)[0] for look, s in zip(looks, (share, 1 - share), strict=True))


def test_families_are_not_pooled(drawn: Store, tmp_path: Path) -> None:
    """p = .01 is enough alone, and not as one of six claims: each family has its own level."""
    limit = find_limit(drawn, 0.01)
    claims = [write_above("own", limit, "one"), *(write_above(f"c{i}", 0.93, "many") for i in range(5))]
    file = read_claims(tmp_path, *claims, head=FAMILIES)
    own = judge_claims(file, load_results(drawn))
    assert own.get("own").p == pytest.approx(0.01, rel=1e-6)
    assert own.get("own").verdict is ClaimVerdict.supported
    assert [(f.family.id, f.alpha, f.n_tested) for f in own.families] == [("one", 0.05, 1), ("many", 0.1, 5)]
    pooled = judge_claims(file.unite(), load_results(drawn))
    assert pooled.get("own").p == pytest.approx(0.06, rel=1e-6)
    assert pooled.get("own").verdict is ClaimVerdict.inconclusive
    assert "not after correction for its family" in pooled.get("own").decides


def test_secondary_claim_has_a_fifth_beside_an_open_primary_one(drawn: Store, tmp_path: Path) -> None:
    limit = find_limit(drawn, 0.004)
    claims = [write_above("open", 0.93, "one"), write_above("also", limit, "one", 'role = "secondary"\n')]
    found = judge(drawn, tmp_path, *claims, head=FAMILIES).get("also")
    assert found.p == pytest.approx(5 * 0.004, rel=1e-5)


def test_stricter_level_of_one_claim(drawn: Store, tmp_path: Path) -> None:
    """p = .004 is below .025 but not below .005 / 2."""
    limit = find_limit(drawn, 0.004)
    verdicts = [
        judge(drawn, tmp_path, write_above("own", limit, "one", more), head=FAMILIES).get("own").verdict
        for more in ("", "alpha = 0.005\n", "alpha = 0.01\n")
    ]
    assert verdicts == [ClaimVerdict.supported, ClaimVerdict.inconclusive, ClaimVerdict.supported]


@pytest.mark.parametrize(
    ("head", "family", "more", "said"),
    [
        (FAMILIES, "eno", "", "claim own: family: no 'eno'"),
        (FAMILIES, "one", "alpha = 0.06\n", "alpha 0.06 is laxer than the family one's 0.05"),
        (FAMILIES.replace('"many"', '"one"'), "one", "", "two families have the same id"),
        (FAMILIES.replace("[5, 10]", "[10, 5]"), "one", "", r"looks: \[10, 5\]: numbers of seeds that grow"),
        (FAMILIES.replace("[5, 10]", "[5, 5]"), "one", "", r"looks: \[5, 5\]"),
        (FAMILIES.replace("[5, 10]", "[0, 5]"), "one", "", r"looks: \[0, 5\]"),
        ("looks = [5]\n", "one", "", r"the file has no \[\[family\]\]"),
        ("looks = [5]\n", "", "alpha = 0.06\n", "laxer than the file's 0.05"),
    ],
)
def test_wrong_files_say_what_is_wrong(tmp_path: Path, head: str, family: str, more: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read_claims(tmp_path, write_above("own", 0.5, family, more), head=head)


def test_level_of_a_laxer_family_allows_more(tmp_path: Path) -> None:
    """A claim's level is compared with its own family's, not with the file's."""
    file = read_claims(tmp_path, write_above("own", 0.5, "many", "alpha = 0.08\n"), head=FAMILIES)
    assert file.get_alpha("many") == 0.1
    assert file.unite().families[0].id == ""
    assert read_file(tmp_path, TURNING).looks == (5, 10, 20)


def test_look_that_adds_nothing_shows_an_earlier_interval(tmp_path: Path) -> None:
    """Five seeds that are alike and then five that vary: the second look has less information than the first had.

    It has no share of the level left, to decide or to print an interval with; that of the first look holds.
    """
    store = Store(tmp_path)
    fill(store, {"mlp-24-16": [*(0.93 + 0.0005 * i for i in range(5)), *(0.8 + 0.05 * i for i in range(5))]})
    claim = ABOVE.format(id="falling", model="mlp-24-16", value=0.93)
    file = read_claims(tmp_path, claim, head="looks = [5, 10, 20]\n")
    course = follow(file.claim[0], Evidence(load_results(store)), file.looks)  # type: ignore[arg-type]
    assert course.looks[0].share > 0.9
    assert course.looks[1].share == 0
    found = judge_claims(file, load_results(store)).get("falling")
    assert (found.verdict, found.n_seeds) == (ClaimVerdict.inconclusive, 5)
    (comparison,) = course.looks[0].finding.comparisons
    assert found.evidence == (comparison.describe(0.05 * course.looks[0].share),)
    assert "inf" not in found.bound
