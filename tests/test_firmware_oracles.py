"""Images for microcontrollers before other judges: another compiler, another reader of ELF files, the cores of QEMU."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from dlmi_bench.extras import is_installed
from dlmi_bench.firmware.image import PACKAGES, Image, build_image
from dlmi_bench.firmware.integers import make_integers
from dlmi_bench.firmware.net import IntegerNet
from dlmi_bench.firmware.reading import read_layers
from dlmi_bench.firmware.reference import compute_scores
from dlmi_bench.firmware.simulator import simulate
from dlmi_bench.firmware.targets import TARGETS
from firmware_nets import make_net
from firmware_oracles import (
    BOARDS,
    GCC,
    QEMU_ARM,
    answer_in_qemu,
    build_with_gcc,
    count_in_qemu,
    find_missing,
    read_with_binutils,
)
from native_files import draw
from test_native import make_onnx

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not all(map(is_installed, PACKAGES)), reason="the extra mcu is not installed"),
]

ARM = [name for name, board in BOARDS.items() if board.program == QEMU_ARM]
MODELS = ("sepconv-6-9-10", "mlp-16-12")  # with random weights
N = 100


def needs(*programs: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(bool(missing := find_missing(*programs)), reason=missing)


boards = pytest.mark.parametrize("name", [pytest.param(name, marks=needs(BOARDS[name].program)) for name in BOARDS])
arm_boards = pytest.mark.parametrize("name", ARM)
both_bits = pytest.mark.parametrize("bits", [8, 4])


def make_model(model: str, bits: int, folder: Path) -> IntegerNet:
    (folder / "net.onnx").write_bytes(make_onnx(model))
    return make_integers(read_layers(folder / "net.onnx"), draw(50, 1, 16, 16), bits)


def draw_codes(net: IntegerNet) -> NDArray[np.int8]:
    """The smallest input, the largest, and random ones."""
    codes = np.random.default_rng(2).integers(-128, 128, (N, net.n_inputs)).astype(np.int8)
    codes[:2] = [[-128], [127]]
    return codes


def answer(net: IntegerNet, codes: NDArray[np.int8]) -> list[list[int]]:
    """Scores and class by the integer reference."""
    scores = compute_scores(net, codes)
    assert len(set(scores.argmax(1).tolist())) > 1
    return np.column_stack([scores, scores.argmax(1)]).tolist()


def answer_in_unicorn(image: Image, codes: NDArray[np.int8], n_classes: int) -> list[list[int]]:
    seen = simulate(image, codes, n_classes)
    assert seen.boots
    assert seen.stack_bytes <= image.sizes.stack_bytes
    return np.column_stack([seen.scores, seen.classes]).tolist()


@boards
@both_bits
@pytest.mark.parametrize("model", MODELS)
def test_image_answers_in_qemu_as_in_unicorn(model: str, bits: int, name: str, tmp_path: Path) -> None:
    """The image that the project builds; for the first two boards nothing of it is changed."""
    net, board = make_model(model, bits, tmp_path), BOARDS[name]
    image, codes = build_image(net, board.target, tmp_path), draw_codes(net)
    wanted = answer(net, codes)
    assert answer_in_unicorn(image, codes, net.n_classes) == wanted
    assert answer_in_qemu(board, image, codes, net.n_classes, tmp_path) == wanted


@needs(GCC, QEMU_ARM)
@arm_boards
@both_bits
@pytest.mark.parametrize("model", MODELS)
def test_image_of_gcc_answers_alike(model: str, bits: int, name: str, tmp_path: Path) -> None:
    """The same sources without a warning, on both simulators; flash differs by less than a half."""
    net, board = make_model(model, bits, tmp_path), BOARDS[name]
    image, codes = build_with_gcc(net, board.target, tmp_path), draw_codes(net)
    wanted = answer(net, codes)
    assert answer_in_unicorn(image, codes, net.n_classes) == wanted
    assert answer_in_qemu(board, image, codes, net.n_classes, tmp_path) == wanted
    flash_bytes = build_image(net, board.target, tmp_path).sizes.flash_bytes
    assert flash_bytes / 1.5 < image.sizes.flash_bytes < flash_bytes * 1.5


@boards
@pytest.mark.parametrize("small", ["separable", "two-dense"])
def test_qemu_counts_the_same_instructions(small: str, name: str, tmp_path: Path) -> None:
    """To the last one, by function: Unicorn adds up blocks, QEMU runs and writes down each instruction alone."""
    net, board = make_net(small, tmp_path), BOARDS[name]
    image = build_image(net, board.target, tmp_path)
    for row in draw_codes(net)[1:3]:
        wanted = simulate(image, row[None], net.n_classes).instructions
        assert count_in_qemu(board, image, row, tmp_path) == wanted


@needs(GCC, QEMU_ARM)
@arm_boards
def test_qemu_counts_the_same_instructions_of_gcc(name: str, tmp_path: Path) -> None:
    """Other code than clang's, with conditional instructions where the core has them."""
    net, board = make_net("separable", tmp_path), BOARDS[name]
    image, row = build_with_gcc(net, board.target, tmp_path), draw_codes(net)[2]
    wanted = simulate(image, row[None], net.n_classes).instructions
    assert count_in_qemu(board, image, row, tmp_path) == wanted


@needs(GCC)
@pytest.mark.parametrize("target", ["cortex-m0plus", "cortex-m4"])
def test_binutils_read_the_same_image(target: str, tmp_path: Path) -> None:
    """Bytes of the flash, sizes, addresses and functions; frames are stated by the compiler alone."""
    image = build_image(make_model(MODELS[0], 8, tmp_path), TARGETS[target], tmp_path)
    assert read_with_binutils(tmp_path, TARGETS[target], image.sizes.stack_bytes) == image
