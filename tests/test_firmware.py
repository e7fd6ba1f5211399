"""Nets for microcontrollers on this machine: reading, integers, the proof of their range, and the C file."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlmi_bench.errors import DataError
from dlmi_bench.firmware.integers import choose_exponent, make_integers, prove_range
from dlmi_bench.firmware.net import Layer
from dlmi_bench.firmware.reading import read_layers
from dlmi_bench.firmware.reference import compute_float_scores, compute_scores
from dlmi_bench.firmware.source import format_source, pack
from dlmi_bench.native import compiler
from dlmi_bench.native.reading.file import open_net
from dlmi_bench.native.reference import compute_reference
from firmware_nets import FLAT, NETS, POOL, SAME, chain, make_net, run_source, write_net
from native_files import Node, draw, write_file

EXTREME = np.array([[-128], [127]], np.int8)


@pytest.mark.parametrize("name", NETS)
def test_layers_answer_as_the_file(name: str, tmp_path: Path) -> None:
    """Read as a chain of layers, a file answers as onnx's evaluator says, in float64."""
    path, images = write_net(name, tmp_path), draw(4, 2, 9, 7)
    wanted = compute_reference(path, open_net(path)[1], images)
    assert np.abs(compute_float_scores(read_layers(path), images) - wanted).max() < 1e-6 * np.abs(wanted).max()


@pytest.mark.skipif(bool(compiler.find_missing_compiler()), reason="no C compiler")
@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("name", NETS)
def test_source_answers_as_the_reference_to_the_last_bit(name: str, bits: int, tmp_path: Path) -> None:
    """Also for inputs that no image has: the smallest, the largest, and random ones between."""
    net = make_net(name, tmp_path, bits)
    random = np.random.default_rng(1).integers(-128, 128, (20, net.n_inputs)).astype(np.int8)
    codes = np.concatenate([np.repeat(EXTREME, net.n_inputs, axis=1), random])
    scores = compute_scores(net, codes)
    assert np.ptp(scores) > 100
    assert [*run_source(net, tmp_path, codes)] == [(row.tolist(), row.argmax()) for row in scores]


@pytest.mark.parametrize("name", NETS)
def test_integers_are_near_the_floats(name: str, tmp_path: Path) -> None:
    """Scores in 8 bits are those in floats, times one factor, but for a twentieth of their spread."""
    net, images = make_net(name, tmp_path), draw(50, 2, 9, 7)
    floats = compute_float_scores(read_layers(tmp_path / "net.onnx"), images).reshape(-1)
    found = compute_scores(net, net.encode(images)).reshape(-1)
    factor = floats @ found / (found @ found)
    assert factor > 0
    assert np.sqrt(np.mean((factor * found - floats) ** 2)) < 0.05 * floats.std()


def refused(name: str) -> list[Node]:
    twice = [("Relu", ["x"], ["a"], {}), ("Add", ["x", "a"], ["b"], {}), ("Flatten", ["b"], ["y"], {})]
    return {
        "Tanh": chain(FLAT, ("Gemm", ["w"], {}), ("Tanh", [], {})),
        "AveragePool": chain(("AveragePool", [], POOL), FLAT),
        "Relu": twice,
        "MaxPool": chain(("Conv", ["k"], SAME), ("MaxPool", [], {**POOL, "strides": [1, 1]}), FLAT),
        "Conv": chain(("Conv", ["k"], {**SAME, "dilations": [2, 2]}), FLAT),
        "Sub": chain(("Sub", ["w"], {})),
        "LeakyRelu": chain(FLAT, ("Gemm", ["w"], {}), ("LeakyRelu", [], {"alpha": 1.5})),
    }[name]


@pytest.mark.parametrize("name", ["Tanh", "AveragePool", "Relu", "MaxPool", "Conv", "Sub", "LeakyRelu"])
def test_what_is_not_taken_is_refused_by_name(name: str, tmp_path: Path) -> None:
    weights: dict[str, Any] = {"w": draw(126, 3), "k": draw(2, 2, 3, 3)}
    if name == "Sub":
        weights["w"] = draw(1)
    path = write_file(tmp_path / "net.onnx", refused(name), weights, shape=(2, 9, 7))
    with pytest.raises(DataError, match=f"operator '{name}'"):
        read_layers(path)


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    weights = {"w": np.full((126, 3), np.nan)}
    path = write_file(tmp_path / "net.onnx", chain(FLAT, ("Gemm", ["w"], {})), weights, shape=(2, 9, 7))
    with pytest.raises(DataError, match="not finite"):
        read_layers(path)


def test_maps_are_no_scores(tmp_path: Path) -> None:
    path = write_file(tmp_path / "net.onnx", chain(("Conv", ["k"], SAME)), {"k": draw(2, 2, 3, 3)}, shape=(2, 9, 7))
    with pytest.raises(DataError, match="scores are maps"):
        read_layers(path)


def dense(weights: Any, bias: Any) -> Layer:
    rows = np.array(weights, np.float64)
    return Layer("Gemm w", rows[:, None, None], np.array(bias, np.float64), (1, 1, rows.shape[1]), (len(rows), 1, 1))


def prove(weights: list[list[int]], bias: list[int], multiplier: int = 1, slope: int = 128) -> tuple[int, int]:
    layer = dense(weights, bias)
    ones = np.full(len(bias), multiplier)
    return prove_range(layer, layer.weights.astype(np.int64), np.array(bias), ones, slope, (-128, 127))


def test_range_is_that_of_the_worst_input() -> None:
    """By hand: 3 * 127 + 2 * 128 + 7 above; -3 * 128 - 2 * 127 below, where a negative sum is multiplied by 128."""
    assert prove([[3, -2]], [7]) == (-(3 * 128 + 2 * 127) * 128, 3 * 127 + 2 * 128 + 7)
    assert prove([[3, -2]], [7], multiplier=10, slope=0) == (-(3 * 128 + 2 * 127) * 10, (3 * 127 + 2 * 128 + 7) * 10)


@given(
    st.lists(st.integers(-128, 127), min_size=4, max_size=4), st.lists(st.integers(-127, 127), min_size=4, max_size=4)
)
@settings(max_examples=50, deadline=None)
def test_no_input_leaves_the_range(x: list[int], weights: list[int]) -> None:
    """Every partial sum of every order lies within, the bias first or last."""
    low, high = prove([weights], [5], slope=0)
    products = sorted(a * b for a, b in zip(x, weights, strict=True))
    sums = [sum(part[:n]) for part in (products, products[::-1]) for n in range(5)]
    assert low <= min(sums)
    assert max(sums) + 5 <= high


def test_sums_beyond_32_bits_are_refused() -> None:
    """127 * 128 * 1032 * 128 is just within 2 ** 31; one input more is beyond."""
    assert prove([[127] * 1032], [0])[0] == -127 * 128 * 1032 * 128
    with pytest.raises(DataError, match=r"Gemm w: sums of its 1033 products can reach -2\.15e\+09"):
        prove([[127] * 1033], [0])


def test_weights_keep_the_grid_of_the_file() -> None:
    """Weights that a training has rounded to 4 bits are taken as they are, -0.0 too."""
    steps = np.random.default_rng(0).integers(-5, 6, (3, 10))
    steps[:, 0], steps[0, 1] = (
        5,
        0,
    )  # no weight is the largest that 4 bits hold: the range alone would not find the grid
    scales = np.array([0.013, 0.5, 2.7], np.float32)
    weights = scales[:, None] * steps.astype(np.float32)
    weights[0, 1] = -0.0
    net = make_integers((dense(weights, [0, 0, 0]),), draw(5, 10), 4)
    assert np.array_equal(net.layers[0].weights.reshape(3, 10), steps)


def test_exponent_is_the_one_of_the_least_error() -> None:
    assert choose_exponent(np.array([1.9, -1.9, 0.013]), 8) == 6  # 7 would cut 1.9 to 0.99
    assert choose_exponent(np.zeros(3), 8) == 0
    many = np.append(np.random.default_rng(0).standard_normal(10_000) / 300, 1.0)
    assert choose_exponent(many, 8) == 7  # one value is cut off for the sake of all others


def test_two_weights_share_a_byte() -> None:
    assert pack(np.array([-8, 7, -1])).tolist() == [0x78, 0x0F]


def test_what_layers_have_in_common_is_in_the_code(tmp_path: Path) -> None:
    """A net of dense layers has no padding to check, and no row or stride in its table."""
    source = format_source(make_net("two-dense", tmp_path))
    assert "unsigned" not in source
    assert "stride" not in source
    assert "(unsigned)i < l->height" in format_source(make_net("separable", tmp_path))


def test_images_of_another_task_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="images of"):
        make_integers(read_layers(write_net("dense", tmp_path)), draw(5, 1, 4, 4), 8)
