"""Claims about own tasks: which are chosen, the default questions, and what bars or weakens a verdict."""

import json
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dlmi_bench.api import judge_claims
from dlmi_bench.cli.main import app
from dlmi_bench.records import Figure, Record
from dlmi_bench.store import Store
from dlmi_reports.claims.defaults import make_default_claims
from dlmi_reports.claims.file import find_claims, load_claims, select_claims
from dlmi_reports.claims.verdicts import ClaimVerdict as Verdict
from dlmi_reports.claims.verdicts import Judgement, judge_store
from dlmi_reports.page import make_claim_section
from dlmi_reports.results.load import load_results
from report_stores import HOSTILE, keep_answers, measured_records, train_record
from test_report_own import FOLDS, elsewhere_record, fold_record, own_record

HEAD = '[[claim]]\nid = "{id}"\nsentence = "It is so."\nsource = "us"\n'
ABOVE = HEAD + 'kind = "above"\ntask = "{task}"\nmodel = "m"\nvalue = 0.5\n'
ALL = HEAD + 'kind = "composite"\nall_of = {parts}\n'


def fill(folder: Path, *records: Record) -> Store:
    store = Store(folder)
    store.add_done([(record, "f") for record in records])
    return store


def judge_one(store: Store, text: str) -> Judgement:
    path = store.folder / "mine.toml"
    path.write_text(HEAD.format(id="a") + 'task = "toy"\nmodel = "m"\n' + text, encoding="utf-8")
    return judge_store(store, path).judgements[0]


def select(folder: Path, text: str, *tasks: str) -> list[str]:
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return [claim.id for claim in select_claims(load_claims(path), tasks).claim]


def test_claims_about_other_tasks_are_left_out(tmp_path: Path) -> None:
    """A task, its arms and a composite with one part about it stay, the composite with all of its parts."""
    text = "".join(ABOVE.format(id=name, task=task) for name, task in
                   {"a": "toy", "b": "toy+arm", "c": "other", "d": "other"}.items())  # fmt: skip
    text += ALL.format(id="both", parts='["a", "c"]') + ALL.format(id="neither", parts='["c", "d"]')
    assert select(tmp_path, text, "toy") == ["a", "b", "c", "both"]
    assert select(tmp_path, text, "toy+arm") == ["a", "b", "c", "both"]
    assert select(tmp_path, text, "nothing") == []


def test_claims_of_the_course_about_digits(tmp_path: Path) -> None:
    """With results of digits only, none of the claims about another task is shown, and all about digits are."""
    kept = select_claims(load_claims(), ["usps"]).claim
    assert {claim.task for claim in kept} == {"usps", ""}
    assert [c for c in load_claims().claim if c.task == "usps"] == [c for c in kept if c.task]


def test_store_without_claims_says_so_and_succeeds(tmp_path: Path) -> None:
    """No verdict and exit 0, in the words of the command, in JSON, and in the report's section."""
    store = fill(tmp_path, train_record("m", 0, 0.9, 1.0))
    result = CliRunner().invoke(app, ["claims", "--out", str(tmp_path)])
    assert result.exit_code == 0
    assert result.stdout.startswith("No claims were stated for these tasks; write them in a TOML file")
    as_json = CliRunner().invoke(app, ["claims", "--out", str(tmp_path), "--json"])
    assert json.loads(as_json.stdout)["claims"] == []
    section = make_claim_section(load_results(store))
    assert section.lead[0].startswith("No claims were stated for these tasks")
    assert section.tables == []


def test_claims_of_a_store_are_its_own(tmp_path: Path) -> None:
    """A claims.toml beside the results is judged by report and command; --file still goes first."""
    store = fill(tmp_path, train_record("m", 0, 0.9, 1.0))
    assert find_claims(tmp_path) is None
    (tmp_path / "claims.toml").write_text(ABOVE.format(id="own", task="toy"), encoding="utf-8")
    assert find_claims(tmp_path) == tmp_path / "claims.toml"
    assert [judged.claim.id for judged in judge_claims(tmp_path).content.judgements] == ["own"]
    assert [row[0] for row in make_claim_section(load_results(store)).tables[0].rows] == ["own"]
    assert CliRunner().invoke(app, ["claims", "--out", str(tmp_path)]).exit_code == 12
    other = tmp_path / "other.toml"
    other.write_text(ABOVE.format(id="given", task="toy"), encoding="utf-8")
    assert [judged.claim.id for judged in judge_claims(tmp_path, file=other).content.judgements] == ["given"]


def test_text_of_claims_stays_text(tmp_path: Path) -> None:
    """A sentence that would turn the words around it is cleaned in the report."""
    store = fill(tmp_path, train_record("m", 0, 0.9, 1.0))
    text = ABOVE.format(id="own", task="toy").replace("It is so.", "\u202eIt is so.")
    (tmp_path / "claims.toml").write_text(text, encoding="utf-8")
    section = make_claim_section(load_results(store))
    assert "\ufffdIt is so." in section.details[0]


@pytest.mark.parametrize(
    "name", ["mlp-64-32", 'a "b"\\c', "line\nend\ttab", "Ünïcödé 🧠", "del\x7f", "{task}", *HOSTILE]
)
def test_default_claims_load_with_any_name(name: str, tmp_path: Path) -> None:
    """Three questions for each other model, with the names as they are and ids that are different and plain."""
    path = tmp_path / "claims.toml"
    path.write_text(make_default_claims("toy", name, ["x", "X", name, "x"]), encoding="utf-8")
    claims = load_claims(path).claim
    assert [(claim.kind, claim.model, claim.against) for claim in claims] == [  # type: ignore[union-attr]
        (kind, name, (other,)) for other in ("x", "X") for kind in ("non_inferior", "ordered", "ratio")
    ]


def test_default_claims_of_plain_names() -> None:
    """Ids and sentences can be read; without another model there is nothing to ask."""
    claims = tomllib.loads(make_default_claims("toy", "mine", ["x"]))["claim"]
    assert [claim["id"] for claim in claims] == ["mine-accuracy-vs-x", "mine-parameters-vs-x", "mine-latency-vs-x"]
    assert claims[0]["sentence"] == "mine is less than 2 points less accurate than x."
    assert claims[0]["margin"] == 0.02
    assert make_default_claims("toy", "mine", ["mine"]) == ""


def test_default_claims_are_judged(tmp_path: Path) -> None:
    """As accurate within noise of 40 points, smaller and twice as fast in each process: the last two are supported."""
    records = [keep_answers(tmp_path, train_record(m, i, 0.9, 1.0), range(10)) for m in ("mine", "x") for i in range(3)]
    records += [*measured_records("mine", 10, 1e-5), *measured_records("x", 20, 2e-5)]
    store = fill(tmp_path, *records)
    (tmp_path / "claims.toml").write_text(make_default_claims("toy", "mine", ["x"]), encoding="utf-8")
    found = {judged.claim.id: judged.verdict for judged in judge_store(store).judgements}
    assert found["mine-parameters-vs-x"] is Verdict.supported
    assert found["mine-accuracy-vs-x"] in (Verdict.supported, Verdict.inconclusive)
    assert found["mine-latency-vs-x"] is not Verdict.not_measured


def test_no_target_no_verdict_on_it(tmp_path: Path) -> None:
    """Neither the share that reaches a target nor the time to it is measured where the task states none."""
    store = fill(tmp_path, *(own_record(m, i, 0.9, target=None) for m in "mx" for i in range(3)))
    for text in (
        'kind = "reaches"\ntarget = 0.95\nshare = 0.5\n',
        'kind = "ratio"\nagainst = ["x"]\nmetric = "time_to_target_s"\n',
    ):
        judged = judge_one(store, text)
        assert judged.verdict is Verdict.not_measured
        assert "the task states no target" in judged.evidence[0]


def test_training_elsewhere_is_not_infinitely_long(tmp_path: Path) -> None:
    """Without a duration on one side nothing is decided, although every training here took less than infinity."""
    records = [own_record("m", i, 0.9) for i in range(6)] + [elsewhere_record("x", i, 0.9) for i in range(6)]
    store = fill(tmp_path, *records)
    for metric in ("training_s", "time_to_target_s"):
        judged = judge_one(store, f'kind = "ratio"\nagainst = ["x"]\nmetric = "{metric}"\n')
        assert judged.verdict is Verdict.not_measured
        assert judged.evidence == (f"{metric}: trained elsewhere: x",)


def test_missing_energy_is_not_infinite(tmp_path: Path) -> None:
    """A meter that failed on one side is no reason to call the other cheaper."""
    energy = Figure(
        name="training_energy_j", value=8.0, kind="measured", source="rapl", conditions={"component": "cpu"}
    )
    gone = energy.model_copy(update={"value": None, "reason": "no counter"})
    records = []
    for model, figure in (("m", energy), ("x", gone)):
        for i in range(6):
            record = train_record(model, i, 0.9, 1.0)
            kept = [f for f in record.figures if f.name != figure.name]
            records.append(record.model_copy(update={"figures": (*kept, figure)}))
    judged = judge_one(fill(tmp_path, *records), 'kind = "ratio"\nagainst = ["x"]\nmetric = "training_energy_j"\n')
    assert (judged.verdict, judged.evidence) == (Verdict.not_measured, ("training_energy_j: no counter",))


def test_single_training_from_elsewhere_says_what_is_missing(tmp_path: Path) -> None:
    """One file has no spread over seeds; the remedy is more files, since it cannot be trained here."""
    records = [keep_answers(tmp_path, own_record("m", i, 0.9), range(10)) for i in range(2)]
    store = fill(tmp_path, *records, elsewhere_record("x", 0, 0.9))
    judged = judge_one(store, 'kind = "non_inferior"\nagainst = ["x"]\nmargin = 0.02\n')
    assert judged.evidence == ("1 seed of x on toy: the spread needs at least two",)
    assert judged.decides == "give the weights of two trainings or more"


def test_groups_of_images_are_said_with_the_verdict(tmp_path: Path) -> None:
    """Where images of 20 patients count as independent, the evidence of an accuracy says so, not that of a count."""
    clusters = {"n_groups": 20, "n_examples": 100}
    records = [keep_answers(tmp_path, own_record("m", i, 0.9, clusters=clusters), range(10)) for i in range(2)]
    store = fill(tmp_path, *records, *measured_records("m", 10, 1e-5), *measured_records("x", 20, 1e-5))
    assert "too narrow (20 groups, 100 images)" in judge_one(store, 'kind = "above"\nvalue = 0.5\n').evidence[-1]
    assert len(judge_one(store, 'kind = "ordered"\nagainst = ["x"]\n').evidence) == 1


def test_folds_are_judged_by_repeat(tmp_path: Path) -> None:
    """70 and 90 % of ten examples: the mean is 80 %, and the evidence says what the spread leaves out."""
    store = fill(tmp_path, *(fold_record(tmp_path, "m", *place) for place in FOLDS))
    judged = judge_one(store, 'kind = "above"\nvalue = 0.5\n')
    assert judged.finding is not None
    assert judged.finding.comparisons[0].estimate.value == pytest.approx(0.8)
    assert "training sets of the folds overlap" in judged.evidence[-1]


def test_what_measures_a_claim_is_the_study_it_came_from(tmp_path: Path) -> None:
    """The command line knows no task of a script, so the script is named; without one, the command that measures it."""
    plugins = [{"name": "study.py", "files": {}}]
    for name, expected in (("with", "run study.py again"), ("without", "dlmi-bench run --task toy")):
        extra = {"plugins": plugins} if name == "with" else {}
        store = fill(tmp_path / name, own_record("m", 0, 0.9, **extra))
        assert expected in judge_one(store, 'kind = "above"\nvalue = 0.5\n').decides
