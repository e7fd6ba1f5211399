"""Claims: every kind of predicate towards each verdict, the correction, the sentences, the file and the command."""

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from dlmi_bench.cli.main import app
from dlmi_bench.errors import UsageError
from dlmi_bench.records import Artifact, Cell, Figure, Record, unavailable
from dlmi_bench.store import Store
from dlmi_bench.store.artifacts import put_array
from dlmi_bench.toml import find_line
from dlmi_models import MODELS
from dlmi_reports.claims.dump import to_json
from dlmi_reports.claims.file import load_claims
from dlmi_reports.claims.prose import (
    describe_evidence,
    describe_families,
    describe_judgement,
    list_sentences,
    make_claim_tables,
)
from dlmi_reports.claims.verdicts import ClaimVerdict as Verdict
from dlmi_reports.claims.verdicts import Judgement, Verdicts, judge_store
from dlmi_reports.page import make_claim_section
from dlmi_reports.results.load import load_results
from stand_ins import Command

N = 1000
LABELS = np.arange(N) % 4
PROVENANCE = {
    "data": {"name": "toy", "source": "nowhere", "sha256": {}, "is_synthetic": False, "note": ""},
    "target": {"validation_accuracy": 0.95},
    "date": "2026-01-01",
    "machine_id": "abacus",
}


def make_training(folder: Path, model: str, index: int, n_wrong: int, *, task: str, scale: float) -> Record:
    """A training whose test answers are wrong on the last examples; every other one missed its target for `slow`."""
    scores = np.eye(4, dtype=np.float32)[LABELS]
    scores[N - n_wrong :] = np.roll(scores[N - n_wrong :], 1, axis=1)
    arrays = {"test_scores": scores, "test_labels": LABELS.astype(np.uint8)}
    artifacts: list[Artifact] = [put_array(folder, role, a) for role, a in arrays.items()]
    time_s = scale * (4 + 0.1 * index)
    censored = model == "slow" and index % 2
    reached = (
        unavailable("time_to_target_s", "censored")
        if censored
        else Figure(name="time_to_target_s", value=time_s / 2, kind="measured", source="clock")
    )
    figures = (
        Figure(name="test_accuracy", value=1 - n_wrong / N, kind="measured", source="file", n=N),
        Figure(name="train_accuracy", value=0.99, kind="measured", source="file", n=N),
        Figure(name="training_s", value=time_s, kind="measured", source="clock"),
        reached,
        reached.model_copy(update={"name": "epochs_to_target"}),
        Figure(name="training_energy_j", value=9.0, kind="modelled", source="tdp", conditions={"component": "cpu"}),
        Figure(
            name="max_score_error",
            value=0.5,
            kind="measured",
            source="test split",
            conditions={"backend": "onnxruntime"},
            notes=("INVALID: scores differ",) if model == "liar" else (),
        ),
    )
    cell = Cell(kind="train", task=task, model=model, seed_index=index)
    return Record(cell=cell, figures=figures, artifacts=tuple(artifacts), provenance=PROVENANCE)


def make_measured(model: str, n_parameters: int, latency_s: float, session: str) -> list[Record]:
    """Counts, and a latency from five processes of which each has its own speed, shared by all models."""
    samples = tuple(latency_s * speed for speed in (1.0, 1.3, 0.9, 1.01, 1.6))
    jitter = tuple(s * (1 + 0.01 * math.sin(i + n_parameters)) for i, s in enumerate(samples))
    conditions = {"backend": "onnxruntime", "batch": 1, "threads": 1}
    latency = Figure(
        name="latency_s", value=latency_s, kind="measured", source="c", conditions=conditions, samples=jitter
    )
    counts = Figure(name="n_parameters", value=n_parameters, kind="counted", source="torch")
    energy = Figure(name="inference_energy_j", value=1.0, kind="modelled", source="tdp", conditions={"batch": 1})
    found = {"latency": latency, "counts": counts, "energy": energy}
    return [
        Record(
            cell=Cell(kind=kind, task="toy", model=model),  # type: ignore[arg-type]
            figures=(figure,),
            provenance=PROVENANCE,
            details={"session": session} if kind == "latency" else {},
        )
        for kind, figure in found.items()
    ]


def make_references(task: str, scale: float) -> Record:
    """Signal over noise of 30 images, the same in every task; pooled over them `scale` times the mean of the images."""
    by_image = 5 + np.sin(np.arange(30.0))
    without = (by_image.sum() - by_image) / 29
    found = {"image_snr": (by_image.mean(), by_image), "pooled_snr": (scale * by_image.mean(), scale * without)}
    if scale == 1:
        # The raw images scatter in a way of their own.
        found["pooled_snr"] = ((by_image**2).mean() / 5, (np.square(by_image).sum() - by_image**2) / 29 / 5)
    figures = [
        Figure(name=name, value=float(value), kind="measured", source="training split", samples=tuple(samples.tolist()))
        for name, (value, samples) in found.items()
    ]
    return Record(cell=Cell(kind="references", task=task, model="-"), figures=tuple(figures), provenance=PROVENANCE)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Nets of 90 to 99 %, seeds .1 points apart; `late` timed apart.

    The runtime gets the scores of `liar` wrong.
    """
    folder = tmp_path_factory.mktemp("claims")
    store = Store(folder)
    nets = {"small": (40, 1.0), "rival": (40, 2.0), "slow": (100, 3.0), "best": (10, 1.5)}
    nets |= {"late": (40, 1.0), "liar": (40, 1.0)}
    records = [
        make_training(folder, name, i, n_wrong + i, task="toy", scale=scale * (1 + 0.01 * math.sin(i * (scale + 1))))
        for name, (n_wrong, scale) in nets.items()
        for i in range(5)
    ]
    records += [make_training(folder, "lone", 0, 40, task="toy", scale=1.0)]
    sizes = {"small": (1000, 1e-5), "rival": (900, 1.5e-5), "slow": (5000, 3e-5), "best": (9000, 0.8e-5)}
    for name, (n_parameters, latency_s) in sizes.items():
        records += make_measured(name, n_parameters, latency_s, "a")
    records += [*make_measured("late", 1000, 2e-5, "b"), *make_measured("liar", 1000, 2e-5, "a")]
    records += [make_references("toy", 2.0), make_references("toy+raw", 1.0)]
    store.add_done([(record, "f") for record in records])
    return store


def evaluate(store: Store, tmp_path: Path, *claims: str, head: str = "") -> Verdicts:
    """Verdicts on claims that are given by their own fields only."""
    blocks = [
        f'[[claim]]\nid = "c{i}"\nsentence = "It is so."\nsource = "us"\n' + claim.replace("; ", "\n")
        for i, claim in enumerate(claims)
    ]
    path = tmp_path / "mine.toml"
    path.write_text(head + "\n" + "\n".join(blocks))
    return judge_store(store, path)


def judge_one(store: Store, tmp_path: Path, claim: str) -> Judgement:
    return evaluate(store, tmp_path, 'task = "toy"; model = "small"; ' + claim).judgements[0]


VERDICTS = {
    'kind = "reaches"; target = 0.95; share = 0.5': Verdict.supported,
    'kind = "reaches"; target = 0.95; share = 0.6': Verdict.inconclusive,
    'kind = "reaches"; target = 0.90; share = 0.5': Verdict.not_measured,
    'kind = "above"; value = 0.94': Verdict.supported,
    'kind = "above"; value = 0.958': Verdict.inconclusive,
    'kind = "above"; value = 0.98': Verdict.refuted,
    'kind = "above"; value = 0.94; metric = "test_balanced_accuracy"': Verdict.supported,
    'kind = "above"; value = 0.5; metric = "validation_accuracy"': Verdict.not_measured,
    'kind = "above"; observer = "chance"': Verdict.not_measured,
    'kind = "above"; value = 0.5; data = "synthetic"': Verdict.not_measured,
    'kind = "non_inferior"; against = ["rival"]; margin = 0.01': Verdict.supported,
    'kind = "non_inferior"; against = ["rival", "slow"]; margin = 0.01': Verdict.supported,
    'kind = "non_inferior"; against = ["rival", "best"]; margin = 0.01': Verdict.refuted,
    'kind = "non_inferior"; against = ["rival"]; margin = 0.001': Verdict.inconclusive,
    'kind = "non_inferior"; against = ["lone"]; margin = 0.01': Verdict.not_measured,
    'kind = "non_inferior"; against = ["slow"]; margin = 0.0; metric = "generalisation_gap"': Verdict.supported,
    'kind = "non_inferior"; against = ["best"]; margin = 0.0; metric = "generalisation_gap"': Verdict.refuted,
    'kind = "ratio"; against = ["rival", "slow"]; metric = "latency_s"; batch = 1': Verdict.supported,
    'kind = "ratio"; against = ["rival", "slow"]; metric = "latency_s"; factor = 2.0': Verdict.refuted,
    'kind = "ratio"; against = ["best"]; metric = "latency_s"': Verdict.refuted,
    'kind = "ratio"; against = ["best"]; metric = "latency_s"; comparable_within = 0.01': Verdict.not_measured,
    'kind = "ratio"; against = ["rival", "best"]; metric = "latency_s"; comparable_within = 0.01': Verdict.supported,
    'kind = "ratio"; against = ["best"]; metric = "latency_s"; comparable_within = 0.03': Verdict.inconclusive,
    'kind = "ratio"; against = ["late"]; metric = "latency_s"': Verdict.not_measured,
    'kind = "ratio"; against = ["liar"]; metric = "latency_s"': Verdict.not_measured,
    'kind = "ratio"; against = ["rival"]; metric = "latency_s"; batch = 64': Verdict.not_measured,
    'kind = "ratio"; against = ["rival"]; metric = "latency_s"; device = "cuda"': Verdict.not_measured,
    'kind = "ratio"; against = ["rival"]; metric = "training_s"; factor = 1.9': Verdict.supported,
    'kind = "ratio"; against = ["slow"]; metric = "time_to_target_s"': Verdict.inconclusive,
    'kind = "ratio"; against = ["slow"]; metric = "n_parameters"; factor = 4': Verdict.supported,
    'kind = "ratio"; against = ["rival"]; metric = "n_parameters"': Verdict.refuted,
    'kind = "ratio"; against = ["rival"]; metric = "training_energy_j"': Verdict.not_measured,
    'kind = "ratio"; against = ["rival"]; metric = "inference_energy_j"': Verdict.not_measured,
    'kind = "ordered"; against = ["slow", "best"]': Verdict.supported,
    'kind = "ordered"; against = ["slow", "late"]': Verdict.refuted,
    'kind = "paired"; control_model = "slow"': Verdict.supported,
    'kind = "paired"; control_model = "slow"; margin = 0.08': Verdict.refuted,
    'kind = "paired"; control_model = "rival"; effect = "ratio"; metric = "time_to_target_s"': Verdict.supported,
    'kind = "paired"; control_task = "other"': Verdict.not_measured,
    'kind = "paired"; control_task = "toy+raw"; effect = "ratio"; metric = "image_snr"': Verdict.refuted,
    'kind = "paired"; control_task = "toy+raw"; effect = "ratio"; metric = "pooled_snr"; factor = 1': Verdict.supported,
    'kind = "paired"; control_task = "toy+raw"; effect = "ratio"; metric = "pooled_snr"; factor = 3': Verdict.refuted,
}


@pytest.mark.parametrize("claim", VERDICTS)
def test_every_kind_towards_its_verdict(claim: str, store: Store, tmp_path: Path) -> None:
    """Each predicate over nets of known figures gets the verdict that a person would give."""
    judgement = judge_one(store, tmp_path, claim)
    assert judgement.verdict == VERDICTS[claim], judgement
    assert judgement.evidence
    assert bool(judgement.decides) == (judgement.verdict in (Verdict.inconclusive, Verdict.not_measured))


def test_ratio_by_hand(store: Store, tmp_path: Path) -> None:
    """Processes differ by up to 1.8 x and models share them: the ratio of 1.5 has bounds within two percent."""
    finding = judge_one(store, tmp_path, 'kind = "ratio"; against = ["rival"]; metric = "latency_s"').finding
    assert finding is not None
    (comparison,) = finding.comparisons
    lo, hi = comparison.estimate.compute_interval(0.05)
    assert 1.47 < math.exp(lo) < math.exp(comparison.estimate.value) < math.exp(hi) < 1.53


def test_modelled_energy_names_the_verdict_beside(store: Store, tmp_path: Path) -> None:
    """Modelled joules decide nothing, whatever they say; the claim on time is named with its verdict."""
    verdicts = evaluate(
        store,
        tmp_path,
        'kind = "ratio"; task = "toy"; model = "small"; against = ["best"]; metric = "inference_energy_j"'
        '; beside = "c1"',
        'kind = "ratio"; task = "toy"; model = "small"; against = ["rival"]; metric = "latency_s"',
    )
    text = describe_judgement(verdicts.get("c0"), verdicts)
    assert verdicts.get("c0").verdict is Verdict.not_measured
    assert "modelled only" in text
    assert "RAPL or NVML" in text
    assert "c1, SUPPORTED" in text


def test_claims_are_corrected_together(store: Store, tmp_path: Path) -> None:
    """5 of 5 seeds over one half (p = .013) hold alone, not beside an open claim; the reason says so."""
    reaches = 'kind = "reaches"; task = "toy"; model = "small"; target = 0.95; share = 0.5'
    unclear = 'kind = "above"; task = "toy"; model = "small"; value = 0.958'
    verdicts = evaluate(store, tmp_path, reaches, unclear)
    assert verdicts.get("c0").verdict is Verdict.inconclusive
    assert verdicts.get("c0").p == pytest.approx(2 * 0.01267, rel=1e-3)
    assert "significant on its own" in verdicts.get("c0").decides
    assert "6 seeds" in verdicts.get("c0").decides
    assert "Holm" in describe_families(verdicts)[1]
    assert "Corrected p 0.025" in list_sentences(verdicts)[0]


def test_composite_follows_its_parts(store: Store, tmp_path: Path) -> None:
    """All must be supported; one that is refuted refutes; the composite itself is no test."""
    common = 'task = "toy"; model = "small"; kind = "above"'
    parts = [f"{common}; value = {value}" for value in (0.9, 0.92, 0.99, 0.958)]
    composites = [f'kind = "composite"; all_of = {names}' for names in ('["c0", "c1"]', '["c0", "c2"]', '["c0", "c3"]')]
    verdicts = evaluate(store, tmp_path, *parts, *composites)
    found = [verdicts.get(f"c{i}").verdict for i in (4, 5, 6)]
    assert found == [Verdict.supported, Verdict.refuted, Verdict.inconclusive]
    assert verdicts.n_tested == 4


@pytest.mark.parametrize(
    ("values", "code"), [((0.9,), 0), ((0.9, 0.99), 10), ((0.9, 0.958), 11), ((0.9, 0.958, None), 12)]
)
def test_exit_code_is_the_worst(values: tuple[float | None, ...], code: int, store: Store, tmp_path: Path) -> None:
    """All supported 0, one refuted 10, one open 11, one not measured 12."""
    claims = [
        f'kind = "above"; model = "small"; task = "{"toy" if value else "spect"}"; value = {value or 0.5}'
        for value in values
    ]
    assert evaluate(store, tmp_path, *claims).exit_code == code


def test_refuted_names_the_nearest_that_holds(store: Store, tmp_path: Path) -> None:
    """The sentence is not repeated as if it held, and what holds instead is said."""
    common = 'kind = "above"; task = "toy"; model = "small"'
    verdicts = evaluate(store, tmp_path, f'{common}; value = 0.99; nearest = "c1"', f"{common}; value = 0.9")
    text = describe_judgement(verdicts.get("c0"), verdicts)
    assert text.startswith("Refuted: “It is so.”")
    assert "What holds: It is so." in text
    verdicts = evaluate(store, tmp_path, f'{common}; value = 0.99; nearest = "c1"', f"{common}; value = 0.98")
    assert "is REFUTED itself" in describe_judgement(verdicts.get("c0"), verdicts)


def test_table_has_a_line_for_each_claim_with_what_decides(store: Store, tmp_path: Path) -> None:
    """Of two opponents the one with the larger p-value is shown, the other is counted; all stand in the words."""
    claim = 'kind = "ratio"; task = "toy"; model = "small"; against = ["slow", "rival"]; metric = "latency_s"'
    verdicts = evaluate(store, tmp_path, claim, 'kind = "above"; task = "toy"; model = "small"; value = 0.99')
    ratio = max(verdicts.get("c0").finding.comparisons, key=lambda c: c.p[0])  # type: ignore[union-attr]
    assert describe_evidence(verdicts.get("c0")) == f"{ratio.describe(0.05)}; 1 more below"
    (table,) = make_claim_tables(verdicts)
    rows = table.rows
    assert [row[:2] for row in rows] == [["c0", "SUPPORTED"], ["c1", "REFUTED"]]
    assert all(f"{name} over small" in list_sentences(verdicts)[0] for name in ("slow", "rival"))


def test_json_holds_what_decided(store: Store, tmp_path: Path) -> None:
    """Plain JSON without infinities, with bounds, threshold and both p-values."""
    claim = 'kind = "ratio"; task = "toy"; model = "small"; against = ["slow"]; metric = "time_to_target_s"'
    found = json.loads(json.dumps(to_json(evaluate(store, tmp_path, claim)), allow_nan=False))
    (comparison,) = found["claims"][0]["comparisons"]
    assert comparison["threshold"] == 0
    assert comparison["hi"] is None
    assert 0 < comparison["p_support"] < 0.5 < comparison["p_refute"]


COMMON = 'sentence = "s"\nsource = "s"\ntask = "toy"\nmodel = "small"\n'
GOOD = f'[[claim]]\nid = "a"\nkind = "above"\nvalue = 0.5\n{COMMON}'
BAD = {
    "unknown kind": (f'{GOOD}[[claim]]\nid = "b"\nkind = "obove"\n{COMMON}', "line 9"),
    "unknown field": (f'{GOOD}\n[[claim]]\nid = "b"\nkind = "above"\nvalues = 1\n{COMMON}', "values (line 13)"),
    "out of range": (f'[[claim]]\nid = "b"\nkind = "reaches"\ntarget = 95\nshare = 0.5\n{COMMON}', "target (line 4)"),
    "missing field": (f'{GOOD}[[claim]]\nid = "b"\nkind = "reaches"\nshare = 0.5\n{COMMON}', "target (line 9)"),
    "wrong metric": (f'[[claim]]\nid = "b"\nkind = "ordered"\nmetric = "mac"\n{COMMON}', "metric (line 4)"),
    "both limits": (f'{GOOD}observer = "chance"\n', "value or observer"),
    "same name twice": (GOOD + GOOD, "two claims are called a"),
    "nearest is nobody": (f'{GOOD}nearest = "b"\n', "no other claim is called b"),
    "file alpha": (f"alpha = 2\n{GOOD}", "alpha (line 1)"),
    "laxer alpha": (f"{GOOD}alpha = 0.5\n", "laxer"),
    "no claim": ("alpha = 0.05\n", "claim"),
    "empty list": ("claim = []\n", "without a claim"),
    "not TOML": ("[[claim]\n", "line 1"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_point_at_the_line(case: str, tmp_path: Path) -> None:
    """Each mistake is an error of usage with the file, the field and its line."""
    text, words = BAD[case]
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        load_claims(path)
    assert str(path) in caught.value.cause
    assert words in caught.value.cause


def test_lines_are_found_in_tables_and_above_them() -> None:
    """A key of its own table only, an inline one, a top-level one, and one that is nowhere."""
    text = 'x = 1\n[[a]]\nx = 2\n[[a]]\ny = 3\n"x" = 4\n[b]\nz = 5\n'
    assert find_line(text, ("x",)) == 1
    assert find_line(text, ("a", 0, "tag", "x")) == 3
    assert find_line(text, ("a", 1, "x")) == 6
    assert find_line(text, ("b", "z")) == 8
    assert find_line(text, ("a", 0, "y")) == 2
    assert find_line(text, ("nowhere",)) is None


def test_own_claims_name_only_what_exists() -> None:
    """The course's file loads, every claim is traced, and its digit nets are registered."""
    claims = load_claims().claim
    assert len(claims) > 40
    for claim in claims:
        assert claim.source.startswith("Course")
        if claim.task == "usps":
            assert all(name in MODELS for name in claim.list_population("model"))


def test_report_opens_with_the_claims(tmp_path: Path) -> None:
    """The section has one row per claim about a task of the store, and its sentences are those of the verdicts."""
    store = Store(tmp_path)
    store.add_done([(make_training(tmp_path, "softmax", 0, 40, task="usps", scale=1.0), "f")])
    section = make_claim_section(load_results(store))
    about_digits = [claim.id for claim in load_claims().claim if claim.task == "usps" or claim.parts]
    shown = [row[0].partition(" ")[0] for table in section.tables for row in table.rows]
    assert sorted(shown) == sorted(about_digits)
    assert "NOT MEASURED" in section.lead[0]


def test_report_judges_the_file_that_is_named(store: Store, tmp_path: Path) -> None:
    """Its claims stand in place of the others; one about a task without results is counted and not shown."""
    path = tmp_path / "mine.toml"
    path.write_text(GOOD + GOOD.replace('"a"', '"b"').replace('"toy"', '"usps"'))
    section = make_claim_section(load_results(store), path)
    assert [row[0] for row in section.tables[0].rows] == ["a"]
    assert section.lead[-1] == "Not shown: 1 claims about tasks that have no results here."


def test_report_command_takes_claims(store: Store, tmp_path: Path) -> None:
    """`report --claims` writes their sentences; a misspelt model in them is an error, as of `claims`."""
    path, to = tmp_path / "mine.toml", tmp_path / "report"
    words = ["report", "--out", str(store.folder), "--to", str(to), "--format", "json", "--claims", str(path)]
    path.write_text(GOOD)
    assert CliRunner().invoke(app, words).exit_code == 0
    sections = json.loads((to / "report.json").read_text(encoding="utf-8"))["page"]["sections"]
    (section,) = [section for section in sections if section["name"] == "claims"]
    assert section["tables"][0]["rows"][0][:2] == ["a", "SUPPORTED"]
    assert [claim["name"] for claim in section["groups"][0]["claims"]] == ["a"]
    path.write_text(GOOD.replace('"small"', '"smoll"'))
    assert isinstance(CliRunner().invoke(app, words).exception, UsageError)


def test_misspelt_model_is_found(store: Store, tmp_path: Path) -> None:
    """A name that is neither registered nor in the store would never be measured: exit 2 before any verdict."""
    path = tmp_path / "mine.toml"
    path.write_text(GOOD.replace('"small"', '"smoll"'))
    result = CliRunner().invoke(app, ["claims", "--out", str(store.folder), "--file", str(path)])
    assert isinstance(result.exception, UsageError)
    assert "smoll" in result.exception.cause
    assert "line 2" in result.exception.cause


def test_claims_in_utf_16_are_checked_by_name(store: Store, tmp_path: Path) -> None:
    """The line of a misspelt model is found in them too."""
    path = tmp_path / "mine.toml"
    path.write_bytes(GOOD.replace('"small"', '"smoll"').encode("utf-16"))
    result = CliRunner().invoke(app, ["claims", "--out", str(store.folder), "--file", str(path)])
    assert isinstance(result.exception, UsageError)
    assert "line 2" in result.exception.cause
    assert "did you mean small" in result.exception.remedy


def test_command_as_installed(finished: Command, tmp_path: Path) -> None:
    """A real run: its accuracy by the exported file's own scores, at 80 columns, as JSON, with the exit code."""
    file = finished.folder / "mine.toml"
    file.write_text(GOOD.replace('"toy"', '"usps"').replace('"small"', '"softmax"'))
    done = finished("claims", "--file", "mine.toml")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("SUPPORTED     a\n")
    assert max(map(len, done.stdout.splitlines())) <= 80
    (claim,) = finished.json("claims", "--file", "mine.toml")["claims"]  # type: ignore[index]
    listed = finished.json("report", "--format", "csv", "--to", str(tmp_path))["files"]  # type: ignore[index]
    with Path(listed[0]).open() as table:
        rows = [row for row in csv.DictReader(table) if row["name"] == "test_accuracy" and row["cell"] == "train"]
    evaluated = [float(row["value"]) for row in rows if json.loads(row["conditions"])["backend"] == "onnxruntime"]
    assert claim["comparisons"][0]["value"] == pytest.approx(np.mean(evaluated))
    assert finished("claims").returncode == 12
