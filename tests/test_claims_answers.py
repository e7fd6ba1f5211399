"""Claims about areas, thresholds, calibration, classes and subgroups, towards each verdict."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from answer_stores import draw_records, fill_answers
from dlmi_bench.records import Record
from dlmi_bench.stats.estimates import Mean, VarianceSource
from dlmi_bench.stats.ranking import rank_auc
from dlmi_bench.stats.sides import Between, Negative
from dlmi_bench.store import Store
from dlmi_bench.store.artifacts import TRAIT, put_array
from dlmi_reports.claims.verdicts import ClaimVerdict as Verdict
from dlmi_reports.claims.verdicts import Judgement, judge_store
from dlmi_reports.results.load import load_results

MODELS = {"plain": 1.5, "better": 2.5, "same": 1.5}
HEAD = '[[claim]]\nid = "a"\nsentence = "A sentence."\nsource = "here"\ntask = "toy"\nmodel = "{model}"\n'


def judge(store: Store, text: str, model: str = "plain") -> Judgement:
    path = store.folder / "mine.toml"
    path.write_text(HEAD.format(model=model) + text, encoding="utf-8")
    return judge_store(store, path).judgements[0]


def keep_validation(folder: Path, record: Record) -> Record:
    """The record with validation scores and labels, which are those of the test examples."""
    kept = {a.role: a for a in record.artifacts}
    more = tuple(kept[f"test_{w}"].model_copy(update={"role": f"validation_{w}"}) for w in ("scores", "labels"))
    return record.model_copy(update={"artifacts": (*record.artifacts, *more)})


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("answers")
    records = draw_records(folder, MODELS, n=400, n_seeds=4)
    return fill_answers(folder, [keep_validation(folder, record) for record in records])


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Three classes, probabilities that are too extreme, no validation scores."""
    folder = tmp_path_factory.mktemp("bare")
    return fill_answers(folder, draw_records(folder, {"plain": 1.5, "worse": 0.8}, n=600, n_classes=3, factor=4.0))


VERDICTS = {
    'kind = "auc_non_inferior"\nagainst = ["same"]\nmargin = 0.03': Verdict.supported,
    'kind = "auc_non_inferior"\nagainst = ["better"]\nmargin = 0.01': Verdict.refuted,
    'kind = "auc_non_inferior"\nagainst = ["same"]\nmargin = 0.0': Verdict.inconclusive,
    'kind = "auc_non_inferior"\nagainst = ["absent"]\nmargin = 0.0': Verdict.not_measured,
    'kind = "sensitivity_at_least"\nvalue = 0.6': Verdict.supported,
    'kind = "sensitivity_at_least"\nvalue = 0.97': Verdict.refuted,
    'kind = "sensitivity_at_least"\nvalue = 0.4\nspecificity = 0.999': Verdict.inconclusive,
    'kind = "sensitivity_at_least"\nvalue = 0.6\npositive = "well"': Verdict.supported,
    'kind = "sensitivity_at_least"\nvalue = 0.6\npositive = "other"': Verdict.not_measured,
    'kind = "calibrated_within"\nlimit = 0.15': Verdict.supported,
    'kind = "calibrated_within"\nlimit = 0.01': Verdict.inconclusive,
    'kind = "no_class_lost"\nagainst = ["same"]\nmargin = 0.1': Verdict.supported,
    'kind = "no_class_lost"\nagainst = ["better"]\nmargin = 0.01': Verdict.refuted,
    'kind = "no_class_lost"\nagainst = ["better"]\nmargin = 0.1': Verdict.inconclusive,
    'kind = "no_group_worse_than"\ncolumn = "sex"\nmargin = 0.1': Verdict.not_measured,
}


@pytest.mark.parametrize(("text", "verdict"), VERDICTS.items(), ids=[text.replace("\n", ";") for text in VERDICTS])
def test_every_kind_towards_each_verdict(store: Store, text: str, verdict: Verdict) -> None:
    """Each claim with its verdict, its evidence, and where it is open what decides it."""
    judged = judge(store, text)
    assert judged.verdict is verdict, judged.evidence
    assert judged.evidence[0]
    if verdict is Verdict.not_measured:
        assert judged.decides


def test_areas_are_those_of_the_report(store: Store) -> None:
    """The difference is that of the mean figures, and its error over examples is the paired one of DeLong."""
    judged = judge(store, 'kind = "auc_non_inferior"\nagainst = ["better"]\nmargin = 0.1')
    assert judged.finding is not None
    estimate = judged.finding.comparisons[0].estimate
    task = load_results(store).tasks["toy"]
    plain, better = (np.mean(task.models[name].values("test_auc")) for name in ("plain", "better"))
    assert estimate.value == pytest.approx(plain - better)
    assert "test auc, plain minus better" in judged.evidence[0]
    assert isinstance(estimate, Mean)
    source = next(source for source in estimate.sources if source.what == "examples")
    rows = {name: [] for name in ("plain", "better")}  # type: ignore[var-annotated]
    for name, found in rows.items():
        for record in task.models[name].trainings:
            kept = {a.role: next(store.folder.rglob(f"{a.sha256}*")) for a in record.artifacts}
            scores, labels = np.load(kept["test_scores"]).astype(float), np.load(kept["test_labels"])
            found.append(rank_auc(np.round(scores[:, 1] - scores[:, 0], 10), labels == 1).spread())
    shift = np.mean(rows["plain"], axis=0) - np.mean(rows["better"], axis=0)
    assert source.sd == pytest.approx(np.std([*shift, 1, -1], ddof=1))


def test_extreme_probabilities_are_not_calibrated(bare: Store) -> None:
    """Logits four times too large: refuted at .05, with what is left without chance as the value."""
    judged = judge(bare, 'kind = "calibrated_within"\nlimit = 0.05')
    assert judged.verdict is Verdict.refuted
    assert "calibration error of plain, 3 seeds:" in judged.evidence[0]
    assert "claimed: below 5 %" in judged.evidence[0]


def test_missing_validation_is_said(bare: Store) -> None:
    """Without validation scores no threshold can be fixed; of three classes one has to be named."""
    judged = judge(bare, 'kind = "sensitivity_at_least"\nvalue = 0.5\npositive = "ill"')
    assert judged.verdict is Verdict.not_measured
    assert "validation scores" in judged.evidence[0]
    unnamed = judge(bare, 'kind = "sensitivity_at_least"\nvalue = 0.5')
    assert "which class is to be found is not said; its classes are well, ill, worse" in unnamed.evidence[0]


def test_lost_class_is_named(tmp_path: Path) -> None:
    """A model as accurate on two classes that calls half of the third by another name: that class refutes it."""
    first, second = (draw_records(tmp_path, {name: 3.0}, n=600, n_classes=3) for name in ("m", "plain"))
    lost = []
    for record in second:
        kept = {a.role: a for a in record.artifacts}
        path = next(tmp_path.rglob(f"{kept['test_scores'].sha256}*"))
        scores, labels = np.load(path), np.arange(600) % 3
        scores[(labels == 2) & (np.arange(600) % 2 == 0), 0] = 50
        made = put_array(tmp_path, "test_scores", scores)
        lost.append(record.model_copy(update={"artifacts": (made, kept["test_labels"])}))
    judged = judge(fill_answers(tmp_path, [*first, *lost]), 'kind = "no_class_lost"\nagainst = ["m"]\nmargin = 0.1')
    assert judged.verdict is Verdict.refuted
    assert [line.partition(",")[0] for line in judged.evidence[:3]] == [
        f"recall of {name}" for name in ("well", "ill", "worse")
    ]


@pytest.fixture
def with_column(tmp_path: Path) -> Callable[[float], Store]:
    """A store whose trainings keep the site of each test example; those of site c have noise added."""

    def fill(noise: float) -> Store:
        sites = np.array(list("abc"))[np.arange(900) // 4 % 3]
        sites[:4] = "d"
        rng, found = np.random.default_rng(1), []
        for record in draw_records(tmp_path, {"plain": 2.0}, n=900):
            kept = {a.role: a for a in record.artifacts}
            scores = np.load(next(tmp_path.rglob(f"{kept['test_scores'].sha256}*")))
            scores[sites == "c"] += noise * rng.standard_normal(scores[sites == "c"].shape)
            arrays = {"test_scores": scores, f"{TRAIT}0": sites}
            made = [put_array(tmp_path, role, array) for role, array in arrays.items()]
            origin = record.provenance | {"traits": ["site"]}
            changes = {"artifacts": (*made, kept["test_labels"]), "provenance": origin}
            found.append(record.model_copy(update=changes))
        return fill_answers(tmp_path, found)

    return fill


@pytest.mark.parametrize(("noise", "verdict"), [(0.0, Verdict.supported), (30.0, Verdict.refuted)])
def test_subgroups_of_a_column(with_column: Callable[[float], Store], noise: float, verdict: Verdict) -> None:
    """Three sites are compared with all others, the fourth is too small and says so."""
    judged = judge(with_column(noise), 'kind = "no_group_worse_than"\ncolumn = "site"\nmargin = 0.1')
    assert judged.verdict is verdict
    assert [line.partition(":")[0] for line in judged.evidence[:3]] == [
        f"accuracy of plain, site {name} minus all others" for name in "abc"
    ]
    assert "too small to compare, under 10 examples: d" in judged.evidence


def test_groups_count_as_one_in_claims(tmp_path: Path) -> None:
    """Images in fives that are alike widen the interval of an area about as much as the design says."""
    widths = {}
    for size in (1, 5):
        folder = tmp_path / str(size)
        records = draw_records(folder, {"plain": 1.5, "better": 1.6}, n=500, group_size=5)
        if size == 1:
            records = [
                r.model_copy(update={"artifacts": tuple(a for a in r.artifacts if a.role != "test_groups")})
                for r in records
            ]
        text = 'kind = "auc_non_inferior"\nagainst = ["better"]\nmargin = 0.1'
        judged = judge(fill_answers(folder, records), text)
        assert judged.finding is not None
        lo, hi = judged.finding.comparisons[0].estimate.compute_interval(0.05)
        widths[size] = hi - lo
    assert widths[5] > 1.05 * widths[1]


def test_sides_by_hand() -> None:
    """Between 1 and 3: above 0 by the lower, below 4 by the upper, neither of 2; a negative mirrors all of it."""
    lower, upper = (Mean(value, (VarianceSource("seeds", 0.2, 4),)) for value in (1.0, 3.0))
    both = Between(lower, upper)
    assert both.compute_p(0)[0] == lower.compute_p(0)[0] < 0.01
    assert both.compute_p(4)[1] == upper.compute_p(4)[1] < 0.01
    assert min(both.compute_p(2)) > 0.9
    assert both.compute_interval(0.05) == (lower.compute_interval(0.05)[0], upper.compute_interval(0.05)[1])
    assert both.find_needed(2, 0.05) == {}
    mirrored = Negative(both)
    assert mirrored.compute_p(-4) == both.compute_p(4)[::-1]
    assert mirrored.compute_interval(0.05) == tuple(-x for x in both.compute_interval(0.05)[::-1])
    assert mirrored.value == -1
