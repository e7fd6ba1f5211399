"""Calls of nets in C that are put into another order, or joined: the same answers, bit for bit."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dlmi_bench.native import compiler
from dlmi_bench.native.library import load_library, run_net
from dlmi_bench.native.net import Call
from dlmi_bench.native.reading import file
from native_files import Node, check_parity, draw, own_cache, quick, write_file  # noqa: F401 - two are fixtures

pytestmark = [
    pytest.mark.skipif(bool(compiler.find_missing_compiler()), reason="no C compiler"),
    pytest.mark.usefixtures("own_cache", "quick"),
]
PAIRS = {"kernel_shape": [2, 2], "strides": [2, 2]}
SAME = {"pads": [1, 1, 1, 1]}


def chain(*maps: tuple[str, dict[str, Any]]) -> list[Node]:
    """A convolution, then these operators of one input."""
    nodes: list[Node] = [("Conv", ["x", "w"], ["t0"], SAME)]
    for i, (kind, attributes) in enumerate(maps):
        nodes.append((kind, [f"t{i}"], [f"t{i + 1}" if i + 1 < len(maps) else "y"], attributes))
    return nodes


def list_kernels(path: Path) -> list[str]:
    return [call.kernel for call in file.read_net(path)[0].calls]


POOLED = ("MaxPool", PAIRS)
MOVED: dict[str, tuple[list[Node], str]] = {
    "relu": (chain(("Relu", {}), POOLED), "relu"),
    "leaky": (chain(("LeakyRelu", {"alpha": 0.2}), POOLED), "leaky_relu"),
    "clip": (chain(("Clip", {}), POOLED), "clip"),
    "windows that overlap": (chain(("Relu", {}), ("MaxPool", {"kernel_shape": [3, 2]})), "relu"),
    "windows that are cut": (chain(("Relu", {}), ("MaxPool", {"kernel_shape": [3, 3], **SAME})), "relu"),
    "twice": (chain(("Relu", {}), POOLED, ("Relu", {}), POOLED), "relu"),
}
STAYING: dict[str, list[Node]] = {
    "falling": chain(("LeakyRelu", {"alpha": -0.2}), POOLED),
    "curved": chain(("Tanh", {}), POOLED),
    "means": chain(("Relu", {}), ("AveragePool", PAIRS)),
    "read by another": [
        ("Conv", ["x", "w"], ["t"], SAME),
        ("Relu", ["t"], ["a"], {}),
        ("MaxPool", ["a"], ["c"], PAIRS),
        ("MaxPool", ["a"], ["d"], PAIRS),
        ("Add", ["c", "d"], ["y"], {}),
    ],
}


@pytest.mark.parametrize("name", MOVED)
def test_maps_come_behind_the_pool(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer numbers are mapped; the answers are those of the file's own order, to the last bit."""
    nodes, kernel = MOVED[name]
    path = write_file(tmp_path / "a.onnx", nodes, {"w": draw(5, 3, 3, 3)})
    net, inputs = file.read_net(path)[0], draw(4, 3, 9, 7)
    kernels = [call.kernel for call in net.calls]
    assert kernels[-1] == kernel
    assert kernels[-2].startswith("max_pool")
    found = run_net(load_library(net), net, inputs)
    monkeypatch.setattr(file, "improve_calls", lambda calls, _: tuple(calls))
    net = file.read_net(path)[0]
    assert net.calls[-1].kernel == kernels[-2]
    assert np.array_equal(run_net(load_library(net), net, inputs), found)


@pytest.mark.parametrize("name", STAYING)
def test_maps_stay_where_order_or_readers_need_them(name: str, tmp_path: Path) -> None:
    path = write_file(tmp_path / "a.onnx", STAYING[name], {"w": draw(5, 3, 3, 3)})
    kernels = list_kernels(path)
    assert "pool" in kernels[-1 if name != "read by another" else -2]
    check_parity(path)


@pytest.mark.parametrize("flags", [(), ("-DNET_PLAIN",)], ids=["own", "plain"])
@pytest.mark.parametrize("width", [2, 7, 16, 35, 71])
def test_pairs_of_rows_of_any_width(
    width: int, flags: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Vectors that end behind a row, one number over in both directions, and several vectors a row."""
    monkeypatch.setattr(compiler, "FLAGS", (*compiler.FLAGS, *flags))
    path = write_file(tmp_path / "a.onnx", chain(POOLED), {"w": draw(3, 2, 3, 3)}, shape=(2, 5, width))
    assert list_kernels(path)[-1] == "max_pool_pairs"
    check_parity(path)


def test_pairs_of_the_input_read_nothing_behind_it(tmp_path: Path) -> None:
    """The caller's memory ends with the input: its numbers are read one by one."""
    path = write_file(tmp_path / "a.onnx", [("MaxPool", ["x"], ["y"], PAIRS)])
    assert list_kernels(path) == ["max_pool_inside"]


def test_bytes_are_not_joined_where_floats_are_read_too(tmp_path: Path) -> None:
    """Whole numbers with a second reader are made as floats, and as bytes out of these."""
    scales = {"s": 0.02, "z": np.array(120, np.uint8), "t": 0.7}
    nodes: list[Node] = [
        ("DequantizeLinear", ["w", "t"], ["v"], {}),
        ("QuantizeLinear", ["x", "s", "z"], ["a"], {}),
        ("DequantizeLinear", ["a", "s", "z"], ["b"], {}),
        ("MatMul", ["b", "v"], ["c"], {}),
        ("Add", ["b", "c"], ["y"], {}),
    ]
    weights = {"w": np.random.default_rng(0).integers(-90, 90, (20, 20)).astype(np.int8)}
    path = write_file(tmp_path / "a.onnx", nodes, weights | scales, shape=(20,))
    calls: tuple[Call, ...] = file.read_net(path)[0].calls
    assert [call.kernel for call in calls][:2] == ["quantise", "pack_bytes"]
    check_parity(path)
