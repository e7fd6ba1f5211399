"""Studies end to end: a file, a script and a prompt, through the installed command and as a user writes them."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dlmi_bench.records import Record
from dlmi_bench.store import Store
from stand_ins import Command

DATA = """
import numpy as np
import dlmi_bench as db
from torch import nn

rng = np.random.default_rng(0)
labels = np.arange(240) % 3
images = rng.normal(size=(240, 1, 6, 6)).astype("float32")
images[np.arange(240), 0, 0, labels] += 6


class Net(nn.Module):
    def __init__(self, n_classes, width=8):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(36, width), nn.ReLU(), nn.Linear(width, n_classes))

    def forward(self, x):
        return {"logits": self.layers(x)}


SUITE = db.Suite(
    n_seeds=1, measures=("counts", "latency"), backends=("eager", "onnxruntime"), n_processes=2, n_rounds=10,
    batches=(1, 4), energy_window_s=0.2,
)
RECIPE = db.Recipe(n_epochs=5, peak_lr=1e-2, augmentation="none")
TASK = db.Task.from_arrays(
    images, labels, name="toy", recipe=RECIPE, groups=[f"p{i // 2}" for i in range(240)], n_folds=2, is_synthetic=True
)
pick = db.Model(Net, adapter=lambda network, x: network(x)["logits"])
"""
STUDY = DATA + 'MODELS = {"mine": pick, "linear": "softmax"}\nTASKS = {"toy": TASK}\n'


def read(folder: Path) -> dict[str, Record]:
    attempts = Store(folder, must_exist=True).current()
    return {key: attempt.record for key, attempt in attempts.items() if attempt.record}


def run_script(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    (folder / "script.py").write_text(text)
    return subprocess.run([sys.executable, "script.py"], cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Command:
    """A study of an own net and one of ours on own data in two folds, run once."""
    command = Command(tmp_path_factory.mktemp("study"))
    (command.folder / "study.py").write_text(STUDY)
    done = command("run", "study.py", "--report")
    assert done.returncode == 0, done.stderr
    return command


def test_study_is_trained_measured_and_judged(ran: Command) -> None:
    """Each model on each fold, costs of one artifact, a report, and the default questions about the first model."""
    records = read(ran.folder / "out")
    assert {key for key in records if key.startswith("train/")} == {
        f"train/toy/{model}/{fold}" for model in ("mine", "linear") for fold in (0, 1)
    }
    latency = records["latency/toy/mine/0"]
    for backend in ("eager", "onnxruntime"):
        figure = latency.figure("latency_s", backend=backend, batch=1)
        assert figure is not None
        assert figure.value is not None
    counted = records["counts/toy/mine/0"].figure("n_parameters")
    assert counted is not None
    assert counted.value == 36 * 8 + 8 + 8 * 3 + 3
    assert "mine-accuracy" in (ran.folder / "out" / "claims.toml").read_text()
    page = (ran.folder / "out" / "report" / "details.md").read_text()
    for words in ("study.py", "2 folds", "Leakage audit"):
        assert words in page, words
    judged: Any = json.loads(ran("claims", "--json").stdout)
    assert len(judged["claims"]) == 3


def test_training_says_where_everything_comes_from(ran: Command) -> None:
    """Files of the user's with their hashes, the audit, folds by group; no target, so no time to one."""
    record = read(ran.folder / "out")["train/toy/mine/0"]
    (plugin,) = record.provenance["plugins"]  # type: ignore[misc,union-attr]
    assert plugin["name"] == "study.py"  # type: ignore[index,call-overload]
    audit: Any = record.provenance["audit"]
    assert (audit["is_clean"], {pair["n_groups_shared"] for pair in audit["pairs"].values()}) == (True, {0})
    folds: Any = record.provenance["folds"]
    assert (folds["n_folds"], folds["fold"]) == (2, 0)
    assert record.provenance["clusters"] == {"n_groups": 60, "n_examples": 120}
    assert record.provenance["target"] is None
    assert not [f.name for f in record.figures if "target" in f.name]
    assert record.figure("n_test_reads").value == 1  # type: ignore[union-attr]


def test_folds_test_every_example_once(ran: Command) -> None:
    """The positions that the two folds kept are all examples, none twice, and no group is in both."""
    records = read(ran.folder / "out")
    positions = []
    for fold in (0, 1):
        artifact = records[f"train/toy/mine/{fold}"].artifact("test_index")
        (path,) = (ran.folder / "out").rglob(f"*{artifact.sha256}*")
        positions.append(np.load(path))
    assert sorted(np.concatenate(positions)) == list(range(240))
    assert not {i // 2 for i in positions[0]} & {i // 2 for i in positions[1]}


@pytest.mark.slow
def test_only_what_changed_is_done_again(ran: Command) -> None:
    """A comment or another title changes nothing; another width trains and measures anew, but no model of ours."""
    (ran.folder / "study.py").write_text(STUDY.replace("class Net", "TITLE = 'x'  # why\nclass Net"))
    assert ran("run", "study.py").stdout.startswith("0 cells done, 8 kept")
    (ran.folder / "study.py").write_text(STUDY.replace("width=8", "width=4"))
    done = ran("run", "study.py")
    assert done.returncode == 0, done.stderr
    assert "train linear" not in done.stderr
    assert done.stdout.startswith("5 cells done, 3 kept"), done.stdout


@pytest.mark.slow
def test_script_is_what_its_workers_run(tmp_path: Path) -> None:
    """Lambdas and objects of a script train in workers, up to its call of compare; what follows is not run there."""
    text = DATA + (
        'study = db.compare({"mine": lambda: Net(3).layers, "linear": "softmax"}, TASK, seeds=1, suite=SUITE)\n'
        "print(study)\n"
        'print(len(study.to_dataframe()), study.plot("latency_s").axes[0].get_xscale())\n'
        'open("done", "a").write("once ")\n'
        'db.compare({"other": Net}, TASK)\n'
    )
    done = run_script(tmp_path, text)
    assert "compare is called twice" in done.stderr
    assert "toy:\nmodel" in done.stdout, done.stderr
    assert "2 log" in done.stdout
    assert (tmp_path / "done").read_text() == "once "
    eager = read(tmp_path / "out")["latency/toy/mine/0"].figure("latency_s", backend="eager", batch=1)
    assert eager is not None
    assert eager.value is not None


@pytest.mark.slow
def test_objects_of_a_prompt_train_where_they_live(tmp_path: Path) -> None:
    """Without a file: trained in the process itself; runtimes that need the code say so, all others are measured."""
    text = DATA + (
        "import os, torch\n"
        "torch.set_num_threads(2)\n"
        'study = db.compare({"mine": pick, "linear": "softmax"}, TASK, seeds=1, suite=SUITE, is_quiet=True)\n'
        "print(study._repr_html_())\n"
        "print(torch.get_num_threads(), torch.are_deterministic_algorithms_enabled(), len(os.sched_getaffinity(0)))\n"
    )
    done = subprocess.run([sys.executable, "-c", text], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    latency = read(tmp_path / "out")["latency/toy/mine/0"]
    reasons = {b: latency.figure("latency_s", backend=b, batch=1).reason for b in ("eager", "onnxruntime")}  # type: ignore[union-attr]
    assert reasons["onnxruntime"] == ""
    assert "put it into a file" in reasons["eager"]
    assert done.stdout.splitlines()[-1].startswith("2 False ")
    assert "<table" in done.stdout
    with_code = read(tmp_path / "out")["train/toy/mine/0"].provenance["plugins"]
    assert with_code == [{"name": "objects of the calling process", "files": {}}]


ELSEWHERE = (
    DATA
    + """
import sys, torch
from pathlib import Path
here = Path(__file__).parent
if "make" in sys.argv:
    for seed in (0, 1):
        torch.manual_seed(seed)
        network = Net(3).layers
        torch.save(network.state_dict(), here / f"{seed}.pt")
        torch.onnx.export(network, (torch.zeros(2, 1, 6, 6),), here / f"{seed}.onnx", dynamo=True, verbose=False,
                          dynamic_shapes=({0: torch.export.Dim("b", min=1, max=512)},), external_data=False)
    raise SystemExit
MODELS = {
    "onnx": db.Model.from_checkpoints({seed: here / f"{seed}.onnx" for seed in (0, 1)}),
    "weights": db.Model.from_checkpoints({seed: here / f"{seed}.pt" for seed in (0, 1)}, lambda: Net(3).layers),
    "linear": "softmax",
}
TASKS = {"toy": db.Task.from_arrays(images, labels, name="toy", recipe=RECIPE, is_synthetic=True)}
SUITE = SUITE.model_copy(update={"n_seeds": 3, "measures": ("counts",)})
"""
)


@pytest.mark.slow
def test_finished_weights_stand_in_the_same_tables(command: Command) -> None:
    """ONNX files and state dicts by seed: accuracy and costs, no training times; equal weights, equal answers."""
    (command.folder / "study.py").write_text(ELSEWHERE)
    subprocess.run([sys.executable, "study.py", "make"], cwd=command.folder, capture_output=True, check=True)
    done = command("run", "study.py", "--report")
    assert done.returncode == 0, done.stderr
    records = read(command.folder / "out")
    assert sum(key.startswith("train/toy/onnx/") for key in records) == 2
    assert sum(key.startswith("train/toy/linear/") for key in records) == 3
    for seed in (0, 1):
        onnx, weights = (records[f"train/toy/{name}/{seed}"] for name in ("onnx", "weights"))
        assert onnx.figure("test_accuracy").value == weights.figure("test_accuracy").value  # type: ignore[union-attr]
        assert onnx.figure("training_s").reason == "trained elsewhere"  # type: ignore[union-attr]
        assert onnx.figure("test_accuracy", backend="eager").reason == "an ONNX file has no torch module"  # type: ignore[union-attr]
        assert weights.figure("test_accuracy", backend="eager").value is not None  # type: ignore[union-attr]
    first = records["train/toy/weights/0"].figure("max_score_error")  # of the seed whose costs are measured
    assert first.value < 1e-4  # type: ignore[union-attr,operator]
    counts = [records[f"counts/toy/{name}/0"] for name in ("onnx", "weights")]
    assert {record.figure("n_parameters").value for record in counts} == {323.0}  # type: ignore[union-attr]
    assert "trained elsewhere" in (command.folder / "out" / "report" / "details.md").read_text()


FAULTS = {
    "4 scores": ("db.Model(lambda: Net(4).layers)", "the task has 3 classes"),
    "a dictionary": ("Net", "answers with a dict with 'logits'"),
    "an argument": ("lambda width: Net(3, width).layers", "the factory needs width"),
    "no export": ("lambda: nn.Sequential(Net(3).layers, Branch())", "does not export to ONNX"),
    "another network": ("db.Model(lambda: Net(3).layers, fit=lambda *a: Net(3))", "returned another Net"),
}
BRANCH = """
class Branch(nn.Module):
    def forward(self, x):
        return x + 1 if float(x.sum()) > 0 else x - 1
"""


@pytest.mark.slow
def test_model_that_fails_costs_its_own_cells(command: Command) -> None:
    """Five models that cannot be trained, each in one sentence with a remedy; the sixth is trained and counted."""
    models = "".join(f"{name!r}: {text}, " for name, (text, _) in FAULTS.items())
    text = DATA.replace(', "latency")', ",)") + BRANCH + f'MODELS = {{{models}"fine": pick}}\nTASKS = {{"toy": TASK}}\n'
    (command.folder / "study.py").write_text(text.replace("n_folds=2, ", ""))
    done = command("run", "study.py")
    assert done.returncode == 1
    for name, (_, words) in FAULTS.items():
        (line,) = [line for line in done.stderr.splitlines() if line.startswith(f"failed: train/toy/{name}/0")]
        assert words in line
    assert "Traceback" not in done.stderr
    assert done.stdout.startswith("2 cells done"), done.stdout


@pytest.mark.slow
def test_data_that_are_others_in_each_process_are_refused(command: Command) -> None:
    """Drawn without a seed, they would be trained on in one process and timed in another."""
    text = STUDY.replace("default_rng(0)", "default_rng()").replace('"latency"', '"references"')
    (command.folder / "study.py").write_text(text)
    done = command("run", "study.py")
    assert done.returncode == 1
    assert "task 'toy' has other data in each process" in done.stderr
    assert done.stdout.startswith("0 cells done")
