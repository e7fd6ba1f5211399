"""Baselines: saved, read back, refused when damaged, shown, and set against a run that has other models."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from dlmi_bench.errors import DataError, UsageError
from dlmi_bench.gating.sides.baseline import MANIFEST, Baseline, load_baseline, save_baseline
from dlmi_bench.gating.sides.request import GateRequest, list_unjudged
from dlmi_bench.store import Store
from stand_ins import Command, check_answer


@pytest.fixture(scope="module")
def baseline(finished: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A baseline of the tiny run."""
    folder = tmp_path_factory.mktemp("gate") / "baseline"
    save_baseline(Store(finished.folder / "out", must_exist=True), folder, "first of its kind")
    return folder


def test_baseline_reads_back(baseline: Path) -> None:
    """Manifest, costs, one prediction file a seed; small enough for version control."""
    loaded = load_baseline(baseline)
    (entry,) = loaded.entries
    assert (entry.name, len(entry.trainings), entry.input_shape) == ("usps/softmax", 2, (1, 16, 16))
    assert entry.costs["n_parameters"] == 2570
    assert sum(path.stat().st_size for path in baseline.rglob("*") if path.is_file()) < 100_000


DAMAGES = ["missing file", "altered file", "foreign file", "other schema", "no manifest", "no JSON"]


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_baselines_are_refused(damage: str, baseline: Path, tmp_path: Path) -> None:
    """Altered, incomplete or foreign folders are refused with the file and a remedy."""
    copy = tmp_path / "copy"
    shutil.copytree(baseline, copy)
    victim = next((copy / "files").glob("*.onnx"))
    manifest = copy / MANIFEST
    if damage == "missing file":
        victim.unlink()
    elif damage == "altered file":
        victim.write_bytes(victim.read_bytes()[:-1] + b"x")
    elif damage == "foreign file":
        (copy / "files" / "stranger").write_text("?")
    elif damage == "other schema":
        manifest.write_text(manifest.read_text().replace('"schema_version": 1', '"schema_version": 9', 1))
    elif damage == "no manifest":
        manifest.unlink()
    else:
        manifest.write_text("{")
    with pytest.raises(DataError, match=str(copy)) as caught:
        load_baseline(copy)
    assert caught.value.remedy


def test_saving_replaces_nothing_foreign(finished: Command, tmp_path: Path) -> None:
    """A folder that holds anything but a baseline is refused and stays as it is."""
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(UsageError, match="something else"):
        save_baseline(Store(finished.folder / "out"), tmp_path, "first")
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_strangers_of_a_run_are_named(finished: Command) -> None:
    """Models of a run that the baseline lacks are judged by nothing, and said to be."""
    empty = Baseline(reason="x", created="now", environment={}, entries=())
    line = "not judged, in the run only: usps/softmax"
    assert list_unjudged(GateRequest(out=finished.folder / "out"), empty) == [line]
    assert list_unjudged(GateRequest(), empty) == []


def test_baseline_commands(finished: Command, tmp_path: Path) -> None:
    """save, list and show as installed; an unknown model is an error of usage."""
    folder = str(tmp_path / "b")
    assert finished("baseline", "save", "--reason", "first", "--baseline", folder, "--noise", "2").returncode == 0
    assert finished.json("baseline", "list", "--baseline", folder)["models"][0]["n_seeds"] == 2  # type: ignore[index]
    printed = finished("baseline", "show", "usps/softmax", "--baseline", folder).stdout
    shown: Any = check_answer("baseline-show", printed)
    assert shown["model"]["operators"] == {"Gemm": 1, "Reshape": 1}
    assert shown["noise"]["pooled_sd"] > 0
    assert len(shown["noise"]["usps/softmax onnxruntime@1"]["log_ratios"]) == 2
    assert finished("baseline", "show", "usps/nothing", "--baseline", folder).returncode == 2


def test_model_that_vanished_is_incomparable(baseline: Path, command: Command) -> None:
    """A run without the baseline's model gets a row that says so; exit code 12, never 0."""
    Store(command.folder / "out").close()
    done = command("gate", "--baseline", str(baseline), "--out", "out", "--json")
    answer: Any = check_answer("gate", done.stdout)
    (decision,) = answer["decisions"]
    assert (done.returncode, decision["verdict"]) == (12, "INCOMPARABLE")
    assert "in the baseline, but not in out" in decision["why"]
