"""Weights of few bits in C: fewer bytes, and the very numbers and answers of the float32 file."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dlmi_bench.cli.export import export
from dlmi_bench.errors import UsageError
from dlmi_bench.native import compiler
from dlmi_bench.native.library import load_library, run_net
from dlmi_bench.native.net import Net
from dlmi_bench.native.reading.file import read_net
from dlmi_bench.native.reading.weights import pack
from dlmi_bench.native.writing.project import write_project
from native_files import Node, draw, write_file
from stand_ins import Command

pytestmark = pytest.mark.skipif(bool(compiler.find_missing_compiler()), reason="no C compiler")
BITS = {127: 8, 7: 4, 3: 3, 1: 2}  # by the largest whole number


@pytest.fixture(autouse=True)
def quick(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiles quickly, and finds nothing compiled that another run left."""
    monkeypatch.setattr(compiler, "FLAGS", ("-std=c99", "-O1", "-march=native", "-ffp-contract=fast"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


def draw_grid(most: int, *shape: int, axis: int = 0, seed: int = 0) -> Any:
    """Whole numbers up to `most`, each index of an axis times a scale; zeros are -0.0, and the last index is 0."""
    random = np.random.default_rng(seed)
    steps = random.integers(-most, most + 1, shape)
    scales = 0.01 + random.random(shape[axis]).astype(np.float32)
    scales[-1] = 0
    rows = np.abs(steps) * scales.reshape([-1 if i == axis else 1 for i in range(len(shape))])
    return np.copysign(rows, steps - 0.5).astype(np.float32)


def make_branch(most: int) -> tuple[list[Node], dict[str, Any]]:
    """Convolutions of groups, of depth, and at few positions, then dense layers of either layout."""
    kinds: list[tuple[str, Any, dict[str, Any]]] = [
        ("Conv", draw_grid(most, 15, 1, 3, 3), {"pads": [1, 1, 1, 1], "group": 3}),
        ("Conv", draw_grid(most, 15, 1, 3, 3, seed=1), {"group": 15}),
        ("Conv", draw_grid(most, 40, 15, 2, 2, seed=2), {"strides": [5, 5]}),
        ("Flatten", None, {}),
        ("Gemm", draw_grid(most, 19, 160, seed=3), {"transB": 1}),
        ("MatMul", draw_grid(most, 19, 9, axis=1, seed=4), {}),
    ]
    nodes: list[Node] = []
    weights = {}
    for i, (kind, values, attributes) in enumerate(kinds):
        name = [f"w{most}_{i}"] if values is not None else []
        nodes.append((kind, [f"t{most}_{i}" if i else "x", *name], [f"t{most}_{i + 1}"], attributes))
        weights |= dict.fromkeys(name, values)
    return nodes, weights


@pytest.fixture(scope="module")
def nets(tmp_path_factory: pytest.TempPathFactory) -> tuple[Net, Net]:
    """A net with a branch for each number of bits, as float32 and packed."""
    nodes: list[Node] = []
    weights: dict[str, Any] = {}
    for more, held in map(make_branch, BITS):
        nodes += more
        weights |= held
    nodes.append(("Concat", [f"t{most}_6" for most in BITS], ["y"], {"axis": 1}))
    path = write_file(tmp_path_factory.mktemp("bits") / "a.onnx", nodes, weights, shape=(3, 12, 9))
    return read_net(path)[0], read_net(path, is_packed=True)[0]


def test_answers_are_those_of_the_float_form(nets: tuple[Net, Net]) -> None:
    """Bit for bit, for every number of bits and every layout of weights."""
    plain, packed = nets
    inputs = draw(5, *plain.input_shape)
    wanted = run_net(load_library(plain), plain, inputs)
    assert (np.ptp(wanted.reshape(5, 4, 9), axis=(0, 2)) > 1e-3).all()
    assert np.array_equal(run_net(load_library(packed), packed, inputs), wanted)


def test_packed_weights_take_their_bits(nets: tuple[Net, Net]) -> None:
    """The bits of each weight, a word at most for what is over, a scale for each output, and nothing in float32."""
    plain, packed = nets
    n_weights = (135, 135, 2400, 3040, 171)
    for most, n_bits in BITS.items():
        held = [
            array for array in packed.arrays if array.name.startswith(f"w{most}_") and array.name.endswith("weight")
        ]
        n_fields = 32 // n_bits
        assert [array.size_bytes for array in held] == [-(-n // n_fields) * 4 if n_bits < 8 else n for n in n_weights]
        scales = [a.values.size for a in packed.arrays if a.name.startswith(f"w{most}_") and a.name.endswith("scales")]
        assert scales == [15, 15, 40, 19, 9]
    assert packed.is_packed
    assert not plain.is_packed
    assert packed.n_parameters == plain.n_parameters == 4 * sum(n_weights)
    kernels = {call.kernel for call in packed.calls}
    assert {"unpack", "scale_blocks", "scale_columns", "conv", "conv_points", "dense"} <= kernels


def test_unpacked_numbers_are_those_of_the_file(tmp_path: Path) -> None:
    """A product with a unit vector is a row of the weights: equal to the file's, for every number of bits."""
    weights = {f"w{most}": draw_grid(most, 37, 21, axis=1) for most in BITS}
    nodes: list[Node] = [("MatMul", ["x", name], [f"{name}y"], {}) for name in weights]
    nodes.append(("Concat", [f"{name}y" for name in weights], ["y"], {"axis": 1}))
    net, _ = read_net(write_file(tmp_path / "a.onnx", nodes, weights, shape=(37,)), is_packed=True)
    assert sum(call.kernel == "scale_columns" for call in net.calls) == len(BITS)
    found = run_net(load_library(net), net, np.eye(37, dtype=np.float32))
    assert np.array_equal(found, np.concatenate([*weights.values()], axis=1))


def test_fields_of_words() -> None:
    """Number f * n_words + i in field f of word i, lowest first, zero as the largest number: by hand."""
    assert pack(np.array([-3, 0, 3, 1]), 3).tolist() == [0 | 3 << 3 | 6 << 6 | 4 << 9 | 0]
    words = [sum((2 * f + i) << 4 * f for f in range(8 - i)) for i in (0, 1)]
    assert pack(np.arange(-7, 8), 4).tolist() == words
    assert pack(np.array([-127, 5]), 8).tolist() == [-127, 5]


def test_what_is_on_no_grid_stays_float(tmp_path: Path) -> None:
    """Weights off the grid by one step of float32, more than 255 values, and units of one weight, which would grow."""
    grid = draw_grid(3, 37, 8, axis=1)
    off = grid.copy()
    off[5, 2] = np.nextafter(np.float32(3 * np.abs(off[:, 2]).max()), np.float32(9)) / 3
    for weights in (off, draw_grid(150, 37, 8, axis=1), draw(1, 8)):
        n = len(weights)
        path = write_file(tmp_path / "a.onnx", [("MatMul", ["x", "w"], ["y"], {})], {"w": weights}, shape=(n,))
        net, _ = read_net(path, is_packed=True)
        assert not net.is_packed
        assert net.weight_bytes == read_net(path)[0].weight_bytes


def test_export_packs_and_can_be_told_not_to(command: Command) -> None:
    """--float-weights keeps float32; net.h and the README say the bytes of both; results take no such option."""
    nodes: list[Node] = [("MatMul", ["x", "w"], ["y"], {})]
    path = write_file(command.folder / "a.onnx", nodes, {"w": draw_grid(3, 370, 16, axis=1)}, shape=(370,))
    done = command("export", "--format", "c", "a.onnx", "--to", "plain", "--float-weights")
    assert done.returncode == 0, done.stderr
    write_project(path, command.folder / "packed")
    for name, n_bytes in (("packed", 2368 + 2 * 64), ("plain", 4 * 370 * 16 + 64)):
        readme = (command.folder / name / "README.md").read_text()
        assert f"| constant arrays, with the zeros that fill up vectors | {n_bytes} bytes |" in readme
        assert ("whole numbers of 8, 4, 3 or 2 bits" in readme) == (name == "packed")
        assert f"Its constants take {n_bytes} bytes." in (command.folder / name / "net.h").read_text()
    with pytest.raises(UsageError, match="--float-weights goes with one ONNX file"):
        export(None, format_=["c"], float_weights=True)
