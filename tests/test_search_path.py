"""A user's own folder never takes the place of this program's modules, nor of its libraries'."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from stand_ins import Command, plant

# Whatever of it is imported by this program says so and ends the process.
TRAP = "raise SystemExit('the module of the folder was imported: ' + __name__)\n"
NAMES = (
    "pip/__init__.py",
    "pip/__main__.py",
    "torch.py",
    "random.py",
    "dataclasses.py",
    "json.py",
    "sitecustomize.py",
    "onnxruntime/__init__.py",
)
FOLDERS = ("models", "bench", "tasks", "reports")
MINE = """
from models.parts import Head
from torch import nn

def make():
    return nn.Sequential(nn.Flatten(), Head(256, 10))
"""
PARTS = "from torch import nn\n\nclass Head(nn.Linear):\n    pass\n"
TINY = """
tasks = ["usps"]
models = ["softmax"]
measures = ["counts"]
backends = ["onnxruntime"]
n_seeds = 1
energy_window_s = 0.01
"""


@pytest.fixture
def hostile(tmp_path: Path) -> Command:
    """A folder with modules of every name that this program uses, and a model with a `models` package of its own."""
    traps = dict.fromkeys(NAMES, TRAP) | {f"{folder}/__init__.py": TRAP for folder in FOLDERS[1:]}
    own = {"models/__init__.py": "", "models/parts.py": PARTS, "mine.py": MINE, "tiny.toml": TINY}
    plant(tmp_path, traps | own)
    return Command(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("is_on_path", [False, True])
def test_folder_shadows_nothing(is_on_path: bool, hostile: Command) -> None:
    """`count`, `profile` and `run` work in it and with it on PYTHONPATH; the factory gets its own `models`."""
    environment = {}
    if is_on_path:
        (hostile.folder / "sitecustomize.py").unlink()  # Python itself runs that one before any program
        environment["PYTHONPATH"] = os.pathsep.join([str(hostile.folder), os.environ.get("PYTHONPATH", "")])
    shape = ("--input", "1,1,16,16")
    for arguments in (
        ("count", "mine:make", *shape),
        ("profile", "mine:make", *shape, "--backend", "onnxruntime", "--seconds", "0"),
        ("run", "--suite", "tiny.toml"),
        *([] if is_on_path else [("report", "--format", "csv"), ("claims",)]),
    ):
        done = hostile(*arguments, **environment)
        is_disturbed = "INVALID" in done.stdout  # a profile on a busy machine
        assert done.returncode in ((10, 11, 12) if arguments == ("claims",) else (int(is_disturbed),)), done.stderr
        assert "of the folder was imported" not in done.stdout + done.stderr


def test_pip_of_the_folder_is_not_run(hostile: Command) -> None:
    """The index that pip is configured for is asked of the real pip, whatever lies in the folder."""
    (hostile.folder / "pip" / "__main__.py").write_text("open('executed', 'w')\n")
    program = "from dlmi_tasks.files.archives import load_index_settings; print(load_index_settings())"
    environment = os.environ | {"PIP_INDEX_URL": "https://example.invalid/simple"}
    done = subprocess.run(
        [sys.executable, "-P", "-c", program], cwd=hostile.folder, env=environment, capture_output=True, text=True
    )
    assert "example.invalid" in done.stdout, done.stderr
    assert not (hostile.folder / "executed").exists()


def test_warnings_as_errors_end_nothing(hostile: Command) -> None:
    """Warnings of libraries stay warnings, in the command and in its workers."""
    done = hostile("count", "softmax", PYTHONWARNINGS="error")
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_gate_shadows_nothing(hostile: Command, finished: Command) -> None:
    """Nor do the gate's workers and its baseline import anything of the folder."""
    out = str(finished.folder / "out")
    saved = hostile("baseline", "save", "--out", out, "--reason", "test", "--noise", "0")
    assert saved.returncode == 0, saved.stderr
    done = hostile("gate", "--out", out, "--json")
    assert "of the folder was imported" not in done.stdout + done.stderr
    assert '"verdict"' in done.stdout
