"""Images for microcontrollers: built, counted and run on simulated cores, where the extra mcu is installed."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import dlmi_bench
from dlmi_bench.cli.answers import FirmwareAnswer
from dlmi_bench.cli.main import app
from dlmi_bench.errors import DataError, MeasurementError, UnavailableError, UsageError
from dlmi_bench.extras import is_installed
from dlmi_bench.firmware import image
from dlmi_bench.firmware.image import PACKAGES, build_image
from dlmi_bench.firmware.machine_code import count_block
from dlmi_bench.firmware.reference import compute_scores
from dlmi_bench.firmware.session import Examples, Limits, make_firmware
from dlmi_bench.firmware.simulator import simulate
from dlmi_bench.firmware.targets import TARGETS
from firmware_nets import FLAT, chain, make_net, write_net
from native_files import draw, write_file

needs_tools = pytest.mark.skipif(not all(map(is_installed, PACKAGES)), reason="the extra mcu is not installed")
SMALL = TARGETS["cortex-m0plus"]


@needs_tools
@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("target", TARGETS)
def test_image_answers_as_the_reference(target: str, bits: int, tmp_path: Path) -> None:
    """To the last bit; and what is counted is what the core did: no deeper stack, every function called."""
    net = make_net("separable", tmp_path, bits)
    codes = np.random.default_rng(1).integers(-128, 128, (7, net.n_inputs)).astype(np.int8)
    built = build_image(net, TARGETS[target], tmp_path)
    seen, reference = simulate(built, codes, net.n_classes), compute_scores(net, codes)
    assert seen.scores.tolist() == reference.tolist()
    assert seen.classes.tolist() == reference.argmax(1).tolist()
    assert seen.boots
    assert built.sizes.stack_bytes // 2 < seen.stack_bytes <= built.sizes.stack_bytes
    assert seen.instructions.keys() == {"multiply", "net_run"}
    assert net.macs < seen.n_instructions < 200 * net.macs


@needs_tools
def test_sizes_are_those_of_the_file(tmp_path: Path) -> None:
    """By hand: 4 vectors; two maps of 2 x 9 x 7 or less; 5 scores; weights and biases are constants."""
    net = make_net("separable", tmp_path)
    built = build_image(net, SMALL, tmp_path)
    n_biases = sum(len(layer.bias) for layer in net.layers)
    assert built.sizes.vectors_bytes == 16
    assert built.sizes.static_bytes == 126 + 126 + 4 * 5
    assert built.sizes.constants_bytes >= net.n_weights + n_biases
    assert built.sizes.flash_bytes == len(built.content)
    assert built.sizes.ram_bytes == built.sizes.static_bytes + built.sizes.stack_bytes


@needs_tools
def test_net_that_is_too_large_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"bytes of flash; STM32L011, for cortex-m0plus, has 100"):
        build_image(make_net("dense", tmp_path), replace(SMALL, flash_bytes=100), tmp_path)


@needs_tools
def test_image_that_does_not_run_is_no_result(tmp_path: Path) -> None:
    """Its first instruction is none that the core has."""
    net = make_net("dense", tmp_path)
    built = build_image(net, SMALL, tmp_path)
    begin = built.symbols["net_run"] - SMALL.flash_origin
    broken = built.content[:begin] + b"\x00\xde" + built.content[begin + 2 :]
    with pytest.raises(MeasurementError, match="simulator fails"):
        simulate(replace(built, content=broken), np.zeros((1, net.n_inputs), np.int8), net.n_classes)


@needs_tools
def test_image_that_writes_behind_its_ram_is_no_result(tmp_path: Path) -> None:
    """Its stack begins a KiB behind the RAM of a chip of 1 KiB."""
    net = make_net("dense", tmp_path)
    built = build_image(net, SMALL, tmp_path)
    smaller = replace(built, target=replace(SMALL, ram_bytes=1024))
    with pytest.raises(MeasurementError, match="writes behind the RAM"):
        simulate(smaller, np.zeros((1, net.n_inputs), np.int8), net.n_classes)


@needs_tools
def test_processes_share_the_examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One process and two find the same: answers in their order, instructions of the same five examples."""
    net = make_net("separable", tmp_path)
    built = build_image(net, SMALL, tmp_path)
    codes = np.random.default_rng(1).integers(-128, 128, (201, net.n_inputs)).astype(np.int8)
    monkeypatch.setattr("dlmi_bench.firmware.simulator.list_cpus", lambda: [0])
    alone = simulate(built, codes, net.n_classes)
    monkeypatch.setattr("dlmi_bench.firmware.simulator.list_cpus", lambda: [0, 1, 2])
    shared = simulate(built, codes, net.n_classes)
    assert len(alone.instructions) == 2
    for part in ("scores", "classes", "boots", "stack_bytes", "instructions"):
        assert np.array_equal(getattr(alone, part), getattr(shared, part)), part


@needs_tools
def test_limits_and_wrong_answers_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reference that differs in one score of one image fails the image."""
    path = write_net("pooled", tmp_path)
    images, labels = draw(6, 2, 9, 7), np.zeros(6, np.int64)
    examples = Examples(images, images, labels)
    fine = make_firmware(path, "net", examples, [SMALL], limits=Limits(16384, 2048), folder=tmp_path / "to")
    assert not fine.has_failed
    assert fine.images[0].n_equal == 6
    assert {p.name for p in (tmp_path / "to" / SMALL.name).iterdir()} == {
        *("net.c", "start.c", "image.ld", "image.elf", "image.bin", "README.md")
    }

    def compute_wrong(*words: object) -> np.ndarray:
        scores = compute_scores(*words)
        scores[2, 1] += 1
        return scores

    monkeypatch.setattr("dlmi_bench.firmware.session.compute_scores", compute_wrong)
    found = make_firmware(path, "net", examples, [SMALL], limits=Limits(300, 100))
    said = " ".join(found.images[0].shortfalls)
    assert found.has_failed
    assert "more than the limit of 300" in said
    assert "bytes of RAM" in said
    assert "1 of 6 answers differ" in said


@needs_tools
def test_simulator_stays_in_its_own_process(tmp_path: Path) -> None:
    """Unicorn is under the GPL: no process but its own loads it."""
    program = f"""
import sys
import numpy as np
from pathlib import Path
from dlmi_bench.firmware.session import Examples, make_firmware
from dlmi_bench.firmware.targets import TARGETS
images = np.random.default_rng(0).standard_normal((3, 2, 9, 7)).astype("f4")
made = make_firmware(Path({str(write_net("dense", tmp_path))!r}), "net", Examples(images, images, np.zeros(3, int)),
                     [TARGETS["rv32imc"]])
assert made.images[0].n_equal == 3
assert "unicorn" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_missing_tools_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image, "is_installed", lambda name: name != "elftools")
    images = draw(3, 2, 9, 7)
    with pytest.raises(UnavailableError, match=r"package pyelftools\n  remedy: pip install 'dlmi-bench\[mcu\]'"):
        make_firmware(write_net("dense", tmp_path), "net", Examples(images, images, np.zeros(3, int)), [SMALL])


def test_instructions_of_both_lengths_are_counted() -> None:
    """Thumb: nop; bl of four bytes; nop. RISC-V: c.nop; addi of four bytes."""
    assert count_block(bytes.fromhex("00bf00f000f800bf"), is_arm=True) == 3
    assert count_block(bytes.fromhex("010013000000"), is_arm=False) == 2


def test_wrong_words_are_answered(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no target 'cortex-m0'"):
        dlmi_bench.build_firmware("net.onnx", ["cortex-m0"])
    with pytest.raises(UsageError, match="3 bits"):
        dlmi_bench.build_firmware("net.onnx", bits=3)


@needs_tools
def test_command_ends_with_10_beyond_a_limit(tmp_path: Path) -> None:
    """A linear net of the digits is larger than 1 KiB; what is printed as JSON is what the schema says."""
    weights = {"w": draw(256, 10) / 16}
    path = write_file(tmp_path / "net.onnx", chain(FLAT, ("MatMul", ["w"], {})), weights, shape=(1, 16, 16))
    words = ["firmware", str(path), "--target", "cortex-m0plus", "--limit-flash", "1024"]
    found = CliRunner().invoke(app, [*words, "--json"])
    assert found.exit_code == 10
    answer = FirmwareAnswer.model_validate_json(found.stdout)
    assert answer.nets[0].images[0].n_equal == answer.nets[0].float_accuracy.n == 2007
    assert "more than the limit of 1024" in answer.nets[0].images[0].shortfalls[0]
