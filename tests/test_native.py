"""Nets in C: the answers of float64, from every operator that is taken, and a reason for every other."""

import re
import threading
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from dlmi_bench.backends import BACKENDS
from dlmi_bench.backends.export import write_onnx
from dlmi_bench.errors import DataError, UnavailableError, UsageError
from dlmi_bench.jobs.reference import compute_file_reference
from dlmi_bench.native import compiler
from dlmi_bench.native.library import load_library, make_aligned, run_net
from dlmi_bench.native.reading.file import read_net
from dlmi_bench.native.reading.tables import READERS
from dlmi_bench.native.writing.source import format_source
from dlmi_models import MODELS
from native_files import Node, check_parity, draw, own_cache, quick, write_file  # noqa: F401 - two are fixtures

INPUT = (1, 16, 16)
NETS = ("cnn-4", "dct-32-16-12", "lecun-1989", "committee-2-3-4-5")  # every kernel that this project's nets call
OTHERS = ("softmax", "mlp-16-12", "mlp-64-32", "window-28-40", "sepconv-6-9-10", "conv-12-18-20", "resnet-c")

pytestmark = [
    pytest.mark.skipif(bool(compiler.find_missing_compiler()), reason="no C compiler"),
    pytest.mark.usefixtures("own_cache"),
]


def export(name: str, path: Path) -> Path:
    path.write_bytes(make_onnx(name))
    return path


@cache
def make_onnx(name: str) -> bytes:
    """A model with random weights; exporting takes longer than what most tests do with it."""
    torch.manual_seed(0)
    network = MODELS[name].build(INPUT, 10).train()
    for _ in range(3):  # gives the normalisation statistics that are not 0 and 1
        network(torch.randn(8, *INPUT))
    with TemporaryDirectory() as folder:
        write_onnx(network, INPUT, Path(folder, "a.onnx"))
        return Path(folder, "a.onnx").read_bytes()


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("name", [*NETS, *(pytest.param(name, marks=pytest.mark.slow) for name in OTHERS)])
def test_own_nets_answer_as_float64(name: str, tmp_path: Path) -> None:
    """What this project exports, with random weights: within 1e-5 of the largest score, at batch 1 and 3."""
    check_parity(export(name, tmp_path / "a.onnx"))


def test_flags_of_the_backend_answer_as_float64(tmp_path: Path) -> None:
    """The net of most kernels as it is compiled for a user; all others here are compiled in less time."""
    check_parity(export("cnn-4", tmp_path / "a.onnx"))


def conv(out: int, per_group: int, kernel: tuple[int, int], *, bias: bool = True, **attributes: Any) -> dict[str, Any]:
    weights = {"w": draw(out, per_group, *kernel, seed=1)} | ({"b": draw(out, seed=2)} if bias else {})
    return {"nodes": [("Conv", ["x", *weights], ["y"], attributes)], "weights": weights}


def one(kind: str, *names: str, weights: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
    """One node, whose attributes and file have `options`."""
    file = {name: options.pop(name) for name in ("shape", "opset", "batch") if name in options}
    return {"nodes": [(kind, ["x", *names], ["y"], options)], "weights": weights or {}} | file


FLAT = {"shape": (37,)}
TAKEN: dict[str, dict[str, Any]] = {
    "conv": conv(5, 3, (3, 3)),
    "conv without bias": conv(4, 3, (3, 3), bias=False),
    "conv of fifteen channels": conv(15, 3, (3, 3), pads=[1, 1, 1, 1]),
    "conv of one row": conv(7, 3, (1, 5)),
    "conv of the whole map": conv(6, 3, (9, 7)),
    "conv of points": conv(9, 3, (1, 1)),
    "conv with strides": conv(5, 3, (3, 3), strides=[2, 3], pads=[1, 1, 1, 1]),
    "conv with strides alone": conv(5, 3, (2, 2), strides=[3, 2]),
    "conv that leaves numbers over": conv(2, 3, (1, 1), strides=[4, 4]),
    "conv with pads that differ": conv(3, 3, (3, 4), pads=[0, 2, 1, 3]),
    "conv with wide pads": conv(3, 3, (2, 2), pads=[4, 4, 4, 4], strides=[3, 3]),
    "conv with dilations": conv(5, 3, (3, 2), dilations=[2, 3], pads=[1, 2, 1, 2]),
    "conv with all of them": conv(6, 1, (3, 2), dilations=[2, 1], strides=[2, 2], pads=[2, 0, 1, 1], group=3),
    "conv of depth": conv(3, 1, (3, 3), group=3, pads=[1, 1, 1, 1]),
    "conv of depth to points": conv(3, 1, (9, 7), group=3),
    "conv of many channels": conv(40, 3, (3, 3), strides=[3, 3], pads=[1, 1, 1, 1]),
    "conv same upper": conv(5, 3, (4, 3), strides=[2, 2], auto_pad="SAME_UPPER"),
    "conv same lower": conv(5, 3, (4, 3), strides=[2, 2], auto_pad="SAME_LOWER"),
    "conv valid": conv(5, 3, (4, 3), auto_pad="VALID"),
    "max": one("MaxPool", kernel_shape=[2, 2], strides=[2, 2]),
    "max that overlaps": one("MaxPool", kernel_shape=[3, 2]),
    "max with pads": one("MaxPool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 0, 1, 2]),
    "max with pads of the width": one("MaxPool", kernel_shape=[3, 3], pads=[0, 1, 0, 2]),
    "max with ceil and pads": one("MaxPool", kernel_shape=[3, 3], strides=[2, 1], pads=[1, 0, 0, 1], ceil_mode=1),
    "max same": one("MaxPool", kernel_shape=[3, 2], strides=[2, 2], auto_pad="SAME_LOWER"),
    "max with ceil": one("MaxPool", kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1),
    "average": one("AveragePool", kernel_shape=[3, 2], strides=[2, 2]),
    "average with pads": one("AveragePool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
    "average that counts pads": one(
        "AveragePool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], count_include_pad=1
    ),
    "average with ceil": one("AveragePool", kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1),
    "global average": one("GlobalAveragePool"),
    "mean": one("ReduceMean", "axes", weights={"axes": [2, 3]}, keepdims=0),
    "mean by attribute": one("ReduceMean", axes=[-1, -2], opset=13),
    "gemm": one("Gemm", "w", "b", weights={"w": draw(37, 50), "b": draw(50)}, alpha=0.5, beta=3.0, **FLAT),
    "gemm turned": one("Gemm", "w", weights={"w": draw(9, 37)}, transB=1, **FLAT),
    "gemm with one sum": one("Gemm", "w", "b", weights={"w": draw(37, 4), "b": draw(1, 1)}, **FLAT),
    "matmul": one("MatMul", "w", weights={"w": draw(37, 130)}, **FLAT),
    "relu": one("Relu"),
    "leaky relu": one("LeakyRelu", alpha=0.3),
    "tanh": one("Tanh"),
    "sigmoid": one("Sigmoid"),
    "clip": one("Clip", "low", "high", weights={"low": -0.5, "high": 0.75}),
    "clip above": one("Clip", "", "high", weights={"high": 0.75}),
    "clip by attribute": one("Clip", min=-0.25, max=6.0, opset=9),
    "softmax": one("Softmax", **FLAT),
    "log softmax": one("LogSoftmax", axis=1, **FLAT),
    "sum of itself": one("Add", "x"),
    "sum with a number": one("Add", "c", weights={"c": 2.5}),
    "sum by channel": one("Add", "c", weights={"c": draw(3, 1, 1)}),
    "difference": one("Sub", "c", weights={"c": draw(9, 1)}),
    "product": one("Mul", "c", weights={"c": draw(1, 3, 9, 7)}),
    "product with a number": one("Mul", "c", weights={"c": [0.5, 1.5][1]}),
    "normalisation": one(
        "BatchNormalization", *"sbmv", weights={"s": draw(3), "b": draw(3), "m": draw(3), "v": draw(3) ** 2 + 0.1}
    ),
    "flatten": one("Flatten"),
    "reshape": one("Reshape", "s", weights={"s": [0, -1, 7]}),
    "squeeze": one("Squeeze", "s", weights={"s": [2]}, shape=(5, 1, 2)),
    "unsqueeze": one("Unsqueeze", "s", weights={"s": [2]}),
    "identity": one("Identity"),
    "dropout": one("Dropout"),
    "pad": one("Pad", "p", "v", weights={"p": [0, 0, 1, 2, 0, 0, 0, 3], "v": -1.5}),
    "batch of three": conv(5, 3, (3, 3)) | {"batch": 3},
}


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("name", TAKEN)
def test_each_operator_answers_as_float64(name: str, tmp_path: Path) -> None:
    check_parity(write_file(tmp_path / "a.onnx", **TAKEN[name]))


@pytest.mark.parametrize("name", [name for name in TAKEN if name.startswith("max")])
def test_references_of_pools_are_those_of_onnx_runtime(name: str, tmp_path: Path) -> None:
    """What `profile` and `compare` hold answers against, too; onnx's own evaluator gets two of them wrong."""
    path = write_file(tmp_path / "a.onnx", **TAKEN[name])
    inputs = draw(2, 3, 9, 7)
    (wanted,) = onnxruntime.InferenceSession(path).run(None, {"x": inputs})
    found = compute_file_reference(path, inputs).eager
    assert found is not None
    assert np.array_equal(found, wanted.reshape(2, -1))


CHAINS: dict[str, list[Node]] = {
    "conv, norm, relu": [
        ("Conv", ["x", "w"], ["a"], {}),
        ("BatchNormalization", ["a", *"sbmv"], ["c"], {}),
        ("Relu", ["c"], ["y"], {}),
    ],
    "conv, sum": [("Conv", ["x", "w"], ["a"], {"pads": [1, 1, 1, 1]}), ("Add", ["k", "a"], ["y"], {})],
    "residual": [
        ("Conv", ["x", "w"], ["a"], {"pads": [1, 1, 1, 1]}),
        ("Relu", ["a"], ["c"], {}),
        ("Conv", ["c", "w"], ["d"], {"pads": [1, 1, 1, 1]}),
        ("Add", ["d", "c"], ["y"], {}),
    ],
    "two readers": [
        ("Conv", ["x", "w"], ["a"], {}),
        ("Relu", ["a"], ["c"], {}),
        ("Tanh", ["a"], ["d"], {}),
        ("Sub", ["c", "d"], ["y"], {}),
    ],
    "reader of the input twice": [("Relu", ["x"], ["a"], {}), ("Mul", ["a", "x"], ["y"], {})],
    "points behind rows": [
        ("Conv", ["x", "w"], ["a"], {"pads": [1, 1, 1, 1]}),
        ("Conv", ["a", "p"], ["c"], {}),
        ("MaxPool", ["c"], ["y"], {"kernel_shape": [2, 2]}),
    ],
    "parts": [
        ("Split", ["x"], ["a", "c", "d"], {"axis": 1, "num_outputs": 3}),
        ("Relu", ["a"], ["e"], {}),
        ("Concat", ["d", "e", "c", "a"], ["y"], {"axis": 1}),
    ],
    "part of a net": [
        ("Relu", ["x"], ["r"], {}),
        ("Split", ["r"], ["a", "c", "d"], {"axis": 1, "num_outputs": 3}),
        ("Conv", ["c", "one"], ["e"], {}),
        ("Conv", ["d", "one"], ["f"], {}),
        ("Add", ["e", "f"], ["y"], {}),
    ],
    "views with two readers": [
        ("Relu", ["x"], ["r"], {}),
        ("Flatten", ["r"], ["f"], {}),
        ("Tanh", ["f"], ["t"], {}),
        ("Add", ["t", "f"], ["y"], {}),
    ],
    "committee": [
        ("Flatten", ["x"], ["flat"], {}),
        ("Softmax", ["flat"], ["a"], {}),
        ("Sigmoid", ["flat"], ["c"], {}),
        ("Unsqueeze", ["a", "first"], ["d"], {}),
        ("Unsqueeze", ["c", "first"], ["e"], {}),
        ("Concat", ["d", "e"], ["f"], {"axis": 0}),
        ("ReduceMean", ["f", "first"], ["g"], {"keepdims": 0}),
        ("Log", ["g"], ["y"], {}),
    ],
    "rounded": [("QuantizeLinear", ["x", "grain"], ["a"], {}), ("DequantizeLinear", ["a", "grain"], ["y"], {})],
    "product and sum": [
        ("Flatten", ["x"], ["f"], {}),
        ("MatMul", ["f", "dense"], ["z"], {}),
        ("Add", ["z", "terms"], ["y"], {}),
    ],
}
CONSTANTS = {
    "w": draw(3, 3, 3, 3), "p": draw(5, 3, 1, 1, seed=3), "one": draw(2, 1, 2, 2), "k": draw(3, 1, 1),
    "s": draw(3, seed=4), "b": draw(3, seed=5), "m": draw(3, seed=6), "v": draw(3, seed=7) ** 2 + 0.1,
    "dense": draw(189, 6), "terms": draw(6, seed=8), "grain": 0.02, "first": [0],
}  # fmt: skip


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("name", CHAINS)
def test_operators_together_answer_as_float64(name: str, tmp_path: Path) -> None:
    """Nothing is written over that somebody still reads, and what is put into weights stays right."""
    nodes = CHAINS[name]
    used = {word for _, reads, _, _ in nodes for word in reads}
    check_parity(write_file(tmp_path / "a.onnx", nodes, {k: v for k, v in CONSTANTS.items() if k in used}))


def test_every_reader_is_tested() -> None:
    """An operator that is taken has a file above."""
    files = [file["nodes"] for file in TAKEN.values()] + [*CHAINS.values()]
    assert {kind for nodes in files for kind, *_ in nodes} == set(READERS)


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "operator": (one("Erf"), "operator 'Erf' is not among"),
    "three axes": (
        {"nodes": [("Conv", ["x", "w"], ["y"], {})], "weights": {"w": draw(2, 3, 2, 2, 2)}, "shape": (3, 4, 4, 4)},
        "'Conv' is taken over images only",
    ),
    "dilated pool": (one("MaxPool", kernel_shape=[2, 2], dilations=[2, 2]), "'MaxPool' is not taken with dilations"),
    "counted ceil": (
        one("AveragePool", kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1, count_include_pad=1),
        "'AveragePool' is not taken with windows that leave",
    ),
    "mean over channels": (one("ReduceMean", "a", weights={"a": [1]}), "'ReduceMean' is taken over height and width"),
    "softmax of images": (one("Softmax"), "'Softmax' is taken over examples of one axis"),
    "softmax over the batch": (one("Softmax", axis=0, **FLAT), "'Softmax' is taken over examples of one axis"),
    "examples mixed": (one("Reshape", "s", weights={"s": [-1, 7]}), "'Reshape' makes a tensor whose first axis"),
    "reflected": (
        one("Pad", "p", weights={"p": [0, 0, 1, 1, 0, 0, 1, 1]}, mode="reflect"),
        "'Pad' is taken with constant",
    ),
    "cropped": (one("Pad", "p", weights={"p": [0, 0, -1, 0, 0, 0, 0, 0]}), "'Pad' is taken with constant"),
    "weights that are computed": (
        {"nodes": [("Flatten", ["x"], ["f"], {}), ("Gemm", ["f", "f"], ["y"], {"transB": 1})]},
        "'Gemm' is taken with a constant as input 1 only",
    ),
    "from a constant": (
        one("Sub", weights={"c": 1.0}) | {"nodes": [("Sub", ["c", "x"], ["y"], {})]},
        "'Sub' is not taken",
    ),
    "larger": (one("Add", "c", weights={"c": draw(4, 3, 9, 7)}), "'Add' is taken with a constant of the shape"),
    "weight": (one("Mul", "c", weights={"c": np.array([[[np.nan]]] * 3)}), "a weight is not finite"),
    "stack": (
        {
            "nodes": [
                ("Unsqueeze", ["x", "a"], ["s"], {}),
                ("Relu", ["s"], ["r"], {}),
                ("ReduceMean", ["r", "a"], ["y"], {"keepdims": 0}),
            ],
            "weights": {"a": [0]},
        },
        "'Relu' is taken with the examples along the first axis only",
    ),
    "parts of rows": (one("Split", num_outputs=1, axis=2), "'Split' is taken along the channels only"),
    "rows together": (one("Concat", "x", axis=2), "'Concat' is taken along the channels only"),
    "free sizes": (one("Relu", shape=("h", 4)), "leaves sizes of its input free"),
    "indices": (
        {"nodes": [("MaxPool", ["x"], ["a", "i"], {"kernel_shape": [2, 2]}), ("Cast", ["i"], ["y"], {"to": 1})]},
        "operator 'Cast' is not among",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_taken_is_refused_by_name(name: str, tmp_path: Path) -> None:
    """The error names the operator and says what to do."""
    file, words = REFUSED[name]
    path = write_file(tmp_path / "a.onnx", **file)
    with pytest.raises(DataError, match=re.escape(words)) as caught:
        read_net(path)
    assert str(path) in caught.value.cause
    assert caught.value.remedy


def test_sizes_are_bounded(tmp_path: Path) -> None:
    """Too many weights, tensors or operators: an error before anything is written."""
    with pytest.raises(DataError, match="1049600 weights, more than 1048576"):
        read_net(write_file(tmp_path / "a.onnx", **one("MatMul", "w", weights={"w": draw(1024, 1025)}, shape=(1024,))))
    wide = [("Pad", ["x", "p"], ["y"], {})]
    with pytest.raises(DataError, match="hold more than 4194304 numbers"):
        read_net(write_file(tmp_path / "b.onnx", wide, {"p": [0, 0, 2048, 2048, 0, 0, 0, 0]}, shape=(1, 4, 4)))
    many: list[Node] = [("Relu", [f"t{i}" if i else "x"], [f"t{i + 1}"], {}) for i in range(1000)]
    with pytest.raises(DataError, match="1001 operators, more than 1000"):
        read_net(write_file(tmp_path / "c.onnx", [*many, ("Relu", ["t1000"], ["y"], {})]))


def test_convolutions_are_summed_by_what_is_many(tmp_path: Path) -> None:
    """Many channels at few positions are summed along the channels, few channels of an image along its rows."""
    texts = [
        format_source(read_net(write_file(tmp_path / "a.onnx", **conv(n, 3, (3, 3), strides=[stride] * 2)))[0])
        for n, stride in ((64, 4), (4, 1))
    ]
    assert ["conv_points(padded1" in text for text in texts] == [True, False]
    assert ["conv(padded1" in text for text in texts] == [False, True]


HOSTILE = 'a"; */ int main(void){system("touch hacked");} /* \\\n#include "/etc/passwd"\n%s'


@pytest.mark.usefixtures("quick")
def test_names_in_the_file_do_not_reach_the_source(tmp_path: Path) -> None:
    """Quotes, ends of comments and lines of the preprocessor in every name: the source has none of them, and works."""
    nodes = [("Conv", ["x", HOSTILE, HOSTILE + "b"], ["a"], {}), ("Relu", ["a"], ["y"], {"name": HOSTILE})]
    path = write_file(tmp_path / "it's \"; a.onnx", nodes, {HOSTILE: draw(3, 3, 3, 3), HOSTILE + "b": draw(3)})
    source = format_source(read_net(path)[0])
    assert "system(" not in source
    assert source.count("#include") == 2
    names = re.findall(r"static const \w+ (.+?)\[", source)
    assert names
    assert all(re.fullmatch(r"[a-z][a-z0-9_]{0,50}", name) for name in names)
    check_parity(path)
    nodes = [("Softmax\n*/", ["x"], ["y"], {})]
    with pytest.raises(DataError):
        read_net(write_file(tmp_path / "b.onnx", nodes))


@pytest.mark.usefixtures("quick")
def test_names_that_c_keeps_for_itself(tmp_path: Path) -> None:
    """Weights called int, 1, conv or all alike get names of their own."""
    nodes = [
        ("Mul", ["x", "int"], ["a"], {}),
        ("Add", ["a", "1"], ["c"], {}),
        ("Add", ["c", "add.1"], ["d"], {}),
        ("Add", ["d", "add/1"], ["e"], {}),
        ("Add", ["e", "äöü"], ["y"], {}),
    ]
    check_parity(
        write_file(tmp_path / "a.onnx", nodes, {w: draw(3, 1, 1) for w in ("int", "1", "add.1", "add/1", "äöü")})
    )


def test_source_without_vectors_answers_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fallback, with the vectors switched off: the same within the rounding of float32."""
    net, _ = read_net(export("cnn-4", tmp_path / "a.onnx"))
    inputs = draw(3, *INPUT)
    wanted = run_net(load_library(net), net, inputs)
    monkeypatch.setattr(compiler, "FLAGS", (*compiler.FLAGS, "-DNET_PLAIN"))
    found = run_net(load_library(net), net, inputs)
    assert not np.array_equal(found, wanted)  # else the vectors were not switched off
    assert np.abs(found - wanted).max() < 1e-6 * np.abs(wanted).max()


def test_threads_do_not_disturb_each_other(tmp_path: Path) -> None:
    """Two threads in the same function at once, each with its own memory, answer as one does."""
    net, _ = read_net(export("cnn-4", tmp_path / "a.onnx"))
    library, inputs = load_library(net), draw(400, *INPUT)
    wanted = run_net(library, net, inputs)
    found: list[list[np.ndarray]] = [[], []]

    def work(mine: list[np.ndarray], order: int) -> None:
        mine += [run_net(library, net, inputs[::order])[::order] for _ in range(30)]

    threads = [threading.Thread(target=work, args=(found[i], (1, -1)[i])) for i in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [len(mine) for mine in found] == [30, 30]
    assert all(np.array_equal(made, wanted) for mine in found for made in mine)


@pytest.mark.usefixtures("quick")
def test_scratch_may_hold_anything(tmp_path: Path) -> None:
    """What an earlier call left in the memory, NaN included, reaches no answer."""
    net, _ = read_net(export("lecun-1989", tmp_path / "a.onnx"))
    library, inputs = load_library(net), draw(2, *INPUT)
    wanted = run_net(library, net, inputs)
    outputs, scratch = np.zeros((2, 10), np.float32), np.full(library.n_scratch, np.nan, np.float32)
    library.function(2, *(a.ctypes.data_as(compiler_pointer()) for a in (inputs, outputs, scratch)))
    assert np.array_equal(outputs, wanted)


def compiler_pointer() -> Any:
    import ctypes

    return ctypes.c_void_p


@pytest.mark.usefixtures("quick")
def test_backend_refuses_other_shapes_and_threads(tmp_path: Path) -> None:
    """Inputs of another shape never reach the C function, which would read beyond them."""
    path = export("cnn-4", tmp_path / "a.onnx")
    runner = BACKENDS["c"].load(path)
    with pytest.raises(DataError, match="takes inputs of batchx1x16x16, not 2x1x16x15"):
        runner.prepare(draw(2, 1, 16, 15))
    with pytest.raises(UnavailableError, match="one thread, not on 2"):
        BACKENDS["c"].load(path, n_threads=2)
    fixed = BACKENDS["c"].load(write_file(tmp_path / "b.onnx", **TAKEN["batch of three"]))
    assert fixed.run(draw(7, 3, 9, 7)).shape == (7, 5, 7, 5)
    with pytest.raises(UsageError, match="batches of 3 only"):
        fixed.prepare(draw(4, 3, 9, 7))


def test_missing_compiler_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A CC that does not exist, that fails, or none at all: a reason, a remedy, and no row elsewhere."""
    path = write_file(tmp_path / "a.onnx", **TAKEN["matmul"])
    monkeypatch.setenv("CC", "/nowhere/cc --fast")
    with pytest.raises(UnavailableError, match=r"no C compiler \(/nowhere/cc --fast does not run\)"):
        BACKENDS["c"].load(path)
    assert BACKENDS["c"].describe_state().startswith("not available: no C compiler")
    monkeypatch.delenv("CC")
    monkeypatch.setenv("PATH", str(tmp_path))
    if not compiler.is_installed("ziglang"):
        with pytest.raises(UnavailableError, match="cc or gcc or clang does not run"):
            BACKENDS["c"].load(path)


def test_compiler_that_fails_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The compiler's own first error, not a traceback."""
    net, _ = read_net(write_file(tmp_path / "a.onnx", **TAKEN["matmul"]))
    monkeypatch.setattr(compiler, "FLAGS", ("-std=c99", "-include", "nowhere.h"))
    with pytest.raises(UnavailableError, match=r"the C compiler fails: .*nowhere\.h"):
        load_library(net)


def test_aligned_memory_begins_at_a_cache_line() -> None:
    assert all(make_aligned(n).ctypes.data % 64 == 0 and len(make_aligned(n)) == n for n in (1, 7, 1000))


@pytest.mark.usefixtures("quick")
def test_weights_in_another_file(tmp_path: Path) -> None:
    """They are read like those inside."""
    path = write_file(tmp_path / "a.onnx", **TAKEN["matmul"])
    onnx.save(onnx.load(path), tmp_path / "b.onnx", save_as_external_data=True, size_threshold=0, location="b.bin")
    check_parity(tmp_path / "b.onnx")
