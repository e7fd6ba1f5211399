"""Nets in C by the command line: exported folders that build and pass their own test, and the backend in a profile."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dlmi_bench.native import compiler
from native_files import TOLERANCE, draw, write_file
from stand_ins import Command, check_answer

FILES = ["Makefile", "README.md", "net.c", "net.h", "test.c"]
STRICT = ("-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic")

pytestmark = pytest.mark.skipif(
    bool(compiler.find_missing_compiler()) or not shutil.which("make"), reason="no C compiler, or no make"
)


def write_small(path: Path) -> Path:
    """A file with a kernel of each kind."""
    nodes = [
        ("Conv", ["x", "w"], ["a"], {"pads": [1, 1, 1, 1], "strides": [2, 2]}),
        ("BatchNormalization", ["a", *"sbmv"], ["c"], {}),
        ("LeakyRelu", ["c"], ["d"], {}),
        ("MaxPool", ["d"], ["e"], {"kernel_shape": [2, 2], "pads": [1, 1, 1, 1]}),
        ("Tanh", ["e"], ["f"], {}),
        ("Flatten", ["f"], ["g"], {}),
        ("MatMul", ["g", "dense"], ["h"], {}),
        ("LogSoftmax", ["h"], ["y"], {}),
    ]
    weights = {"w": draw(5, 3, 3, 3), "dense": draw(150, 4)} | {name: np.abs(draw(5)) + 0.5 for name in "sbmv"}
    return write_file(path, nodes, weights)


def build(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)


def test_exported_folder_builds_and_passes_its_test(command: Command) -> None:
    """Five files; the strictest warnings in both modes; `make test` passes, and fails once a weight is another."""
    write_small(command.folder / "a.onnx")
    done = command("export", "--format", "c", "a.onnx", "--to", "mine", "--json")
    assert done.returncode == 0, done.stderr
    folder = command.folder / "mine"
    assert sorted(path.name for path in folder.iterdir()) == FILES
    assert sorted(check_answer("export", done.stdout)["files"]) == [f"mine/{name}" for name in FILES]
    plain = build(folder, *compiler.find_command(), *STRICT, "-DNET_PLAIN", "-c", "net.c", "test.c")
    assert (plain.returncode, plain.stderr) == (0, "")
    for target in ("test", "test-plain"):
        made = build(folder, "make", target)
        assert made.returncode == 0, made.stdout + made.stderr
        assert "largest error" in made.stdout
    source = (folder / "net.c").read_text()
    head, brace, numbers = source.partition("static const float dense_weight[2400] = {")
    assert brace
    (folder / "net.c").write_text(head + brace + numbers.replace(".", ".1", 1))
    assert build(folder, "make", "test").returncode != 0
    readme = (folder / "README.md").read_text()
    assert "| multiply-accumulates of an example | 3300 |" in readme
    assert "ONNX Runtime is faster" not in readme


def test_objects_for_other_processors(command: Command) -> None:
    """SSE, AVX2 and AVX-512 without a warning, on the machine that can make them."""
    if "x86_64" not in build(command.folder, *compiler.find_command(), "-dumpmachine").stdout:
        pytest.skip("another processor")
    write_small(command.folder / "a.onnx")
    assert command("export", "--format", "c", "a.onnx").returncode == 0
    folder = command.folder / "out" / "export" / "c" / "a"
    made = build(folder, "make", "x86-64-v2", "x86-64-v3", "x86-64-v4")
    assert (made.returncode, made.stderr) == (0, "")
    assert len([*folder.glob("net-*.o")]) == 3


def test_export_says_what_it_cannot_do(command: Command) -> None:
    """An operator that is not taken, another format of a file, no file: exit code, cause and remedy, and no folder."""
    write_file(command.folder / "a.onnx", [("Erf", ["x"], ["y"], {})])
    for words, said in (
        (("--format", "c", "a.onnx"), "a.onnx: operator 'Erf' is not among"),
        (("--format", "csv", "a.onnx"), "exported with --format c only"),
        (("--format", "c", "b.onnx"), "b.onnx: No such file"),
    ):
        done = command("export", *words, "--to", "mine")
        assert done.returncode in (1, 2)
        assert said in done.stderr
        assert "remedy:" in done.stderr
        assert not (command.folder / "mine").exists()


def test_large_nets_are_said_to_be_slow(command: Command) -> None:
    """Above a million multiply-accumulates the folder says that ONNX Runtime is faster."""
    weights = {"w": draw(12, 3, 3, 3)}
    write_file(command.folder / "a.onnx", [("Conv", ["x", "w"], ["y"], {})], weights, shape=(3, 60, 60))
    done = command("export", "--format", "c", "a.onnx", "--to", "mine")
    assert done.returncode == 0
    assert "ONNX Runtime is faster" in (command.folder / "mine" / "README.md").read_text()
    assert "ONNX Runtime is faster" in done.stderr


@pytest.mark.slow
def test_profile_of_a_file_in_c(command: Command) -> None:
    """The backend by the installed command: latency beside an empty call, agreement with float32, conditions."""
    write_small(command.folder / "a.onnx")
    done = command("profile", "a.onnx", "--backend", "c", "--seconds", "0", "--json")
    assert done.returncode in (0, 1), done.stderr  # a busy machine makes latencies INVALID
    (profile,) = check_answer("profile", done.stdout)["profiles"]
    (row,) = profile["rows"]
    assert row["error"] == ""
    figures = {figure["name"]: figure for figure in row["figures"]}
    assert figures["max_score_error"]["value"] < TOLERANCE * 10
    conditions = figures["max_score_error"]["conditions"]
    assert (conditions["provider"], conditions["threads"], conditions["precision"]) == ("CPU", 1, "float32")
    assert conditions["compiler"] == compiler.describe_compiler()
    assert "-O3" in conditions["flags"]
    assert figures["latency_s"]["value"] > figures["native_s"]["value"] > 0  # a call from Python holds one inside C
    assert figures["native_s"]["kind"] == "native"
    assert figures["native_throughput_hz"]["reason"].startswith("only nets of dense layers in float32 share weights")
    assert figures["native_limit_share"]["value"] > 0 or figures["native_limit_share"]["reason"]


@pytest.mark.slow
def test_results_are_exported_in_c(finished: Command) -> None:
    """A folder for each training of a finished run; its test passes."""
    done = finished("export", "--format", "c")
    assert done.returncode == 0, done.stderr
    folders = sorted((finished.folder / "out" / "export" / "c").iterdir())
    assert folders
    assert all(sorted(path.name for path in folder.iterdir()) == FILES for folder in folders)
    assert build(folders[0], "make", "test").returncode == 0


def test_importing_backends_starts_no_compiler() -> None:
    """The list of backends is read by every command; asking for a compiler's version takes a process."""
    program = (
        "import sys, subprocess; subprocess.run = None; import dlmi_bench.backends; assert 'onnx' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
