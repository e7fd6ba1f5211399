"""Whole cases through the installed gate: each gets the verdict it deserves. Real timing, so in the slow session."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from safetensors.numpy import save
from safetensors.torch import load_file
from torch import nn

from dlmi_bench.backends import BACKENDS, predict
from dlmi_bench.backends.export import write_onnx
from dlmi_bench.gating.sides.baseline import save_baseline
from dlmi_bench.records import Cell, Record
from dlmi_bench.store import Store
from dlmi_bench.store.artifacts import artifact_path, put_array, put_artifact
from dlmi_models import MODELS
from dlmi_tasks import get_task
from dlmi_tasks.spec import Arrays, Splits
from dlmi_tasks.training.loop import train
from stand_ins import Command

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

SUITE = """
tasks = ["usps"]
models = ["softmax"]
backends = ["onnxruntime"]
n_seeds = 5
n_processes = 2
n_rounds = 10
energy_window_s = 0.2
"""
LIMITS = "batches = [1]\n"


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Command:
    """A finished run of five seeds in `out`, its baseline in `baseline`, limits in `gate.toml`. Not to be changed."""
    folder = tmp_path_factory.mktemp("case")
    (folder / "five.toml").write_text(SUITE)
    (folder / "gate.toml").write_text(LIMITS)
    command = Command(folder)
    done = command("run", "--suite", "five.toml")
    assert done.returncode == 0, done.stderr
    save_baseline(Store(folder / "out"), folder / "baseline", "first")
    return command


def evaluate(command: Command, *arguments: str) -> tuple[int, dict[str, str]]:
    """Exit code, and verdicts by name without the task."""
    done = command("gate", "--settings", "gate.toml", "--json", *arguments)
    print(done.stderr, done.stdout)  # noqa: T201 - shown by pytest where a case gets another verdict
    decisions = json.loads(done.stdout)["decisions"]
    return done.returncode, {d["name"].removeprefix("usps/"): d["verdict"] for d in decisions}


def add_training(folder: Path, index: int, onnx_path: Path, *, is_other: bool) -> None:
    """Let the training of that seed in the store have ended in this file; `is_other` weights have another hash."""
    store = Store(folder)
    record = store.current()[Cell(kind="train", task="usps", model="softmax", seed_index=index).key].record
    assert record is not None
    scores = predict(BACKENDS["onnxruntime"].load(onnx_path), get_task("usps").load().test.images)
    new = {
        "onnx": put_artifact(folder, "onnx", onnx_path.read_bytes(), ".onnx"),
        "test_scores": put_array(folder, "test_scores", scores),
    }
    if is_other:
        new["torch"] = put_artifact(folder, "torch", save({"w": np.array([index])}), ".safetensors")
    artifacts = tuple(new.get(artifact.role, artifact) for artifact in record.artifacts)
    store.add_done([(Record.model_validate(record.model_dump() | {"artifacts": artifacts}), "f")])
    store.close()


def copy_case(case: Command, tmp_path: Path) -> Command:
    shutil.copytree(case.folder, tmp_path, dirs_exist_ok=True)
    return Command(tmp_path)


def test_unchanged_code_passes(case: Command) -> None:
    """The baseline's weights, exported again by the same code: the same answers, not slower, exit code 0."""
    code, verdicts = evaluate(case)
    assert (code, verdicts["softmax same weights"], verdicts["softmax operators"]) == (0, "SAME", "SAME"), verdicts
    assert verdicts["softmax onnxruntime@1"] in ("PASS", "IMPROVED")


def test_unchanged_run_passes(case: Command) -> None:
    """The run that the baseline was made of is the same in everything and not slower: exit code 0."""
    code, verdicts = evaluate(case, "--out", "out")
    assert (code, verdicts["softmax recipe"], verdicts["softmax counts"]) == (0, "SAME", "SAME"), verdicts


class Deeper(nn.Module):
    """Softmax regression that takes a detour: the same answers, one extra layer of 256 x 256."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.detour = nn.Linear(256, 256, bias=False)
        nn.init.eye_(self.detour.weight)
        self.network = network

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.network(self.detour(x.flatten(1)).view(-1, 1, 16, 16))


def load_softmax(folder: Path) -> nn.Module:
    """The network of the first training in that store."""
    record = Store(folder).current()[Cell(kind="train", task="usps", model="softmax").key].record
    assert record is not None
    network = MODELS["softmax"].build()
    network.load_state_dict(load_file(artifact_path(folder, record.artifact("torch"))))
    return network


def test_slower_model_is_stopped(case: Command, tmp_path: Path) -> None:
    """An extra layer that changes no answer: REGRESSED in time and operators, not in accuracy; exit code 10."""
    command = copy_case(case, tmp_path)
    write_onnx(Deeper(load_softmax(tmp_path / "out")), (1, 16, 16), tmp_path / "slower.onnx")
    add_training(tmp_path / "out", 0, tmp_path / "slower.onnx", is_other=False)
    code, verdicts = evaluate(command, "--out", "out", "--junit", "gate.xml")
    assert code == 10, verdicts
    assert verdicts["softmax onnxruntime@1"] == verdicts["softmax operators"] == "REGRESSED"
    assert verdicts["softmax recipe"] == "SAME"
    assert 'failures="2"' in (tmp_path / "gate.xml").read_text()


def test_less_accurate_recipe_is_stopped(case: Command, tmp_path: Path) -> None:
    """Five trainings with a tenth of the labels shuffled lose 1.5 points; half a point is allowed."""
    command = copy_case(case, tmp_path)
    (tmp_path / "gate.toml").write_text(f"{LIMITS}recipe_margin = 0.005\n")
    task = get_task("usps")
    splits = task.load().split(task.n_validation)
    rng = np.random.default_rng(0)
    labels = splits.train.labels.copy()
    chosen = rng.permutation(len(labels))[: len(labels) // 10]
    labels[chosen] = rng.permutation(labels[chosen])
    worse = Splits(Arrays(splits.train.images, labels), splits.validation, splits.test)
    for index in range(5):
        run = train(MODELS["softmax"].build, worse, task, task.recipe("softmax"), seed=index)
        write_onnx(run.network, task.input_shape, tmp_path / "worse.onnx")
        add_training(tmp_path / "out", index, tmp_path / "worse.onnx", is_other=True)
    code, verdicts = evaluate(command, "--out", "out")
    assert (code, verdicts["softmax recipe"]) == (10, "REGRESSED"), verdicts


class BlindReader(CalibrationDataReader):
    """Calibrates on empty images, so that the range of the activations is wrong."""

    def __init__(self) -> None:
        self.batches = iter([{"input": np.full((1, 1, 16, 16), -0.02, np.float32)}])

    def get_next(self) -> dict[str, np.ndarray] | None:  # type: ignore[type-arg]
        return next(self.batches, None)


def test_int8_that_loses_accuracy_is_stopped(case: Command, tmp_path: Path) -> None:
    """The baseline's weights in int8, calibrated on nothing: same weights REGRESSED, exit code 10."""
    command = copy_case(case, tmp_path)
    shutil.rmtree(tmp_path / "out")
    store = Store(tmp_path / "out")
    old = Store(case.folder / "out")
    wanted = ("counts/usps/softmax/0", "train/usps/softmax/0")
    kept = [a.record for key, a in old.current().items() if key in wanted and a.record]
    shutil.copytree(case.folder / "out" / "artifacts", tmp_path / "out" / "artifacts")
    store.add_done([(record, "f") for record in kept])
    store.close()
    first = next(record for record in kept if record.cell.kind == "train")
    quant_pre_process(str(artifact_path(tmp_path / "out", first.artifact("onnx"))), str(tmp_path / "pre.onnx"))
    paths = str(tmp_path / "pre.onnx"), str(tmp_path / "int8.onnx")
    quantize_static(*paths, BlindReader(), activation_type=QuantType.QUInt8)
    model = onnx.load(tmp_path / "int8.onnx")
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "batch"
    onnx.save(model, tmp_path / "int8.onnx")
    add_training(tmp_path / "out", 0, tmp_path / "int8.onnx", is_other=False)
    code, verdicts = evaluate(command, "--out", "out")
    assert (code, verdicts["softmax same weights"]) == (10, "REGRESSED"), verdicts


def test_other_commit_runs_beside_this_one(case: Command) -> None:
    """`--against HEAD` exports and times the baseline with the code of the last commit, in processes of its own."""
    if not (Path(__file__).parent.parent / ".git").exists():
        pytest.skip("not a checkout")
    code, verdicts = evaluate(case, "--against", "HEAD")
    assert verdicts["softmax onnxruntime@1"] in ("PASS", "IMPROVED", "INCONCLUSIVE"), verdicts
    assert code in (0, 11)


def test_commit_before_the_move_runs_beside_this_one(case: Command) -> None:
    """A commit whose modules have their old names is asked by those names; it exports and times the baseline."""
    words = ["git", "log", "-1", "--diff-filter=D", "--format=%H", "--", "bench/executors.py"]
    move = subprocess.run(words, cwd=Path(__file__).parent.parent, capture_output=True, text=True, check=False).stdout
    if not move:
        pytest.skip("not a checkout with that part of the history")
    code, verdicts = evaluate(case, "--against", f"{move.strip()}^", "--against-python", sys.executable)
    assert verdicts["softmax onnxruntime@1"] in ("PASS", "IMPROVED", "INCONCLUSIVE"), verdicts
    assert code in (0, 11)
