"""The package without its extras: what an engineer with ONNX files gets, and what is refused before work begins.

These tests run where none of the extras is installed (`nox -s core`).
"""

import subprocess
import sys
from pathlib import Path
from sysconfig import get_path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from dlmi_bench.extras import EXTRAS, is_installed

pytestmark = pytest.mark.core
MAX_CORE_BYTES = 350e6
NEED_NO_TOOLS = ("pip", "setuptools", "pkg_resources", "_distutils_hack", "pytest", "_pytest", "pygments")


def run(*words: str, where: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("dlmi-bench")), *words]
    return subprocess.run(command, cwd=where, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two linear classifiers of 16x16 images, and a test set that the first one knows by heart."""
    folder, random = tmp_path_factory.mktemp("files"), np.random.default_rng(0)
    for name in ("right", "left"):
        weights = numpy_helper.from_array(random.standard_normal((256, 10)).astype(np.float32), "weights")
        ports = [
            helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 1, 16, 16]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", 10]),
        ]
        nodes = [
            helper.make_node("Flatten", ["image"], ["flat"]),
            helper.make_node("MatMul", ["flat", "weights"], ["scores"]),
        ]
        graph = helper.make_graph(nodes, name, ports[:1], ports[1:], [weights])
        onnx.save(
            helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), folder / f"{name}.onnx"
        )
    images = random.standard_normal((300, 1, 16, 16)).astype(np.float32)
    model = onnx.load(folder / "right.onnx")
    classes = (images.reshape(300, -1) @ numpy_helper.to_array(model.graph.initializer[0])).argmax(1)
    np.savez(folder / "test.npz", x=images, y=classes)
    return folder


def test_no_extra_is_installed() -> None:
    """Else these tests would prove nothing."""
    assert [module for modules in EXTRAS.values() for module in modules if is_installed(module)] == []


def test_the_core_stays_light() -> None:
    """Files as pip unpacks them, without compiled bytecode and without the tools of this test."""
    packages = Path(get_path("purelib"))
    sizes = {
        path: path.stat().st_size
        for path in packages.rglob("*")
        if path.is_file()
        and path.suffix != ".pyc"
        and path.relative_to(packages).parts[0].split("-")[0] not in NEED_NO_TOOLS
    }
    assert 1e8 < sum(sizes.values()) < MAX_CORE_BYTES


def test_a_file_is_counted(files: Path) -> None:
    done = run("count", "right.onnx", where=files)
    assert (done.returncode, "2 560" in done.stdout) == (0, True), done.stderr


def test_predictions_are_judged(files: Path) -> None:
    """With a report, whose plots need an extra and say so."""
    rows = "".join(f"{i},{i % 2},{i % 2},{i % 3 % 2}\n" for i in range(60))
    (files / "answers.csv").write_text(f"case_id,ground_truth,a,b\n{rows}")
    done = run("judge", "answers.csv", "--report", "judged", where=files)
    assert (done.returncode, "a is better" in done.stdout) == (0, True), done.stderr
    assert (files / "judged" / "report.html").is_file()


def test_a_file_is_profiled(files: Path) -> None:
    """8-bit integers too, which are made on the spot; what comes with an extra says so in its row."""
    done = run("profile", "right.onnx", "--seconds", "0", where=files)
    assert done.returncode == int("INVALID" in done.stdout), done.stderr  # on a busy machine
    assert "".join(done.stdout.split()).count("nopackagetorch;installdlmi-bench[torch]") == 1
    assert "onnxruntime-int8" in done.stdout.split("other costs")[0]


def test_files_are_compared(files: Path) -> None:
    """In one session, with their accuracies; a plot says which extra draws it, before anything is measured."""
    names = ("right.onnx", "left.onnx", "--test", "test.npz", "--processes", "2")
    done = run("compare", *names, where=files)
    assert "100.0 [98.7, 100.0]" in done.stdout, done.stderr
    refused = run("compare", *names, "--plot", "front.svg", where=files)
    assert (refused.returncode, "install dlmi-bench[plots]" in refused.stderr) == (1, True)
    report = run("report", "--out", "out/compare", "--format", "md", where=files)
    assert report.returncode == 0, report.stderr
    text = (files / "out" / "compare" / "report" / "details.md").read_text()
    assert "No plots: no package matplotlib; install dlmi-bench" in text.replace("\\", "")


def test_a_file_is_gated(files: Path) -> None:
    """The baseline is the file itself: counts are the same, and latency is judged or left open."""
    (files / "gate.toml").write_text('batches = [1]\ninconclusive = "warn"\ndisturbed = "warn"\n')
    names = ("--onnx", "right.onnx", "--test", "test.npz")
    saved = run("baseline", "save", "--baseline", "a baseline", "--reason", "first", *names, where=files)
    assert saved.returncode == 0, saved.stderr
    done = run("gate", "--baseline", "a baseline", *names, "--settings", "gate.toml", where=files)
    assert (done.returncode, "SAME in counts" in done.stdout) == (0, True), done.stdout + done.stderr


@pytest.mark.parametrize(
    ("words", "extra"),
    [
        (["run", "--suite", "smoke"], "torch"),
        (["count", "mlp-64-32"], "torch"),
        (["profile", "mlp-64-32"], "torch"),
        (["compare", "right.onnx", "--backend", "openvino"], "openvino"),
        (["run", "--backend", "openvino"], "openvino"),
    ],
)
def test_what_is_missing_names_its_extra(files: Path, words: list[str], extra: str) -> None:
    """Before anything is written or measured."""
    done = run(*words, where=files)
    assert (done.returncode, f"install dlmi-bench[{extra}]" in done.stderr) == (1, True), done.stderr
    assert "Traceback" not in done.stderr
    assert not (files / "out" / "store.sqlite").exists()
