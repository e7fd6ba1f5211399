"""Gates of other repositories: ONNX files and a test set in, the whole command as installed."""

import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from torch import nn

from dlmi_bench.backends.export import write_onnx
from dlmi_bench.errors import DataError
from dlmi_bench.gating.expense import describe_training
from dlmi_bench.gating.latency.noise import compute_noise_sd, compute_resolvable, describe_noise
from dlmi_bench.gating.output import GateOutcome, VerdictRow
from dlmi_bench.gating.settings import Settings
from dlmi_bench.gating.sides.baseline import Baseline, Energy, Entry, MachineNoise, Training, list_energy, load_baseline
from dlmi_bench.gating.sides.candidate import Candidate, _have_same_weights
from dlmi_bench.gating.sides.files import load_file_candidate, load_labelled, save_files
from dlmi_bench.gating.verdicts import Decision, Verdict
from dlmi_bench.jobs.protocol import PredictRequest
from dlmi_bench.records import Artifact, Cell, Record
from dlmi_models import MODELS
from stand_ins import Command, write_product


@pytest.fixture
def repository(command: Command) -> Command:
    """A folder with a model of its own, a test set that it knows by heart, and their baseline."""
    folder = command.folder
    write_onnx(MODELS["softmax"].build(), (1, 16, 16), folder / "model.onnx")
    x = np.random.default_rng(0).standard_normal((400, 1, 16, 16)).astype(np.float32)
    np.savez(folder / "test.npz", x=x, y=np.zeros(400, np.int64))
    y = load_file_candidate(folder / "model.onnx", load_labelled(folder / "test.npz")).predictions[0]
    np.savez(folder / "test.npz", x=x, y=y.astype(np.int64))
    save_files((folder / "model.onnx",), folder / "test.npz", folder / "baseline", "first")
    return command


FILES = ("--onnx", "model.onnx", "--test", "test.npz")


def judge(command: Command, *arguments: str) -> tuple[int, dict[str, str]]:
    done = command("gate", "--json", *arguments)
    assert done.stdout, done.stderr
    return done.returncode, {d["name"]: d["verdict"] for d in json.loads(done.stdout)["decisions"]}


def test_baseline_of_files_holds_what_it_needs(repository: Command) -> None:
    """The file, its answers and its costs; all right on a test set of its own answers."""
    (entry,) = load_baseline(repository.folder / "baseline").entries
    assert (entry.name, entry.input_shape, entry.costs["n_parameters"]) == ("file/model", (1, 16, 16), 2570)
    assert entry.trainings[0].test_accuracy == 1.0


def test_renamed_file_is_incomparable(repository: Command) -> None:
    """A baseline whose file is not named any more says so twice, and times nothing; so does one without any file."""
    (repository.folder / "model.onnx").rename(repository.folder / "other.onnx")
    code, verdicts = judge(repository, "--onnx", "other.onnx", "--test", "test.npz")
    assert (code, verdicts) == (12, {"file/model": "INCOMPARABLE", "file/other": "INCOMPARABLE"})
    assert judge(repository) == (12, {"file/model": "INCOMPARABLE"})


def test_broken_file_and_nan_scores_are_invalid(repository: Command) -> None:
    """A file that is no graph, and a network whose scores are NaN, are INVALID: exit code 13."""
    (repository.folder / "model.onnx").write_bytes(b"no graph")
    assert judge(repository, *FILES) == (13, {"file/model": "INVALID"})
    network = MODELS["softmax"].build()
    nn.init.constant_(next(network.parameters()), float("nan"))
    write_onnx(network, (1, 16, 16), repository.folder / "model.onnx")
    assert judge(repository, *FILES) == (13, {"file/model": "INVALID"})


@pytest.mark.parametrize("name", ["neither", "pickled", "short", "halves"])
def test_unusable_test_sets_are_refused(name: str, tmp_path: Path) -> None:
    """Missing arrays, pickled objects, unequal lengths and labels that are no whole numbers: named, with a remedy."""
    x = np.zeros((4, 1, 16, 16), np.float32)
    arrays = {
        "neither": {"z": x},
        "pickled": {"x": np.array([{}] * 4), "y": np.zeros(4, int)},
        "short": {"x": x, "y": np.zeros(3, int)},
        "halves": {"x": x, "y": np.full(4, 0.5)},
    }[name]
    np.savez(tmp_path / "t.npz", **arrays)
    with pytest.raises(DataError, match=r"t\.npz") as caught:
        load_labelled(tmp_path / "t.npz")
    assert "np.savez" in caught.value.remedy


def test_files_and_test_set_go_together(command: Command) -> None:
    """One without the other is an error of usage."""
    assert command("gate", "--onnx", "model.onnx").returncode == 2
    assert command("baseline", "save", "--reason", "x", "--test", "t.npz").returncode == 2


@pytest.mark.slow
def test_files_are_judged_as_installed(repository: Command) -> None:
    """The same file passes; another model of the same shape is stopped for its accuracy and counts."""
    (repository.folder / "gate.toml").write_text("batches = [1]\n")
    code, verdicts = judge(repository, *FILES, "--settings", "gate.toml", "--disturbed", "warn")
    assert code == 0, verdicts
    write_onnx(MODELS["mlp-512-256"].build(), (1, 16, 16), repository.folder / "model.onnx")
    code, verdicts = judge(repository, *FILES, "--settings", "gate.toml", "--disturbed", "warn")
    assert code == 10, verdicts
    assert {v for name, v in verdicts.items() if not name.endswith("@1")} == {"REGRESSED"}


NOISE = MachineNoise(n_rounds=100, log_ratios={"a onnxruntime@1": (-0.01, 0.0, 0.01)}, preempted_share=0.0)


def test_noise_by_hand() -> None:
    """Three processes at -1, 0 and 1 log percent: sd 1 %, of which t(.98, 2) / sqrt(3) are resolved at K = 3."""
    assert compute_noise_sd(NOISE) == pytest.approx(0.01)
    assert compute_resolvable(0.01) == pytest.approx(np.expm1(4.849 * 0.01 / np.sqrt(3)), rel=1e-3)


def test_noise_belongs_to_its_machine() -> None:
    """The line says whose noise it is; a baseline of before says that none was recorded."""
    old = Baseline(reason="x", created="now", environment={"machine_id": "a"}, entries=())
    assert describe_noise(old, "a").endswith("not recorded")
    new = old.model_copy(update={"noise": NOISE})
    assert "(this machine): sd 1.00 %" in describe_noise(new, "a")
    assert "(another machine)" in describe_noise(new, "b")


def make_training(training_s: float, machine_id: str, kind: str = "modelled") -> Training:
    part = Energy.model_validate({"component": "cpu", "kind": kind, "source": "meter", "energy_j": 10 * training_s})
    file = Artifact(role="predictions", sha256="0" * 64, size_bytes=1, suffix=".npy")
    return Training(
        seed=0, predictions=file, test_accuracy=1, training_s=training_s, energy=(part,), machine_id=machine_id
    )


def make_sides(now: Training, kind: str = "measured") -> tuple[Entry, Candidate]:
    nothing = {"input_shape": (1,), "data_sha256": {}, "artifacts": (), "costs": {}, "operators": {}}
    before = make_training(2, "a", kind)
    entry = Entry.model_validate({"task": "t", "model": "m", "trainings": (before,), **nothing})
    return entry, Candidate({}, (1,), {}, {}, {}, name="t/m", predictions={}, has_same_weights=False, trainings=(now,))


def test_training_is_compared_on_one_machine_only() -> None:
    """Durations and measured joules stand side by side on one machine; elsewhere the baseline's are left out."""
    here = describe_training(*make_sides(make_training(3, "a", "measured")))
    assert "2.00 s [2.00 s, 2.00 s] -> 3.00 s" in here[0]
    assert "20.0 J [20.0 J, 20.0 J] -> 30.0 J" in here[1]
    there = describe_training(*make_sides(make_training(3, "b", "measured")))
    assert all("not comparable" in line and "->" not in line for line in there)


def test_energy_of_a_training_is_gross() -> None:
    """Net joules, with the idle machine's subtracted, are another figure and must not be taken for a second sample."""
    common = {"name": "training_energy_j", "kind": "modelled", "source": "meter"}
    parts = [
        {**common, "value": joules, "conditions": {"component": "cpu", "idle_subtracted": is_net}}
        for joules, is_net in ((5.0, False), (2.0, True))
    ]
    cell = Cell(kind="train", task="usps", model="softmax")
    record = Record.model_validate({"cell": cell, "figures": parts})
    assert [energy.energy_j for energy in list_energy(record)] == [5.0]


def test_modelled_energy_is_marked_and_compared_with_nothing() -> None:
    """Modelled joules are printed with their mark; the baseline's, of either kind, are not set against them."""
    for kind in ("modelled", "measured"):
        energy = describe_training(*make_sides(make_training(3, "a"), kind))[1]
        assert "(modelled, meter)" in energy
        assert "->" not in energy


def test_disturbed_rows_warn_only_where_asked() -> None:
    """A row that the machine disturbed exits 13, or 0 where it only warns; a row broken by itself is never excused."""

    def exit_code(*decisions: Decision, disturbed: str) -> int:
        settings = Settings.model_validate({"disturbed": disturbed})
        return GateOutcome(tuple(VerdictRow("latency", d) for d in decisions), {}, {}, settings).exit_code

    good, busy = Decision("a", Verdict.PASS), Decision("b", is_disturbed=True)
    assert exit_code(good, busy, disturbed="fail") == 13
    assert exit_code(good, busy, disturbed="warn") == 0
    assert exit_code(busy, disturbed="warn") == 13  # nothing was judged at all
    slower, equal = (Decision("d", lo=lo, hi=2.1, tau=0.05, is_disturbed=True) for lo in (1.9, 1.0))
    assert exit_code(good, slower, disturbed="warn") == 13
    assert exit_code(good, equal, disturbed="warn") == 0
    assert exit_code(good, Decision("c"), disturbed="warn") == 13


def test_weights_are_the_same_whatever_else_the_files_say(tmp_path: Path) -> None:
    """Another note in the header changes nothing, even of NaN weights; another number does; no such file is named."""
    paths = [tmp_path / name for name in ("a", "b", "c", "d")]
    for path, weight, note in zip(paths, (np.nan, np.nan, 2.0), "xyx", strict=False):
        save_file({"w": np.array([weight])}, path, metadata={"model": note})
    paths[3].write_bytes(b"short")
    assert _have_same_weights(*paths[:2])
    assert not _have_same_weights(*paths[1:3])
    with pytest.raises(DataError, match="/d"):
        _have_same_weights(*paths[2:])


def test_file_that_ends_the_runtime_costs_its_own_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A runtime that is ended by a signal ends its worker, not the gate; the error names the file and the signal."""
    write_product(tmp_path / "m.onnx")
    np.savez(tmp_path / "t.npz", x=np.ones((3, 6), np.float32), y=np.arange(3))
    monkeypatch.setattr(PredictRequest, "job", f"{Path(__file__).stem}:end_by_signal")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]))
    with pytest.raises(DataError, match=r"m\.onnx: cannot run on the test set .*SIGSEGV"):
        load_file_candidate(tmp_path / "m.onnx", load_labelled(tmp_path / "t.npz"))


def end_by_signal(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)
