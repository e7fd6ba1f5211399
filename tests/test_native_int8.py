"""Files of 8-bit integers in C: a reference in whole numbers bit for bit, and ONNX Runtime within a step."""

import platform
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from dlmi_bench.backends import BACKENDS
from dlmi_bench.errors import DataError
from dlmi_bench.native import compiler
from dlmi_bench.native.library import load_library, run_net
from dlmi_bench.native.reading.builder import Steps
from dlmi_bench.native.reading.file import read_net
from dlmi_bench.native.reading.integers import find_inverse
from dlmi_bench.native.timing.shared import find_obstacle
from dlmi_bench.native.writing.project import write_project
from native_files import Node, check_parity, draw, write_file

pytestmark = pytest.mark.skipif(bool(compiler.find_missing_compiler()), reason="no C compiler")
STRICT = ("-std=c99", "-O1", "-march=native", "-ffp-contract=fast", "-Wall", "-Wextra", "-Werror", "-pedantic")
Whole = NDArray[np.int64]


@pytest.fixture(autouse=True)
def quick(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiles quickly and without a warning, and finds nothing compiled that another run left."""
    monkeypatch.setattr(compiler, "FLAGS", STRICT)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


class Chain:
    """Layers between QuantizeLinear and DequantizeLinear: the file, and its answers in whole numbers.

    The answers share no code with the kernels: sums are numpy's, of 64 bits.
    """

    def __init__(self, inputs: NDArray[np.float32]) -> None:
        self.nodes: list[Node] = []
        self.weights: dict[str, Any] = {}
        self.name, self.inputs = "x", inputs
        self.whole: Whole = np.zeros(0, np.int64)  # less the zero point
        self.scale = np.float32(0)
        self.seed = 0

    def add(self, kind: str, *more: str, **attributes: Any) -> None:
        made = f"t{len(self.nodes)}"
        self.nodes.append((kind, [self.name, *more], [made], attributes))
        self.name = made

    def quantise(self, scale: float, zero: int, kind: Any = np.uint8) -> tuple[np.float32, int, int]:
        """Nodes of one scale and zero point; returns the scale and the bounds, less the zero point."""
        s, z = f"s{len(self.nodes)}", f"z{len(self.nodes)}"
        self.weights |= {s: np.float32(scale), z: np.array(zero, kind)}
        self.add("QuantizeLinear", s, z)
        self.add("DequantizeLinear", s, z)
        return np.float32(scale), np.iinfo(kind).min - zero, np.iinfo(kind).max - zero

    def begin(self, scale: float, zero: int) -> None:
        self.scale, low, high = self.quantise(scale, zero)
        with np.errstate(over="ignore"):
            self.whole = np.clip(np.rint(self.inputs / self.scale), low, high).astype(np.int64)

    def sum(
        self,
        kind: str,
        shape: tuple[int, ...],
        compute: Any,
        to: tuple[Any, ...],
        *,
        axis: int | None = 0,
        bias: bool = True,
        **attributes: Any,
    ) -> None:
        """A layer of random weights, its scales along an axis, or one; requantised."""
        random, n = np.random.default_rng(self.seed), len(self.nodes)
        self.seed += 1
        n_out = shape[axis or 0] if kind != "MatMul" else shape[1]
        weights = random.integers(-127, 128, shape).astype(np.int8)
        scales = (0.001 + 0.01 * random.random(n_out if axis is not None else ())).astype(np.float32)
        self.weights |= {f"w{n}": weights, f"ws{n}": scales, f"wz{n}": np.zeros(scales.shape, np.int8)}
        way = {"axis": axis} if axis is not None else {}
        self.nodes.insert(0, ("DequantizeLinear", [f"w{n}", f"ws{n}", f"wz{n}"], [f"wd{n}"], way))
        terms = np.zeros(n_out, np.int64)
        names = [f"wd{n}"]
        if bias:
            terms = random.integers(-9999, 9999, n_out)
            product = (np.float32(self.scale) * scales).astype(np.float32)
            self.weights |= {f"b{n}": terms.astype(np.int32), f"bs{n}": np.broadcast_to(product, n_out).copy()}
            self.nodes.insert(0, ("DequantizeLinear", [f"b{n}", f"bs{n}"], [f"bd{n}"], {"axis": 0}))
            names.append(f"bd{n}")
        self.add(kind, *names, **attributes)
        sums = compute(self.whole, weights.astype(np.int64))
        ones = (1,) * (sums.ndim - 2)
        sums = sums + terms.reshape(1, -1, *ones)
        scale, low, high = self.quantise(*to)
        factors = np.broadcast_to(np.float64(self.scale) * scales.astype(np.float64) / np.float64(scale), n_out)
        products = sums.astype(np.float32) * factors.astype(np.float32).reshape(1, -1, *ones)
        assert products.dtype == np.float32
        self.scale, self.whole = scale, np.clip(np.rint(products), low, high).astype(np.int64)

    def write(self, path: Path, shape: tuple[int, ...]) -> Path:
        kind, reads, _, attributes = self.nodes[-1]
        self.nodes[-1] = (kind, reads, ["y"], attributes)
        return write_file(path, self.nodes, self.weights, shape=shape)

    @property
    def answers(self) -> NDArray[np.float32]:
        return self.whole.astype(np.float32) * self.scale


def convolve(x: Whole, w: Whole, stride: int = 1, *, pad: int = 0, groups: int = 1) -> Whole:
    """Sums of a convolution, a window at a time."""
    x = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    n_out, n_in, kh, kw = w.shape
    height, width = ((x.shape[i + 2] - k) // stride + 1 for i, k in enumerate((kh, kw)))
    y = np.zeros((len(x), n_out, height, width), np.int64)
    for o in range(n_out):
        first = o // (n_out // groups) * n_in
        for i in range(height):
            for j in range(width):
                window = x[:, first : first + n_in, i * stride : i * stride + kh, j * stride : j * stride + kw]
                y[:, o, i, j] = (window * w[o]).sum((1, 2, 3))
    return y


INPUT = (3, 11, 9)


def make_chain() -> Chain:
    """Every kind of layer that is summed in whole numbers, signed and unsigned, and what stands between them."""
    chain = Chain(draw(6, *INPUT))
    chain.begin(0.011, 117)
    chain.sum("Conv", (10, 3, 3, 3), lambda x, w: convolve(x, w, pad=1), (0.05, 90), pads=[1, 1, 1, 1])
    chain.add("MaxPool", kernel_shape=[2, 2])
    chain.whole = np.lib.stride_tricks.sliding_window_view(chain.whole, (2, 2), (2, 3)).max((-2, -1))
    chain.quantise(0.05, 90)
    depth = {"strides": [2, 2], "group": 10, "bias": False}
    chain.sum("Conv", (10, 1, 3, 3), lambda x, w: convolve(x, w, 2, groups=10), (0.08, -9, np.int8), **depth)
    chain.add("Relu")
    chain.whole = np.maximum(chain.whole, 0)
    chain.quantise(0.08, -9, np.int8)
    chain.sum("Conv", (40, 10, 2, 2), lambda x, w: convolve(x, w, 2), (0.15, 100), strides=[2, 2], axis=None)
    chain.add("Flatten")
    chain.whole = chain.whole.reshape(6, -1)
    chain.quantise(0.15, 100)
    chain.sum("Gemm", (19, 80), lambda x, w: x @ w.T, (0.7, 0), transB=1)
    chain.sum("Gemm", (19, 37), lambda x, w: x @ w, (2.5, -20, np.int8), axis=1)
    chain.sum("MatMul", (37, 21), lambda x, w: x @ w, (0.9, 128), axis=None, bias=False)
    return chain


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> tuple[Chain, Path]:
    made = make_chain()
    return made, made.write(tmp_path_factory.mktemp("int8") / "a.onnx", INPUT)


# The last two are vectors of eight numbers, and of four, where a product and a sum are rounded one by one.
WAYS = {"own": (), "plain": ("-DNET_PLAIN",), "no products": ("-U__AVX512VNNI__",)}
WAYS |= {"eight": ("-mno-avx512f",), "four": ("-mno-avx",)} if platform.machine() == "x86_64" else {}


@pytest.mark.parametrize("flags", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("is_packed", [False, True])
def test_answers_are_those_of_whole_numbers(
    flags: tuple[str, ...], is_packed: bool, chain: tuple[Chain, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bit for bit with vectors, without, and without the processor's own products of bytes; rounded and saturated."""
    made, path = chain
    monkeypatch.setattr(compiler, "FLAGS", (*STRICT, *flags))
    net, _ = read_net(path, is_packed=is_packed)
    found = run_net(load_library(net), net, made.inputs)
    assert np.array_equal(found, made.answers)
    assert len(np.unique(made.whole)) > 40
    assert 0 < (np.abs(made.whole - 0.5) > 127).mean() < 0.5


def draw_near_halves(scale: float, zero: int, n: int) -> NDArray[np.float32]:
    """Numbers around every half of a step, and those beyond the bounds, to infinity; rows of n."""
    halves = ((np.arange(256) - zero + 0.5) * np.float64(scale)).astype(np.float32)
    near = [np.nextafter(halves, np.float32(side)) for side in (-np.inf, np.inf)]
    far = np.float32([1e9, -1e9, 3e38, -3e38, np.inf, -np.inf, 1e-40, -0.0])
    numbers = np.concatenate([halves, *near, 1.5 * halves, far])
    return np.random.default_rng(1).permutation(numbers)[: len(numbers) // n * n].reshape(-1, n)


@pytest.mark.parametrize("flags", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize(("scale", "zero"), [(0.0171, 117), (0.5, 0), (2.9e-7, 255)])
def test_bytes_are_those_of_a_quotient(
    flags: tuple[str, ...], scale: float, zero: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The input's bytes are those of x / scale, though nothing is divided; sizes are multiples of nothing."""
    chain = Chain(draw_near_halves(scale, zero, 150))
    chain.begin(scale, zero)
    chain.sum("Gemm", (37, 150), lambda x, w: x @ w.T, (5 * scale, 90), transB=1)
    chain.sum("Gemm", (21, 37), lambda x, w: x @ w.T, (8 * scale, -20, np.int8), transB=1)
    monkeypatch.setattr(compiler, "FLAGS", (*STRICT, *flags))
    net, _ = read_net(chain.write(tmp_path / "a.onnx", (150,)))
    assert net.calls[0].kernel == "quantise_bytes"
    assert np.array_equal(run_net(load_library(net), net, chain.inputs), chain.answers)
    assert len(np.unique(chain.whole)) > 40


def test_two_numbers_stand_for_a_quotient() -> None:
    """One rounding of x times both is to the whole number that x / scale is to: a million numbers, exact in float64."""
    random = np.random.default_rng(0)
    x = (random.standard_normal(20_000) * np.exp(random.uniform(-9, 9, 20_000))).astype(np.float32)
    for scale in np.exp(random.uniform(-20, 20, 50)).astype(np.float32):
        inverse, rest = find_inverse(Steps(scale, -128, 127)) or (np.float32(0), np.float32(0))
        numbers = x * scale
        exact = numbers.astype(np.float64) * np.float64(inverse) + (numbers * rest).astype(np.float64)
        once = exact.astype(np.float32)
        assert np.array_equal(np.clip(np.rint(once), -128, 127), np.clip(np.rint(numbers / scale), -128, 127))
    assert find_inverse(Steps(np.float32(1e-39), -128, 127)) is None
    assert find_inverse(Steps(np.float32(3e38), -128, 127)) is None


def test_sums_of_convolutions_are_of_both_ways(chain: tuple[Chain, Path]) -> None:
    """The chain above has what it is to test, and its weights take a byte each where they are packed."""
    net, _ = read_net(chain[1], is_packed=True)
    kernels = [call.kernel for call in net.calls]
    assert (kernels.count("conv"), kernels.count("conv_points")) == (2, 1)
    assert kernels.count("dense_bytes") == 3
    assert kernels.count("quantise") == 1  # of the input: all others are sums, or were whole numbers
    assert [kernels.count(f"requantise{what}") for what in ("", "_bytes", "_each")] == [3, 2, 1]
    assert kernels.count("pack_bytes") == 1  # behind the last convolution: all others are made as bytes
    assert {array.values.dtype.name for array in net.arrays if array.name.endswith("weight")} == {"int8"}
    assert net.precision == "int8"


def test_onnx_runtime_answers_within_a_step(chain: tuple[Chain, Path]) -> None:
    """And as these do, nearly always."""
    made, path = chain
    (found,) = onnxruntime.InferenceSession(path).run(None, {"x": made.inputs})
    steps = np.rint(np.abs(found - made.answers) / made.scale)
    assert steps.max() <= 1
    assert (steps == 0).mean() > 0.9


def test_halves_go_to_the_even_number(tmp_path: Path) -> None:
    """Numbers between two steps, those out of bounds, and what is no step: by hand."""
    chain = Chain(np.array([[-1.25, -0.75, -0.25, 0.25, 0.75, 1.25, 63.25, 1e9, -1e9, 0.6]], np.float32))
    chain.quantise(0.5, 1, np.int8)
    net, _ = read_net(chain.write(tmp_path / "a.onnx", (10,)))
    wanted = [[-1, -1, 0, 0, 1, 1, 63, 63, -64.5, 0.5]]
    assert run_net(load_library(net), net, chain.inputs).tolist() == wanted


def test_other_operators_compute_in_float32(tmp_path: Path) -> None:
    """Means, sums of two tensors, leaky and weights alone in 8 bits: as float64 answers, some after whole numbers."""
    pair = {"s": 0.02, "z": np.array(120, np.uint8)}
    nodes: list[Node] = [
        ("DequantizeLinear", ["w", "ws"], ["wd"], {"axis": 0}),
        ("Conv", ["x", "wd"], ["a"], {"pads": [1, 1, 1, 1]}),
        ("QuantizeLinear", ["a", "s", "z"], ["b"], {}),
        ("DequantizeLinear", ["b", "s", "z"], ["c"], {}),
        ("LeakyRelu", ["c"], ["d"], {}),
        ("Add", ["d", "c"], ["e"], {}),
        ("AveragePool", ["e"], ["f"], {"kernel_shape": [2, 2]}),
        ("QuantizeLinear", ["f", "s2", "z"], ["g"], {}),
        ("DequantizeLinear", ["g", "s2", "z"], ["y"], {}),
    ]
    weights = {"w": np.random.default_rng(1).integers(-9, 9, (3, 3, 3, 3)).astype(np.int8), "ws": np.abs(draw(3)) / 30}
    check_parity(write_file(tmp_path / "a.onnx", nodes, weights | pair | {"s2": 0.031}))


REFUSED: dict[str, tuple[list[Node], dict[str, Any], str]] = {
    "tiny scale": (
        [("QuantizeLinear", ["x", "s"], ["a"], {}), ("DequantizeLinear", ["a", "s"], ["y"], {})],
        {"s": 1e-39},
        "'QuantizeLinear' has a scale that is too small or too large for float32",
    ),
    "16 bits": (
        [("QuantizeLinear", ["x", "s", "z"], ["a"], {}), ("DequantizeLinear", ["a", "s", "z"], ["y"], {})],
        {"s": 0.1, "z": np.array(0, np.int16)},
        "'QuantizeLinear' is taken with one scale for a tensor of 8 bits only",
    ),
    "scales by channel": (
        [("QuantizeLinear", ["x", "s", "z"], ["a"], {}), ("DequantizeLinear", ["a", "s", "z"], ["y"], {})],
        {"s": np.full(3, 0.1), "z": np.zeros(3, np.uint8)},
        "'QuantizeLinear' is taken with one scale",
    ),
    "another zero point": (
        [("QuantizeLinear", ["x", "s", "z"], ["a"], {}), ("DequantizeLinear", ["a", "s", "z2"], ["y"], {})],
        {"s": 0.1, "z": np.array(0, np.uint8), "z2": np.array(1, np.uint8)},
        "'DequantizeLinear' is not taken with another zero point",
    ),
    "sums of 8 bits": (
        [
            ("QuantizeLinear", ["x", "s"], ["a"], {}),
            ("Add", ["a", "a"], ["b"], {}),
            ("DequantizeLinear", ["b", "s"], ["y"], {}),
        ],
        {"s": 0.1},
        "'Add' is taken behind DequantizeLinear only",
    ),
    "large sums": (
        [
            ("QuantizeLinear", ["x", "s"], ["a"], {}),
            ("DequantizeLinear", ["a", "s"], ["b"], {}),
            ("DequantizeLinear", ["w", "s"], ["c"], {}),
            ("Conv", ["b", "c"], ["y"], {}),
        ],
        {"s": 0.1, "w": np.full((2, 3, 14, 14), 127, np.int8)},
        "'Conv' has sums of whole numbers that may reach 16777216",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_taken_is_refused_by_name(name: str, tmp_path: Path) -> None:
    nodes, weights, words = REFUSED[name]
    with pytest.raises(DataError, match=words) as caught:
        read_net(write_file(tmp_path / "a.onnx", nodes, weights, shape=(3, 14, 14)))
    assert caught.value.remedy


def test_limit_of_bytes_is_that_of_reading_them(tmp_path: Path) -> None:
    """A parameter takes a byte, and products of bytes are no products in float32; six examples share nothing."""
    chain = Chain(draw(2, 48))
    chain.begin(0.05, 128)
    chain.sum("Gemm", (37, 48), lambda x, w: x @ w.T, (0.9, 90), transB=1)
    net, _ = read_net(chain.write(tmp_path / "a.onnx", (48,)))
    assert (net.macs, net.float_macs, net.parameter_bytes) == (37 * 48, 0, net.n_parameters)
    assert find_obstacle(net).startswith("layers of bytes share no weights")


def test_backend_and_folder_say_the_precision(chain: tuple[Chain, Path], tmp_path: Path) -> None:
    made, path = chain
    runner = BACKENDS["c"].load(path)
    assert runner.conditions["precision"] == "int8"
    assert np.array_equal(runner.run(made.inputs), made.answers)
    write_project(path, tmp_path)
    assert "| numbers that it computes with | int8 |" in (tmp_path / "README.md").read_text()
    assert "may differ by 1e-2 of the largest" in (tmp_path / "test.c").read_text()
