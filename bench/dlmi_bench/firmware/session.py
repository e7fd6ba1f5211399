"""The session: a net in integers, its image for each target, and every test image answered by the simulated core."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlmi_bench.errors import DataError
from dlmi_bench.firmware.image import Image, Sizes, build_image, check_tools
from dlmi_bench.firmware.integers import make_integers
from dlmi_bench.firmware.net import IntegerNet
from dlmi_bench.firmware.project import write_project
from dlmi_bench.firmware.reading import read_layers
from dlmi_bench.firmware.reference import compute_float_scores, compute_scores
from dlmi_bench.firmware.simulator import Simulation, simulate
from dlmi_bench.firmware.targets import Target
from dlmi_bench.instruments.accuracy import make_accuracy_figure
from dlmi_bench.records import Figure

MAX_MACS = 2e9  # of all test images: minutes on a simulated core


@dataclass(frozen=True)
class Examples:
    """What a net is judged by.

    Attributes:
        calibration: Images of the training split, (n, ...): scales are chosen on them.
        images, labels: Test split.
        groups: Whose the test images are, (n,), where that is known.
    """

    calibration: NDArray[np.float32]
    images: NDArray[np.float32]
    labels: NDArray[np.int64]
    groups: NDArray[Any] | None = None


@dataclass(frozen=True)
class Limits:
    """Bytes that an image may take; None where the chip is the limit."""

    flash_bytes: int | None = None
    ram_bytes: int | None = None


@dataclass(frozen=True)
class Firmware:
    """An image for one target: counted sizes, and what was seen in the simulator.

    Attributes:
        n_equal: Test images with the scores of the integer reference, to the last bit, and its class.
        instructions: Of an example, by function; mean of the first few.
        shortfalls: What does not hold: limits, equality, the worst case of the stack.
    """

    target: str
    chip: str
    sizes: Sizes
    simulated_stack_bytes: int
    instructions: dict[str, float]
    n_equal: int
    accuracy: Figure
    shortfalls: tuple[str, ...]
    took_s: float


@dataclass(frozen=True)
class FirmwareNet:
    """A net in integers and its images.

    Attributes:
        name: Of the model and its seed, or of the file.
        reach: Smallest and largest sum by layer, proved for any input.
        float_accuracy: Of the same layers in floats.
    """

    name: str
    bits: int
    n_weights: int
    macs: int
    n_calibration: int
    exponent: int
    reach: dict[str, tuple[int, int]]
    float_accuracy: Figure
    images: tuple[Firmware, ...]

    @property
    def has_failed(self) -> bool:
        return any(image.shortfalls for image in self.images)


def make_firmware(
    path: Path,
    name: str,
    examples: Examples,
    targets: Sequence[Target],
    *,
    bits: int = 8,
    limits: Limits = Limits(),
    folder: Path | None = None,
) -> FirmwareNet:
    """Make an ONNX file's images and run every test image on each.

    Args:
        bits: Of a weight, 8 or 4.
        folder: Gets a folder for each target, with its sources, its image and a README; None for none.

    Raises:
        DataError: the file is not for microcontrollers, or its net too large for a target.
        UnavailableError: compiler or simulator are not installed.
        MeasurementError: an image does not run.
    """
    check_tools()
    layers = read_layers(path)
    net = make_integers(layers, examples.calibration, bits)
    if (n := net.n_classes) <= examples.labels.max():
        raise DataError(f"{path}: {n} scores, and classes 0 to {examples.labels.max()}", "name its task with --task")
    if net.macs * len(examples.images) > MAX_MACS:
        cause = (
            f"{net.macs:.3g} multiply-accumulates for each of {len(examples.images)} images take too long to simulate"
        )
        raise DataError(cause, "use a smaller net, or fewer test images")
    codes = net.encode(examples.images)
    reference = compute_scores(net, codes)
    is_right = compute_float_scores(layers, examples.images).argmax(1) == examples.labels
    made = []
    for target in targets:
        begin = perf_counter()
        with TemporaryDirectory(prefix="dlmi-bench-") as scratch:
            image = build_image(net, target, Path(scratch))
        seen = simulate(image, codes, net.n_classes)
        found = _judge(net, image, seen, reference, examples, limits, perf_counter() - begin)
        if folder:
            write_project(net, image, found.accuracy, folder / target.name, name)
        made.append(found)
    return FirmwareNet(
        name=name,
        bits=bits,
        n_weights=net.n_weights,
        macs=net.macs,
        n_calibration=len(examples.calibration),
        exponent=net.exponent,
        reach={f"{i}: {step.layer.name}": step.reach for i, step in enumerate(net.layers, 1)},
        float_accuracy=_make_accuracy(is_right, examples, "the same layers in floats"),
        images=tuple(made),
    )


def _make_accuracy(is_right: NDArray[np.bool_], examples: Examples, source: str) -> Figure:
    return make_accuracy_figure("test_accuracy", is_right, source=source, conditions={}, groups=examples.groups)


def _judge(
    net: IntegerNet,
    image: Image,
    seen: Simulation,
    reference: NDArray[np.int64],
    examples: Examples,
    limits: Limits,
    took_s: float,
) -> Firmware:
    is_equal = (seen.scores == reference).all(1) & (seen.classes == reference.argmax(1))
    target, sizes = image.target, image.sizes
    shortfalls = [
        f"{n} bytes of {what}, {n - limit} more than the limit of {limit}"
        for what, n, limit in (
            ("flash", sizes.flash_bytes, limits.flash_bytes),
            ("RAM", sizes.ram_bytes, limits.ram_bytes),
        )
        if limit is not None and n > limit
    ]
    if n := int((~is_equal).sum()):
        shortfalls.append(f"{n} of {len(is_equal)} answers differ from the integer reference")
    if not seen.boots:
        shortfalls.append("it answers otherwise after a reset")
    if seen.stack_bytes > sizes.stack_bytes:
        shortfalls.append(f"a stack of {seen.stack_bytes} bytes, more than the worst case of {sizes.stack_bytes}")
    accuracy = _make_accuracy(seen.classes == examples.labels, examples, f"image for {target.name}, simulated")
    n_equal = int(is_equal.sum())
    return Firmware(
        target.name,
        target.chip,
        sizes,
        seen.stack_bytes,
        seen.instructions,
        n_equal,
        accuracy,
        tuple(shortfalls),
        took_s,
    )
