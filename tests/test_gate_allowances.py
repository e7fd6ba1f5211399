"""Deliberate growth: allowances for exact counts, their reasons, and what a gate says that judged no latency."""

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from dlmi_bench.errors import UsageError
from dlmi_bench.gating import output
from dlmi_bench.gating.checks import check_costs
from dlmi_bench.gating.growth import list_unused
from dlmi_bench.gating.output import GateOutcome, VerdictRow
from dlmi_bench.gating.settings import Settings, load_settings
from dlmi_bench.gating.sides.baseline import Entry
from dlmi_bench.gating.sides.candidate import Candidate
from dlmi_bench.gating.verdicts import Decision, Verdict

REASON = "wider first layer"


def allow(**growths: str) -> Settings:
    return Settings.model_validate({"allow": {"usps/*": {**growths, "reason": REASON}}})


def make_entry(**costs: int) -> Entry:
    nothing = {"input_shape": (1,), "data_sha256": {}, "artifacts": (), "trainings": (), "operators": {"Gemm": 10}}
    return Entry.model_validate({"task": "usps", "model": "m", "costs": costs, **nothing})


def check(settings: Settings, before: int, now: int, operators: dict[str, int] | None = None) -> list[Decision]:
    """Decisions on counts and operators of a model with `before` and now `now` parameters, and 10 Gemm before."""
    operators = operators or {"Gemm": 10}
    costs = {"n_parameters": now}
    candidate = Candidate({}, (1,), costs, operators, {}, name="usps/m", predictions={}, has_same_weights=True)
    return check_costs(make_entry(n_parameters=before), candidate, settings)


@pytest.mark.parametrize(
    ("now", "verdict"), [(999, "IMPROVED"), (1000, "SAME"), (1001, "PASS"), (1125, "PASS"), (1126, "REGRESSED")]
)
def test_growth_passes_up_to_the_allowance(now: int, verdict: str) -> None:
    """12.5 % of 1000 are 125 parameters, exactly; the next one is too many."""
    assert check(allow(n_parameters="+12.5 %"), 1000, now)[0].verdict == verdict


def test_growth_without_an_allowance_is_regressed() -> None:
    """One more parameter stops the gate, also where another count may grow."""
    for settings in (Settings(), allow(macs="+50 %")):
        assert check(settings, 1000, 1001)[0].verdict is Verdict.REGRESSED


def test_growth_is_compared_without_rounding() -> None:
    """10 % of 10**17 + 10 is exact in whole numbers; a float would not see the one parameter more."""
    before = 10**17 + 10
    limit = before + before // 10
    assert [check(allow(n_parameters="+10%"), before, n)[0].verdict for n in (limit, limit + 1)] == [
        "PASS",
        "REGRESSED",
    ]


@pytest.mark.parametrize(
    ("now", "use"),
    [
        (1100, "n_parameters: +10.0 % of the allowed +20 %"),
        (1000, "n_parameters: the allowed +20 % is not needed, remove it from the settings"),
    ],
)
def test_use_of_an_allowance_is_said(now: int, use: str) -> None:
    """How much of it is used, or that it is not needed any more, with its reason."""
    assert check(allow(n_parameters="+20 %"), 1000, now)[0].notes == (f"{use} (reason: {REASON})",)


def test_excess_is_named() -> None:
    """Growth beyond the allowance names both, and keeps the reason of the allowance."""
    decision = check(allow(n_parameters="+20 %"), 1000, 1500)[0]
    assert decision.why == "n_parameters 1000 -> 1500: +50.0 %, more than the allowed +20 %"
    assert REASON in decision.notes[0]


@pytest.mark.parametrize(
    ("operators", "verdict"),
    [({"Gemm": 12}, "PASS"), ({"Gemm": 9, "Conv": 1}, "PASS"), ({"Gemm": 13}, "REGRESSED"), ({"Gemm": 9}, "IMPROVED")],
)
def test_operators_have_an_allowance_of_their_own(operators: dict[str, int], verdict: str) -> None:
    """20 % of 10 operators are two more, or as many others; without it any change is REGRESSED."""
    assert check(allow(n_operators="+20 %"), 1, 1, operators)[1].verdict == verdict
    assert check(Settings(), 1, 1, operators)[1].verdict == ("IMPROVED" if verdict == "IMPROVED" else "REGRESSED")


def test_last_allowance_that_fits_counts(tmp_path: Path) -> None:
    """As for other limits, the last pattern that fits and states the count decides; its reason is shown."""
    path = tmp_path / "gate.toml"
    path.write_text(
        '[allow."usps/*"]\nmacs = "+20 %"\nn_parameters = "+20 %"\nreason = "a"\n'
        '[allow."usps/m"]\nmacs = "+5 %"\nreason = "b"\n'
    )
    settings = load_settings(path)
    assert settings.find_growth("usps/m", "macs") == ("+5 %", "b")
    assert settings.find_growth("usps/m", "n_parameters") == ("+20 %", "a")
    assert settings.find_growth("file/m", "macs") is None


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('macs = "+20 %"', "macs may grow without a reason"),
        ('macs = "+20 %"\nreason = " "', "macs may grow without a reason"),
        ('macs = "20 %"\nreason = "x"', r'write it like "\+20 %"'),
        ('macs = "-5 %"\nreason = "x"', r'write it like "\+20 %"'),
        ('macs = "+nan %"\nreason = "x"', r'write it like "\+20 %"'),
    ],
)
def test_unusable_allowances_are_refused(line: str, words: str, tmp_path: Path) -> None:
    """No reason, no sign, no number: an error of usage that names the file and the field."""
    path = tmp_path / "gate.toml"
    path.write_text(f'[allow."usps/m"]\n{line}\n')
    with pytest.raises(UsageError, match=rf"gate\.toml.*field allow\.usps/m.*{words}"):
        load_settings(path)


def test_allowance_that_fits_nothing_is_said() -> None:
    """A pattern without a model, or for a count that the model has not, has a line of its own."""
    settings = Settings.model_validate(
        {"allow": {name: {"macs": "+1 %", "n_operators": "+1 %", "reason": "x"} for name in ("usps/m", "gone")}}
    )
    assert list_unused(settings, [make_entry(n_parameters=1)]) == [
        f"allowance of {name!r} for {count}: no model of the baseline has this name and count, remove it"
        for name, count in (("usps/m", "macs"), ("gone", "macs"), ("gone", "n_operators"))
    ]


@pytest.mark.parametrize("now", [1000, 1100])
def test_reason_is_in_every_output(now: int, tmp_path: Path) -> None:
    """Table, summary, JUnit and JSON show why a count may grow, also where it has not."""
    settings = allow(n_parameters="+20 %")
    rows = tuple(VerdictRow("cost", decision) for decision in check(settings, 1000, now))
    outcome = GateOutcome(rows, {}, {}, settings)
    assert REASON in " ".join(output.format_table(outcome).split())
    assert REASON in output.format_summary(outcome)
    output.write_junit(outcome, tmp_path / "j.xml")
    assert REASON in str(ET.parse(tmp_path / "j.xml").findtext("testcase/system-out"))  # noqa: S314 - written above
    answer = json.loads(json.dumps(output.to_json(outcome)))
    assert REASON in answer["decisions"][0]["notes"][0]
    assert answer["settings"]["allow"] == {"usps/*": {"n_parameters": "+20 %", "reason": REASON}}


def make_green(*latencies: Decision) -> GateOutcome:
    settings = Settings.model_validate({"inconclusive": "warn", "disturbed": "warn"})
    rows = [VerdictRow("cost", Decision("usps/m counts", Verdict.SAME)), *(VerdictRow("latency", d) for d in latencies)]
    return GateOutcome(tuple(rows), {}, {}, settings)


OPEN = Decision("usps/m onnxruntime@1", Verdict.INCONCLUSIVE, "not resolved")
FAST = Decision("usps/m onnxruntime@64", Verdict.PASS)


def test_green_without_a_latency_warns() -> None:
    """On top of the summary, in the table, in the JSON and as an annotation of its own."""
    outcome = make_green(OPEN)
    words = "no latency was judged (1 without a verdict): this gate says nothing about speed"
    assert outcome.exit_code == 0
    assert output.format_annotations(outcome)[0] == f"::warning title=No latency was judged::{words}"
    assert output.format_summary(outcome).startswith(f"> [!WARNING]\n> {words}\n")
    assert words in " ".join(output.format_table(outcome).split())
    assert output.to_json(outcome)["warning"] == words
    assert make_green().warning


def test_gate_that_judged_a_latency_or_failed_does_not_warn() -> None:
    """One verdict on a latency is enough; a gate that fails says so itself."""
    assert make_green(OPEN, FAST).warning == ""
    assert make_green(OPEN, Decision("usps/m", Verdict.INVALID)).warning == ""
