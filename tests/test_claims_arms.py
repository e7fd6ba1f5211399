"""Claims of equivalence and of bounded changes, and about arms over the same seeds: fluctuation, epochs to target."""

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from scipy.stats import foldnorm

from dlmi_bench.errors import UsageError
from dlmi_bench.records import UNTIMED, Figure, Record, unavailable
from dlmi_bench.store import Store
from dlmi_reports.claims.dump import to_json
from dlmi_reports.claims.fluctuation import compute_fluctuation, pair_fluctuations, read_fluctuation
from dlmi_reports.claims.ratios import pair_seeds
from dlmi_reports.claims.verdicts import ClaimVerdict as Verdict
from dlmi_reports.claims.verdicts import Judgement, judge_store
from dlmi_reports.results.arrays import UnmeasuredError
from dlmi_reports.results.model import ModelResults
from report_stores import keep_answers, train_record

HEAD = '[[claim]]\nid = "a"\nsentence = "It is so."\nsource = "us"\ntask = "toy"\nmodel = "m"\n'
DIVERGED = math.nan
SEEDS = range(6)


def make_curve(spread: float, index: int, level: float = 0.5) -> list[float]:
    """Losses that fall, then swing by +-`spread` in log, a little more in every other seed."""
    swing = spread * (1.05 if index % 2 else 1.0)
    return [8 * level, *(level * math.exp(swing * (-1) ** i) for i in range(8))]


def make_record(
    folder: Path, model: str, index: int, *, n_wrong: int = 10, curve: Sequence[float], epochs: float | None = 3
) -> Record:
    record = keep_answers(folder, train_record(model, index, 1 - n_wrong / 100, 1.0), range(n_wrong))
    to_target = (
        unavailable("epochs_to_target", "censored: not reached")
        if epochs is None
        else Figure(name="epochs_to_target", value=epochs, kind="measured", source="c")
    )
    entries = [{"epoch": i, "validation_accuracy": 0.5, "validation_loss": loss} for i, loss in enumerate(curve)]
    others = [figure for figure in record.figures if figure.name != to_target.name]
    changed = {"figures": (*others, to_target), "details": record.details | {"curve": entries}}
    return record.model_copy(update=changed)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Arms with the seeds of `m`: alike, shaky and worse by 10 points, on another machine, diverged and censored."""
    folder = tmp_path_factory.mktemp("arms")
    store, records = Store(folder), []
    for i in SEEDS:
        records += [
            make_record(folder, "m", i, n_wrong=10 + i % 2, curve=make_curve(0.1, i), epochs=3 + i % 2),
            make_record(folder, "m+alike", i, n_wrong=10 + (i + 1) % 2, curve=make_curve(0.1, i + 1, 3), epochs=3),
            make_record(folder, "m+shaky", i, n_wrong=20 + i % 2, curve=make_curve(0.3, 0), epochs=9),
            make_record(
                folder,
                "m+lost",
                i,
                curve=[*make_curve(0.3, 0)[:-1], DIVERGED],
                epochs=None if i else 9,
            ),
            make_record(folder, "m+short", i, curve=[1.0, 0.5, 0.4]),
            make_record(folder, "m+flat", i, curve=[0.4] * 9),
        ]
    away = [make_record(folder, "m+away", i, curve=make_curve(0.3, 0), epochs=9 + i % 2) for i in SEEDS]
    elsewhere = {"provenance": {**away[0].provenance, "machine_id": "m2"}}
    records += [record.model_copy(update=elsewhere) for record in away]
    store.add_done([(record, "f") for record in records])
    return store


def judge(store: Store, text: str) -> Judgement:
    path = store.folder / "mine.toml"
    path.write_text(HEAD + text.replace("; ", "\n"), encoding="utf-8")
    return judge_store(store, path).judgements[0]


VERDICTS = {
    'kind = "equivalent"; against = ["m+alike"]; margin = 0.09': Verdict.supported,
    'kind = "equivalent"; against = ["m+alike"]; margin = 0.01': Verdict.inconclusive,
    'kind = "equivalent"; against = ["m+shaky"]; margin = 0.01': Verdict.refuted,
    'kind = "equivalent"; against = ["m+alike", "m+shaky"]; margin = 0.01': Verdict.refuted,
    'kind = "equivalent"; against = ["nobody"]; margin = 0.01': Verdict.not_measured,
    'kind = "bounded"; control_model = "m+alike"; margin = 0.09': Verdict.supported,
    'kind = "bounded"; control_model = "m+shaky"; margin = 0.01': Verdict.refuted,
    'kind = "bounded"; control_model = "m+away"; effect = "ratio"; metric = "epochs_to_target"; factor = 4': (
        Verdict.supported
    ),
    'kind = "bounded"; control_model = "m+away"; effect = "ratio"; metric = "epochs_to_target"; factor = 2': (
        Verdict.refuted
    ),
    'kind = "bounded"; control_model = "m+alike"; effect = "stability"; factor = 1.2': Verdict.supported,
    'kind = "bounded"; control_model = "m+shaky"; effect = "stability"; factor = 1.2': Verdict.refuted,
    'kind = "paired"; control_model = "m+shaky"; effect = "stability"; factor = 2.8': Verdict.supported,
    'kind = "paired"; control_model = "m+shaky"; effect = "stability"; factor = 3.1': Verdict.refuted,
    'kind = "paired"; control_model = "m+alike"; effect = "stability"': Verdict.inconclusive,
    'kind = "paired"; control_model = "m+away"; effect = "stability"; test = "paired-t"': Verdict.supported,
    'kind = "paired"; control_model = "m+lost"; effect = "stability"': Verdict.supported,
    'kind = "paired"; control_model = "m+short"; effect = "stability"': Verdict.not_measured,
    'kind = "paired"; control_model = "m+flat"; effect = "stability"': Verdict.not_measured,
    'kind = "paired"; control_model = "m+away"; effect = "ratio"; metric = "epochs_to_target"': Verdict.supported,
    'kind = "paired"; control_model = "m+lost"; effect = "ratio"; metric = "epochs_to_target"': Verdict.supported,
    'kind = "paired"; control_model = "m+away"; effect = "ratio"; metric = "time_to_target_s"': Verdict.not_measured,
}


@pytest.mark.parametrize("claim", VERDICTS)
def test_each_kind_towards_its_verdict(claim: str, store: Store) -> None:
    """Arms of known figures get the verdict that a person would give; another machine bars times, not counts."""
    judged = judge(store, claim)
    assert judged.verdict == VERDICTS[claim], judged
    assert bool(judged.decides) == (judged.verdict in (Verdict.inconclusive, Verdict.not_measured))


def test_difference_is_written_once(store: Store) -> None:
    """One line for both directions, with the margin; the figures are those of the difference itself."""
    judged = judge(store, 'kind = "equivalent"; against = ["m+alike"]; margin = 0.09')
    line, *others = judged.evidence
    assert others == ["tuning not counted for m, m+alike"]
    assert line.startswith("test accuracy, m minus m+alike: 0")
    assert line.endswith(" points, margin 9 either way")
    judged = judge(store, 'kind = "bounded"; control_model = "m+shaky"; effect = "stability"; factor = 1.2')
    assert judged.evidence[0].startswith("fluctuation of the validation loss, m+shaky on toy over m on toy: 2.9")
    assert judged.evidence[0].endswith(" x, claimed: within 1.2 x either way")


def test_json_of_an_equivalence(store: Store) -> None:
    """Plain numbers: the margin as threshold, and p-values that are those of the two one-sided tests."""
    judge(store, 'kind = "equivalent"; against = ["m+alike"]; margin = 0.09')
    path = store.folder / "mine.toml"
    (claim,) = json.loads(json.dumps(to_json(judge_store(store, path)), allow_nan=False))["claims"]
    (comparison,) = claim["comparisons"]
    assert (comparison["threshold"], comparison["is_exact"]) == (0.09, False)
    assert comparison["p_support"] < 0.025 < comparison["p_refute"]


def test_epochs_are_paired_by_seed(store: Store) -> None:
    """The p-value is that of scipy's t-test on log ratios of epochs, control over arm."""
    judged = judge(store, 'kind = "paired"; control_model = "m+away"; effect = "ratio"; metric = "epochs_to_target"')
    logs = [math.log((9 + i % 2) / (3 + i % 2)) for i in SEEDS]
    assert judged.p == pytest.approx(stats.ttest_1samp(logs, 0, alternative="greater").pvalue)
    assert judged.evidence[0].startswith("epochs to target, m+away on toy over m on toy:")


def test_censored_and_diverged_are_the_worst(store: Store) -> None:
    """Infinite ratios go through the sign test: 6 of 6 seeds, p 1/64."""
    for fields in ('effect = "stability"', 'effect = "ratio"; metric = "epochs_to_target"'):
        judged = judge(store, f'kind = "paired"; control_model = "m+lost"; {fields}')
        assert judged.p == pytest.approx(1 / 64)


def test_seeds_trained_beside_others_count_where_nothing_is_timed(tmp_path: Path) -> None:
    """Two timed seeds of six give the ratio of times; all six give that of epochs and of fluctuations."""
    sides = {}
    for model, epochs in (("m", 3), ("m+away", 9)):
        records = [make_record(tmp_path, model, i, curve=make_curve(0.1, i), epochs=epochs) for i in SEEDS]
        untimed = unavailable("time_to_target_s", UNTIMED)
        for i in SEEDS[2:]:
            kept = tuple(untimed if f.name == untimed.name else f for f in records[i].figures)
            records[i] = records[i].model_copy(update={"figures": kept})
        sides[model] = ModelResults(model, records)
    assert pair_seeds(*sides.values(), "time_to_target_s") == [0.0] * 2
    assert pair_seeds(*sides.values(), "epochs_to_target") == pytest.approx([math.log(3)] * 6)
    assert len(pair_fluctuations(*sides.values())) == 6


def test_fluctuation_by_hand() -> None:
    """Successive differences of logs of 1, -1, 2 log units: (1 + 1 + 2) / 3 sqrt(pi) / 2; the unit drops out."""
    losses = [math.exp(x) for x in (0, 1, 0, 2)]
    assert compute_fluctuation(losses) == pytest.approx(1.1816359)
    assert compute_fluctuation([7 * loss for loss in losses]) == pytest.approx(1.1816359)


def test_fluctuation_is_that_around_a_trend() -> None:
    """Errors of 10 % read as 10 %; a loss that halves every ten evaluations adds what a folded normal says, no more."""
    rng, slope = np.random.default_rng(0), math.log(2) / 10
    errors = rng.normal(0, 0.1, (1000, 20))
    read = [
        np.mean([compute_fluctuation(np.exp(row).tolist()) for row in errors - s * np.arange(20)]) for s in (0, slope)
    ]
    sd = 0.1 * math.sqrt(2)  # of a difference
    trended = math.sqrt(math.pi) / 2 * foldnorm.mean(slope / sd, scale=sd)
    assert read == pytest.approx([0.1, trended], rel=0.02)
    assert np.std(errors - slope * np.arange(20), axis=1).mean() > 0.4  # as a plain standard deviation sees it


def test_first_tenth_of_a_curve_counts_nothing(tmp_path: Path) -> None:
    """Nine evaluations: what the first is changes nothing, the second does; of eleven, the first two."""
    curve = make_curve(0.1, 0)
    whole = read_fluctuation(make_record(tmp_path, "m", 0, curve=curve))
    assert whole == pytest.approx(0.2 * math.sqrt(math.pi) / 2)
    assert read_fluctuation(make_record(tmp_path, "m", 0, curve=[DIVERGED, *curve[1:]])) == whole
    assert read_fluctuation(make_record(tmp_path, "m", 0, curve=[curve[0], 9.0, *curve[2:]])) > whole
    longer = read_fluctuation(make_record(tmp_path, "m", 0, curve=[9.0, 9.0, *curve[1:], curve[1]]))
    assert longer == pytest.approx(whole)


def test_curve_of_an_older_run_is_not_called_diverged(tmp_path: Path) -> None:
    """A loss that was never kept is no loss that is not finite; four evaluations are the fewest."""
    record = make_record(tmp_path, "m", 0, curve=make_curve(0.1, 0))
    bare = [{"epoch": e["epoch"]} for e in record.details["curve"]]
    with pytest.raises(UnmeasuredError, match="no validation loss"):
        read_fluctuation(record.model_copy(update={"details": {"curve": bare}}))
    with pytest.raises(UnmeasuredError, match="3 evaluations, 4 are needed"):
        read_fluctuation(make_record(tmp_path, "m", 0, curve=[1.0, 0.9, 1.0]))
    assert read_fluctuation(make_record(tmp_path, "m", 0, curve=[1.0, 0.9, 1.0, 0.9])) > 0


BAD = {
    'kind = "equivalent"; against = ["b"]': "margin",
    'kind = "equivalent"; against = ["b"]; margin = 0': "margin",
    'kind = "bounded"; control_model = "b"': "effect mean takes margin, and no factor",
    'kind = "bounded"; control_model = "b"; margin = 0.1; factor = 2': "takes margin, and no factor",
    'kind = "bounded"; control_model = "b"; effect = "stability"; margin = 0.1': "takes factor, and no margin",
    'kind = "bounded"; control_model = "b"; effect = "stability"; factor = 1': "factor",
    'kind = "bounded"; margin = 0.1': "give control_model, control_task or both",
    'kind = "bounded"; control_model = "b"; effect = "ratio"; metric = "image_snr"; factor = 2': "metric",
    'kind = "paired"; control_model = "b"; effect = "ratio"': "does not fit metric test_accuracy",
    'kind = "paired"; control_model = "b"; effect = "stability"; metric = "test_accuracy"': "does not fit",
    'kind = "paired"; control_model = "b"; effect = "stability"; test = "two-way"': "tested by paired-t",
    'kind = "paired"; control_model = "b"; metric = "epochs_to_target"': "effect mean does not fit",
}


@pytest.mark.parametrize("claim", BAD)
def test_fields_that_do_not_fit_are_named(claim: str, store: Store) -> None:
    """A margin for a ratio, a factor for a difference, a limit of nothing: errors that say so."""
    with pytest.raises(UsageError) as caught:
        judge(store, claim)
    assert BAD[claim] in caught.value.cause
