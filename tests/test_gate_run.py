"""The gate around its statistics: baselines, settings, looks, outputs, and the command as installed."""

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from dlmi_bench.backends.export import write_onnx
from dlmi_bench.errors import DataError, UsageError
from dlmi_bench.gating import output
from dlmi_bench.gating.latency.benchmark import SIDES, Benchmarks, Failure, GateBenchmark, Replicate, Timings
from dlmi_bench.gating.latency.decision import INPROC
from dlmi_bench.gating.latency.looks import CONFIRMATION, decide_benchmarks
from dlmi_bench.gating.settings import Settings, load_settings
from dlmi_bench.gating.verdicts import Decision, Verdict
from dlmi_bench.instruments.onnx.activations import compute_peak_activation_bytes
from dlmi_bench.instruments.onnx.contents import count_operators
from dlmi_bench.instruments.onnx.loading import load_graph
from dlmi_bench.jobs.worker import JobError
from dlmi_bench.records import Conditions
from dlmi_models import MODELS
from stand_ins import Command

IDENTITY: Conditions = {"provider": "CPU", "precision": "float32", "threads": 1}


def make_benchmarks(*names: str) -> Benchmarks:
    shape = (1, 16, 16)
    benchmark = GateBenchmark(
        backend="onnxruntime",
        batch=1,
        input_shape=shape,
        candidate_shape=shape,
        baseline=Path("x"),
        candidate=Path("y"),
    )
    return dict.fromkeys(names, benchmark)


class Machine:
    """A machine of known noise: answers like a session, remembers what it was asked."""

    def __init__(self, slowdown: float = 0.0, sd: float = 0.003, extra: float = 0.10) -> None:
        self.slowdown, self.sd, self.extra = slowdown, sd, extra
        self.asked: list[tuple[tuple[str, ...], int]] = []
        self.conditions: dict[str, Conditions] = {side: {**IDENTITY} for side in SIDES}
        self.is_pinned = True

    def __call__(self, benchmarks: Benchmarks, index: int) -> Replicate:
        self.asked.append((tuple(benchmarks), index))
        return Replicate({name: self.run(index) for name in benchmarks}, self.is_pinned)

    def run(self, index: int) -> Timings:
        rng = np.random.default_rng(index)
        factors = {"candidate": 1 + self.slowdown, "slowed": 1 + self.extra}
        level = {side: factors.get(side, 1.0) * np.exp(self.sd * rng.standard_normal()) for side in SIDES}
        rounds = {side: (2e-5 * level[side] * np.exp(0.01 * rng.standard_normal(100))).tolist() for side in SIDES}
        return Timings(100, rounds, dict.fromkeys(SIDES, 0.0), self.conditions)


def decide(machine: Machine, *names: str) -> dict[str, Decision]:
    benchmarks = make_benchmarks(*(names or ("a",)))
    return decide_benchmarks(benchmarks, dict.fromkeys(benchmarks, 0.05), machine, INPROC)


def test_unchanged_passes_at_the_first_look() -> None:
    """On a quiet machine three processes decide, and nothing more is asked."""
    machine = Machine()
    assert decide(machine)["a"].verdict is Verdict.PASS
    assert [index for _, index in machine.asked] == [0, 1, 2]


def test_a_red_is_confirmed_in_new_processes() -> None:
    """20 % slower is REGRESSED only after a second session of other processes was red too."""
    machine = Machine(slowdown=0.2)
    decision = decide(machine)["a"]
    assert decision.verdict is Verdict.REGRESSED
    assert decision.estimate == pytest.approx(1.2, abs=0.02)
    assert [index for _, index in machine.asked] == [0, 1, 2, CONFIRMATION, CONFIRMATION + 1, CONFIRMATION + 2]


def test_a_red_that_does_not_come_back_is_not_red() -> None:
    """A slowdown that new processes do not show is INCONCLUSIVE, never REGRESSED and never PASS."""

    class Fickle(Machine):
        def run(self, index: int) -> Timings:
            self.slowdown = 0.2 if index < CONFIRMATION else 0.0
            return super().run(index)

    assert decide(Fickle())["a"].verdict is Verdict.INCONCLUSIVE


def test_undecided_benchmarks_get_more_processes_alone() -> None:
    """At 5 % nothing is resolved: 3, 5, then 8 processes; the one that was decided is not measured again."""

    class Half(Machine):
        def __call__(self, benchmarks: Benchmarks, index: int) -> Replicate:
            answer = super().__call__(benchmarks, index)
            if "b" in benchmarks:
                answer.benchmarks["b"] = Machine(slowdown=0.05, sd=0.02).run(index)
            return answer

    machine = Half()
    decisions = decide(machine, "a", "b")
    assert decisions["a"].verdict is Verdict.PASS
    assert decisions["b"].verdict is Verdict.INCONCLUSIVE
    assert [names for names, _ in machine.asked] == [("a", "b")] * 3 + [("b",)] * 5


def test_controls_that_fail_void_the_session() -> None:
    """Where 10 % extra calls are not detected, the session is discarded."""
    assert decide(Machine(extra=0.0))["a"].verdict is Verdict.INVALID


def test_unpinned_sessions_take_twice_the_processes() -> None:
    """Where pinning is refused, the first look waits for six processes."""
    machine = Machine()
    machine.is_pinned = False
    assert decide(machine)["a"].verdict is Verdict.PASS
    assert len(machine.asked) == 6


def test_other_identity_is_incomparable() -> None:
    """A candidate that runs on two threads is another benchmark."""
    machine = Machine()
    machine.conditions["candidate"]["threads"] = 2
    decision = decide(machine)["a"]
    assert decision.verdict is Verdict.INCOMPARABLE
    assert "threads 1 -> 2" in decision.why


def test_dead_worker_and_broken_artifact_are_invalid() -> None:
    """Whatever fails, the benchmark ends INVALID with the reason; a broken artifact does not take the others along."""

    def die(benchmarks: Benchmarks, index: int) -> Replicate:
        raise JobError("worker died (signal SIGKILL)", "retry")

    dead = decide_benchmarks(make_benchmarks("a"), {"a": 0.05}, die, INPROC)["a"]
    assert dead.verdict is Verdict.INVALID
    assert "SIGKILL" in dead.why

    class Broken(Machine):
        def __call__(self, benchmarks: Benchmarks, index: int) -> Replicate:
            answer = super().__call__(benchmarks, index)
            if "b" in benchmarks:
                answer.benchmarks["b"] = Failure("no such file")
            return answer

    decisions = decide(Broken(), "a", "b")
    assert (decisions["a"].verdict, decisions["b"].verdict) == (Verdict.PASS, Verdict.INVALID)


def test_replicate_that_reports_nothing_is_invalid() -> None:
    """A benchmark missing from the answer is INVALID, not forgotten."""
    decisions = decide_benchmarks(make_benchmarks("a"), {"a": 0.05}, lambda *_: Replicate({}, is_pinned=True), INPROC)
    assert decisions["a"].verdict is Verdict.INVALID


def test_graph_costs_by_hand(tmp_path: Path) -> None:
    """256-64-32-10 keeps two 1 KiB views of the input alive at most, and has three products."""
    write_onnx(MODELS["mlp-64-32"].build(), (1, 16, 16), tmp_path / "a.onnx")
    graph = load_graph(tmp_path / "a.onnx")
    assert compute_peak_activation_bytes(graph) == 2 * 256 * 4
    assert count_operators(graph) == {"Gemm": 3, "Relu": 2, "Reshape": 1}
    (tmp_path / "b.onnx").write_bytes(b"no graph")
    with pytest.raises(DataError, match="not a usable ONNX file"):
        load_graph(tmp_path / "b.onnx")


def test_settings_by_pattern(tmp_path: Path) -> None:
    """Limits come from the last pattern that fits, defaults need no file, mistakes are named."""
    path = tmp_path / "gate.toml"
    path.write_text('tau = 0.03\n[allow."usps/cnn-*"]\ntau = 0.1\nmargin = 0.02\n')
    settings = load_settings(path)
    assert settings.find_tau("usps/cnn-4 onnxruntime@1") == 0.1
    assert settings.find_tau("usps/mlp-64-32 onnxruntime@1") == 0.03
    assert settings.find_margin("usps/softmax", is_recipe=False) == 0.01
    assert settings.find_margin("usps/softmax", is_recipe=True) == 0.02
    assert load_settings(None) == Settings()
    path.write_text("taw = 0.03")
    with pytest.raises(UsageError, match="taw"):
        load_settings(path)


def make_outcome(*verdicts: Verdict, inconclusive: str = "fail") -> output.GateOutcome:
    rows = tuple(
        output.VerdictRow("latency", Decision(f"usps/m{i} <b>|", v, "because,: 100 %", 1.2, 1.1, 1.3, 0.05, 3, 1))
        for i, v in enumerate(verdicts)
    )
    settings = Settings.model_validate({"inconclusive": inconclusive})
    return output.GateOutcome(rows, {"reason": "x", "created": "now"}, {"machine": {"cpu": "abacus"}}, settings)


def test_exit_code_is_the_worst() -> None:
    """13 before 10 before 12 before 11 before 0; undecided rows only warn where that was asked for."""
    assert make_outcome(Verdict.PASS, Verdict.REGRESSED, Verdict.INCOMPARABLE).exit_code == 10
    assert make_outcome(Verdict.INVALID, Verdict.REGRESSED).exit_code == 13
    assert make_outcome(Verdict.INCONCLUSIVE, Verdict.PASS).exit_code == 11
    assert make_outcome(Verdict.INCONCLUSIVE, Verdict.PASS, inconclusive="warn").exit_code == 0
    assert make_outcome(Verdict.INCONCLUSIVE, Verdict.REGRESSED, inconclusive="warn").exit_code == 10
    assert make_outcome().exit_code == 13


def test_junit_and_annotations_name_what_is_wrong(tmp_path: Path) -> None:
    """REGRESSED is a failure, INVALID an error, what only warns skipped; annotations are escaped and have a level."""
    outcome = make_outcome(Verdict.PASS, Verdict.REGRESSED, Verdict.INVALID, Verdict.INCONCLUSIVE, inconclusive="warn")
    output.write_junit(outcome, tmp_path / "j.xml")
    suite = ET.parse(tmp_path / "j.xml").getroot()  # noqa: S314 - written by the line above
    assert {name: suite.get(name) for name in ("tests", "failures", "errors", "skipped")} == {
        "tests": "4", "failures": "1", "errors": "1", "skipped": "1",
    }  # fmt: skip
    output.write_junit(make_outcome(Verdict.INCONCLUSIVE, Verdict.SUSPICIOUS_IMPROVEMENT), tmp_path / "j.xml")
    assert ET.parse(tmp_path / "j.xml").getroot().get("failures") == "2"  # noqa: S314
    lines = output.format_annotations(outcome)
    assert [line.split(" ")[0] for line in lines] == ["::error", "::error", "::warning"]
    assert all(line.endswith("::because,: 100 %25") for line in lines)


def test_summary_is_a_table_of_text() -> None:
    """The Markdown summary counts what was decided, and a name full of markup stays one cell of text."""
    text = output.format_summary(make_outcome(Verdict.REGRESSED, Verdict.PASS))
    assert "2 of 2 decided" in text
    rows = [line for line in text.splitlines() if "m0" in line]
    assert "\\<b\\>\\|" in rows[0]
    assert "+20.0 %" in rows[0]


def test_unchanged_models_share_a_line() -> None:
    """Rows that are SAME do not hide the others: one line below the table names them."""
    text = output.format_summary(make_outcome(Verdict.REGRESSED, Verdict.SAME, Verdict.SAME))
    assert len([line for line in text.splitlines() if line.startswith("| ")]) == 3  # head, rule, the one that changed
    assert "- SAME in" in text
    assert "usps/m1, usps/m2" in text


def test_gate_of_nothing_says_what_to_do(command: Command) -> None:
    """Without a baseline the verdict is INCOMPARABLE, and its reason names the command that makes one."""
    done = command("gate", "--json")
    assert done.returncode == 12
    (decision,) = json.loads(done.stdout)["decisions"]
    assert decision["verdict"] == "INCOMPARABLE"
    assert "dlmi-bench baseline save" in decision["why"]
