"""Claims about costs in a store of several kinds of machine: a comparison for each that both sides were trained on."""

import math
from pathlib import Path

import pytest

from dlmi_bench.records import Cell, Figure, Record
from dlmi_bench.store import Store
from dlmi_reports.claims.dump import to_json
from dlmi_reports.claims.verdicts import ClaimVerdict as Verdict
from dlmi_reports.claims.verdicts import Judgement, judge_store
from dlmi_reports.front.answer import make_answer
from dlmi_reports.page import judge
from dlmi_reports.results.load import load_results
from dlmi_reports.results.machines import NOT_COMPARABLE
from report_stores import CPU, FAST, SLOW, keep_answers, measured_records, move, train_on

HEAD = '[[claim]]\nid = "{id}"\nsentence = "It is so."\nsource = "us"\ntask = "toy"\nmodel = "m"\n'
RATIO = 'kind = "ratio"\nmetric = "{metric}"\nagainst = ["{other}"]\nfactor = {factor}\n'


def train(folder: Path, kind: str, model: str, index: int, training_s: float) -> Record:
    """A training with 10 wrong answers; every other one of `m` takes a little longer."""
    took_s = training_s * (1.01 if model == "m" and index % 2 else 1.0)
    return keep_answers(folder, train_on(kind, model, index, 0.9, took_s, took_s / 2), range(10))


def meter(model: str, energy_j: float, kind: str) -> Record:
    """Joules of two processes, of which the second needs a little more, by the length of the model's name."""
    samples = (energy_j, energy_j * (1 + 0.001 * len(model)))
    figure = Figure(name="inference_energy_j", value=energy_j, kind="measured", source="rapl", conditions=CPU)
    figure = figure.model_copy(update={"samples": samples})
    return move(Record(cell=Cell(kind="energy", task="toy", model=model), figures=(figure,)), kind)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """`m` on both machines: 3 times as fast as `both` on one and 2 times on the other.

    `turned` is faster than `m` on the fast machine alone, `apart` was trained on a third one, `once` has one seed on
    the slow one.
    """
    folder = tmp_path_factory.mktemp("claims")
    places = {
        "m": {FAST: (1.0, range(3)), SLOW: (100.0, range(3, 6))},
        "both": {FAST: (3.0, range(3)), SLOW: (200.0, range(3, 6))},
        "turned": {FAST: (0.5, range(3)), SLOW: (900.0, range(3, 6))},
        "apart": {"third": (3.0, range(6))},
        "once": {FAST: (4.0, range(3)), SLOW: (100.0, range(3, 4))},
        "swapped": {SLOW: (100.0, range(3)), FAST: (1.0, range(3, 6))},
    }
    records = [
        train(folder, kind, model, index, training_s)
        for model, found in places.items()
        for kind, (training_s, indices) in found.items()
        for index in indices
    ]
    latencies = [move(measured_records("m", 10, 1e-5)[0], FAST), move(measured_records("both", 10, 3e-5)[0], SLOW)]
    store = Store(folder)
    joules = [meter("m", 1.0, FAST), meter("both", 3.0, SLOW), meter("turned", 2.0, FAST)]
    store.add_done([(record, "f") for record in (*records, *latencies, *joules)])
    return store


def judge_one(store: Store, text: str) -> Judgement:
    path = store.folder / "mine.toml"
    path.write_text(HEAD.format(id="a") + text, encoding="utf-8")
    return judge_store(store, path).judgements[0]


def ask(store: Store, other: str, metric: str = "training_s", factor: float = 1.5) -> Judgement:
    return judge_one(store, RATIO.format(other=other, metric=metric, factor=factor))


def test_ratio_is_compared_on_each_machine(store: Store) -> None:
    """3 x on one, 2 x on the other; pooled over six seeds it would be 2.45 x with a wide interval."""
    judged = ask(store, "both")
    assert judged.verdict is Verdict.supported
    assert judged.finding is not None
    assert [(c.kind, c.estimate.value) for c in judged.finding.comparisons] == [
        (FAST, pytest.approx(math.log(3), abs=0.02)), (SLOW, pytest.approx(math.log(2), abs=0.02)),
    ]  # fmt: skip
    assert judged.evidence[0].startswith(f"training, both over m, on {FAST}: 2.99")
    assert judged.evidence[1].startswith(f"training, both over m, on {SLOW}: 1.99")
    (claim,) = to_json(judge_store(store, store.folder / "mine.toml"))["claims"]  # type: ignore[index,call-overload]
    assert claim["comparisons"][1]["what"] == f"training, both over m, on {SLOW}"


def test_claim_has_to_hold_on_each_machine(store: Store) -> None:
    """9 x on the slow machine and half on the fast one: refuted, although the mean ratio of all six is 2.1 x."""
    assert ask(store, "turned").verdict is Verdict.refuted
    assert ask(store, "turned", "time_to_target_s").verdict is Verdict.refuted
    assert ask(store, "both", factor=2.5).verdict is Verdict.refuted


def test_machine_with_one_pair_says_nothing(store: Store) -> None:
    """One seed of both on the slow machine has no spread: the fast one alone is compared, and named."""
    judged = ask(store, "once")
    assert (judged.verdict, len(judged.evidence)) == (Verdict.supported, 1)
    assert f"on {FAST}: 3.99" in judged.evidence[0]


@pytest.mark.parametrize(
    ("other", "metric", "why"),
    [
        ("apart", "training_s", f"training_s: {NOT_COMPARABLE}"),
        ("apart", "time_to_target_s", f"time_to_target_s: {NOT_COMPARABLE}"),
        ("both", "latency_s", f"latency_s: {NOT_COMPARABLE}"),
        ("both", "inference_energy_j", f"inference_energy_j: {NOT_COMPARABLE}"),
        ("swapped", "training_s", "training_s: fewer than two seeds on both sides"),
    ],
)
def test_no_machine_in_common_is_not_measured(store: Store, other: str, metric: str, why: str) -> None:
    """Three times the cost on another machine, or the same seeds elsewhere, support nothing."""
    judged = ask(store, other, metric)
    assert (judged.verdict, judged.evidence[0]) == (Verdict.not_measured, why)


def test_energy_of_one_machine_names_it(store: Store) -> None:
    """Twice the joules on the fast machine, on which both were metered."""
    judged = ask(store, "turned", "inference_energy_j")
    assert judged.verdict is Verdict.supported
    assert f"on {FAST}: 2" in judged.evidence[0]


def test_arms_are_compared_on_each_machine_and_epochs_on_all(store: Store) -> None:
    """Times within 1.2 x of half as long on neither; epochs, which are alike, are pooled over all six seeds."""
    arms = 'kind = "bounded"\ncontrol_model = "both"\neffect = "ratio"\nfactor = {factor}\nmetric = "{metric}"\n'
    times = judge_one(store, arms.format(factor=2.5, metric="time_to_target_s"))
    assert times.verdict is Verdict.refuted  # by 3 x on the fast machine
    assert [f", on {kind}: " in text for kind, text in zip((FAST, SLOW), times.evidence, strict=True)] == [True, True]
    epochs = judge_one(store, arms.format(factor=200, metric="epochs_to_target"))
    assert epochs.finding is not None
    (comparison,) = epochs.finding.comparisons
    assert comparison.kind == ""
    assert " on Acme" not in epochs.evidence[0]


def test_answer_names_the_machine_of_each_gain(store: Store) -> None:
    """The sentence in front says on which machine it trains how much faster."""
    path = store.folder / "mine.toml"
    equal = 'kind = "non_inferior"\nagainst = ["both"]\nmargin = 0.2\n'
    ratio = RATIO.format(other="both", metric="training_s", factor=1.5)
    path.write_text(HEAD.format(id="a") + equal + HEAD.format(id="b") + ratio, encoding="utf-8")
    results = load_results(store)
    sentence = make_answer(judge(results, path)[0], results).sentences[0]
    assert f"x as fast on {FAST} and trains 1.99 [" in sentence
    assert sentence.endswith(f"x as fast on {SLOW}.")
