"""Nets in C before other judges: another generator, other processors, and sanitizers on exact memory."""

import ctypes
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from dlmi_bench.native import compiler
from dlmi_bench.native.library import load_library, run_net
from dlmi_bench.native.reading.file import read_net
from dlmi_bench.native.timing.shared import find_obstacle, format_shared
from dlmi_bench.native.writing.project import write_project
from dlmi_bench.native.writing.source import format_header, format_source
from native_files import TOLERANCE, draw, own_cache, write_file  # noqa: F401 - a fixture
from test_native import CHAINS, CONSTANTS, INPUT, NETS, TAKEN, export
from test_native_int8 import INPUT as SHAPE
from test_native_int8 import make_chain

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(compiler.find_missing_compiler()), reason="no C compiler"),
    pytest.mark.usefixtures("own_cache"),
]

STRICT = ("-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-O3", "-ffp-contract=fast")
LEVELS = {"x86-64-v2": "sse4_2", "x86-64-v3": "avx2", "x86-64-v4": "avx512vl"}  # and what /proc/cpuinfo calls them
AARCH64 = 183  # machine of an ELF file
SANITIZERS = ("-std=c99", "-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
# Each example and each answer in memory of its own, to the byte: what is read or written beside it stops the program.
DRIVER = """\
#include <stdlib.h>
#include <string.h>
#include "net.h"

void net_run_shared(int n, const float *input, float *output, float *scratch);

int main(void)
{
    float *scratch = malloc(NET_SCRATCH * sizeof(float));
    for (int i = 0; i < 3; i++) {
        float *input = malloc(NET_INPUT * sizeof(float)), *output = malloc(NET_OUTPUT * sizeof(float));
        for (int j = 0; j < NET_INPUT; j++)
            input[j] = (float)((j * 37 + i * 11) % 101) / 50 - 1;
        memset(scratch, 255, NET_SCRATCH * sizeof(float)); /* no numbers */
        net_run(input, output, scratch);
        for (int j = 0; j < NET_OUTPUT; j++)
            if (!(output[j] - output[j] == 0))
                return 2;
        free(input);
        free(output);
    }
    free(scratch);
#ifdef SHARED
    float *inputs = calloc(SHARED * NET_INPUT, sizeof(float)), *outputs = malloc(SHARED * NET_OUTPUT * sizeof(float));
    float *memory = malloc(SHARED * STRIDE * sizeof(float));
    net_run_shared(SHARED, inputs, outputs, memory);
    free(inputs);
    free(outputs);
    free(memory);
#endif
    return 0;
}
"""


def start(*words: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(words, cwd=cwd, capture_output=True, text=True, check=False)


def list_nets(folder: Path) -> dict[str, Path]:
    return {name: export(name, folder / f"{name}.onnx") for name in (*NETS, "mlp-16-12")}


def list_operators(folder: Path) -> dict[str, Path]:
    """A file for each operator and each combination of the fast tests."""
    files = {}
    for i, (name, file) in enumerate(TAKEN.items()):
        files[name] = write_file(folder / f"taken{i}.onnx", **file)
    for i, (name, nodes) in enumerate(CHAINS.items()):
        used = {word for _, reads, _, _ in nodes for word in reads}
        constants = {key: value for key, value in CONSTANTS.items() if key in used}
        files[name] = write_file(folder / f"chain{i}.onnx", nodes, constants)
    return files


@pytest.mark.skipif(find_spec("emx_onnx_cgen") is None, reason="no package emx-onnx-cgen")
@pytest.mark.parametrize("name", ["mlp-16-12", "cnn-4", "conv-12-18-20"])
def test_another_generator_answers_alike(name: str, tmp_path: Path) -> None:
    """emx-onnx-cgen, which shares no code with this project, writes a program of the same answers."""
    path, inputs = export(name, tmp_path / "a.onnx"), draw(20, *INPUT)
    generator = str(Path(sys.executable).with_name("emx-onnx-cgen"))
    made = start(generator, "compile", "a.onnx", "oracle.c", "--model-name", "oracle", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    shared = ("-O2", "-shared", "-fPIC", "-o", "oracle.so", "oracle.c", "-lm")
    assert start(*compiler.find_command(), *shared, cwd=tmp_path).returncode == 0
    wanted = np.zeros((20, 10), np.float32)
    places = (ctypes.c_void_p(array.ctypes.data) for array in (inputs, wanted))
    ctypes.CDLL(str(tmp_path / "oracle.so")).oracle(20, *places)
    net, _ = read_net(path)
    found = run_net(load_library(net), net, inputs)
    assert np.ptp(wanted) > 1e-2
    assert np.abs(found - wanted).max() <= TOLERANCE * np.abs(wanted).max()


@pytest.mark.parametrize("level", LEVELS)
def test_exported_files_answer_on_every_level(level: str, tmp_path: Path) -> None:
    """Compiled for SSE4.2, AVX2 and AVX-512 without a warning; the test of each runs where the processor can."""
    if "x86_64" not in start(*compiler.find_command(), "-dumpmachine", cwd=tmp_path).stdout:
        pytest.skip("another processor")
    is_able = LEVELS[level] in Path("/proc/cpuinfo").read_text().split()
    for name, path in list_nets(tmp_path).items():
        folder = tmp_path / path.stem
        write_project(path, folder)
        command = (*compiler.find_command(), *STRICT, f"-march={level}", "-o", "run-test", "net.c", "test.c", "-lm")
        made = start(*command, cwd=folder)
        assert (made.returncode, made.stderr) == (0, ""), name
        if is_able:
            assert start("./run-test", cwd=folder).returncode == 0, name


@pytest.mark.skipif(find_spec("ziglang") is None or not shutil.which("make"), reason="no package ziglang, or no make")
@pytest.mark.parametrize("name", ["mlp-16-12", "conv-12-18-20", "lecun-1989"])
def test_exported_files_compile_for_arm(name: str, tmp_path: Path) -> None:
    """`make armv8` with a compiler that makes it: an object of that processor, without a warning."""
    write_project(export(name, tmp_path / "a.onnx"), tmp_path / "net")
    made = start("make", "armv8", f"CC={sys.executable} -m ziglang cc -target aarch64-linux-gnu", cwd=tmp_path / "net")
    assert (made.returncode, made.stderr) == (0, "")
    content = (tmp_path / "net" / "net-armv8.o").read_bytes()
    assert content[:4] == b"\x7fELF"
    assert int.from_bytes(content[18:20], "little") == AARCH64


def test_memory_is_left_alone(tmp_path: Path) -> None:
    """No file reads or writes beside its input, output, weights and scratch, or does what C leaves undefined."""
    (tmp_path / "empty.c").write_text("int main(void) { return 0; }\n")
    if start(*compiler.find_command(), *SANITIZERS, "-o", "empty", "empty.c", cwd=tmp_path).returncode:
        pytest.skip("no sanitizers")
    nets, n_shared = list_nets(tmp_path) | {"int8": make_chain().write(tmp_path / "int8.onnx", SHAPE)}, 0
    few = {name: nets[name] for name in ("cnn-4", "mlp-16-12", "int8")}
    plans = [(nets | list_operators(tmp_path), ("-march=native",)), (few, ()), (few, ("-DNET_PLAIN",))]
    for name, path, vectors in [(*file, vectors) for files, vectors in plans for file in files.items()]:
        net, _ = read_net(path)
        shared = "" if find_obstacle(net) else format_shared(net)
        n_shared += bool(shared)
        (tmp_path / "net.h").write_text(format_header(net))
        (tmp_path / "driver.c").write_text(format_source(net) + shared + DRIVER)
        command = (*compiler.find_command(), *SANITIZERS, *vectors, "-o", "driver", "driver.c", "-lm")
        made = start(*command, cwd=tmp_path)
        assert made.returncode == 0, f"{name}: {made.stderr[:2000]}"
        done = start("./driver", cwd=tmp_path)
        assert done.returncode == 0, f"{name} {vectors}: {done.stderr[:2000]}"
    assert n_shared >= 3  # the MLP, in all three
