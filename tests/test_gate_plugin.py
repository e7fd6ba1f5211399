"""The plugin for pytest: other repositories keep the pytest that they had, and get the gate where they ask for it."""

import importlib.metadata
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from stand_ins import plant

PACKAGES = ("bench", "models", "tasks", "reports")
OWN_TESTS = """
import sys
import bench, models, tasks, reports

def test_names():
    assert [m.NAME for m in (bench, models, tasks, reports)] == ["bench", "models", "tasks", "reports"]

def test_speed(benchmark):
    assert benchmark(lambda: 1) == 1

def test_nothing_of_ours_is_loaded():
    assert not [name for name in sys.modules if name.startswith("dlmi")]
"""
GATE = ("-p", "dlmi_bench.gating.plugin", "--dlmi-gate")
FILES = ("--dlmi-baseline", "my baseline", "--dlmi-test", "my test.npz", "--dlmi-settings", "gate.toml")
# Their tests as they are; that nothing of ours is loaded holds without the gate only.
OWN = ("--benchmark-disable", "--deselect", "tests/test_own.py::test_nothing_of_ours_is_loaded")


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory, gated: Path) -> Path:
    """A repository with packages of these names, tests of pytest-benchmark, a model, a test set and their baseline."""
    folder = tmp_path_factory.mktemp("other") / "a repository"
    shutil.copytree(gated, folder)
    plant(folder, {f"{name}/__init__.py": f"NAME = {name!r}\n" for name in PACKAGES})
    plant(folder, {"tests/test_own.py": OWN_TESTS, "gate.toml": "batches = [1]\nn_rounds = 20\ndisturbed = 'warn'\n"})
    (folder / "other.onnx").write_bytes((folder / "my model.onnx").read_bytes())
    return folder


def run_pytest(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`pytest` in that folder, with the plugins that are installed."""
    program = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    environment = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "", "PYTEST_ADDOPTS": ""}
    return subprocess.run(program, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_installing_changes_nothing_for_others(repository: Path) -> None:
    """Their packages of the same names and pytest-benchmark work, no module of ours is loaded, no option is added."""
    done = run_pytest(repository, "--benchmark-disable")
    assert done.returncode == 0, done.stdout
    assert "3 passed" in done.stdout
    assert "dlmi" not in done.stdout
    groups = {point.group for point in importlib.metadata.distribution("dlmi-bench").entry_points}
    assert groups == {"console_scripts"}


def test_gate_runs_beside_their_tests(repository: Path) -> None:
    """With the gate's options their own tests pass as before; a vanished file fails one of its name, nothing passes."""
    done = run_pytest(repository, *GATE, *FILES, "--dlmi-onnx", "other.onnx", *OWN)
    assert done.returncode == 1
    assert "INCOMPARABLE: in the baseline only; renamed to file/other?" in done.stdout
    assert "2 failed, 2 passed, 1 deselected" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "remedy"), [(("--dlmi-onnx", "model.onnx"), "--test"), (("-n", "2"), "run it without -n")]
)
def test_pytest_refuses_what_makes_no_sense(arguments: tuple[str, ...], remedy: str, tmp_path: Path) -> None:
    """Mistakes in the options are errors of usage with a remedy, no crash; so is a gate beside other tests."""
    done = run_pytest(tmp_path, *GATE, *arguments)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert remedy in done.stderr
    assert "INTERNALERROR" not in done.stdout


@pytest.mark.slow
def test_pytest_passes_an_unchanged_file(repository: Path) -> None:
    """Four decisions, four tests beside their own: counts, operators, answers and time at batch 1; with progress."""
    done = run_pytest(repository, *GATE, *FILES, "--dlmi-onnx", "my model.onnx", *OWN)
    assert done.returncode == 0, done.stdout
    assert "6 passed" in done.stdout or "5 passed, 1 skipped" in done.stdout  # a busy machine only warns
    assert "gate: timing file/my model onnxruntime@1: process 1 of 3 to 8" in done.stderr
