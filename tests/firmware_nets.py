"""Small nets as ONNX files, and their C compiled for this machine, for the tests of images for microcontrollers."""

import ctypes
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlmi_bench.firmware.integers import make_integers
from dlmi_bench.firmware.net import IntegerNet
from dlmi_bench.firmware.reading import read_layers
from dlmi_bench.firmware.source import format_source
from dlmi_bench.native.compiler import find_command
from native_files import Node, draw, write_file

STRICT = tuple("-std=c99 -O1 -Wall -Wextra -Werror -pedantic -shared -fPIC".split())
TRAPS = ("-fsanitize=undefined", "-fsanitize-undefined-trap-on-error")  # undefined behaviour ends the process


def chain(*nodes: tuple[str, list[str], dict[str, Any]]) -> list[Node]:
    """Nodes one after the other, from `x` to `y`, each an operator with its weights."""
    ends = ["x", *(f"t{i}" for i in range(1, len(nodes))), "y"]
    return [(kind, [ends[i], *reads], [ends[i + 1]], more) for i, (kind, reads, more) in enumerate(nodes)]


SAME: dict[str, Any] = {"pads": [1, 1, 1, 1], "kernel_shape": [3, 3]}
POOL: dict[str, Any] = {"kernel_shape": [2, 2], "strides": [2, 2]}
FLAT: tuple[str, list[str], dict[str, Any]] = ("Flatten", [], {})
LEAKY: tuple[str, list[str], dict[str, Any]] = ("LeakyRelu", [], {"alpha": 0.1})

# By name: the nodes and the shapes of their weights. Inputs are (2, 9, 7).
NETS: dict[str, tuple[list[Node], dict[str, tuple[int, ...]]]] = {
    "dense": (chain(FLAT, ("Gemm", ["w", "b"], {"transB": 1})), {"w": (5, 126), "b": (5,)}),
    "two-dense": (
        chain(FLAT, ("Gemm", ["w", "b"], {}), ("Relu", [], {}), ("MatMul", ["v"], {}), ("Add", ["c"], {})),
        {"w": (126, 6), "b": (6,), "v": (6, 4), "c": (4,)},
    ),
    "pooled": (
        chain(("Conv", ["w", "b"], SAME), LEAKY, ("MaxPool", [], POOL), FLAT, ("Gemm", ["v", "c"], {"transB": 1})),
        {"w": (4, 2, 3, 3), "b": (4,), "v": (3, 48), "c": (3,)},
    ),
    "separable": (
        chain(
            ("Conv", ["d"], {**SAME, "group": 2}),
            ("Conv", ["p", "b"], {"kernel_shape": [1, 1]}),
            ("MaxPool", [], {"kernel_shape": [4, 4], "strides": [4, 4]}),
            LEAKY,
            ("Conv", ["h"], {"kernel_shape": [2, 1], "group": 5}),
            FLAT,
            ("Gemm", ["v", "c"], {"transB": 1}),
        ),
        {"d": (2, 1, 3, 3), "p": (5, 2, 1, 1), "b": (5,), "h": (5, 1, 2, 1), "v": (3, 5), "c": (3,)},
    ),
    "strided": (
        chain(
            ("Conv", ["w", "b"], {"kernel_shape": [3, 2], "strides": [2, 2], "pads": [1, 1, 0, 0]}),
            ("Relu", [], {}),
            ("Conv", ["v"], {"kernel_shape": [2, 3], "pads": [2, 2, 1, 3]}),
            FLAT,
            ("Gemm", ["u", "c"], {"transB": 1}),
        ),
        {"w": (3, 2, 3, 2), "b": (3,), "v": (2, 3, 2, 3), "u": (4, 84), "c": (4,)},
    ),
}


def write_net(name: str, path: Path) -> Path:
    """One of NETS with random weights."""
    nodes, shapes = NETS[name]
    weights = {
        key: draw(*shape, seed=i) / max(np.prod(shape[1:]), 1) ** 0.5 for i, (key, shape) in enumerate(shapes.items())
    }
    return write_file(path / "net.onnx", nodes, weights, shape=(2, 9, 7))


def make_net(name: str, path: Path, bits: int = 8) -> IntegerNet:
    return make_integers(read_layers(write_net(name, path)), draw(20, 2, 9, 7, seed=9), bits)


def run_source(net: IntegerNet, folder: Path, codes: NDArray[np.int8]) -> Iterator[tuple[list[int], int]]:
    """Scores and class of each input, by the C file, compiled for this machine with every warning an error."""
    (folder / "net.c").write_text(format_source(net))
    subprocess.run([*find_command(), *STRICT, *TRAPS, "-o", "net.so", "net.c"], cwd=folder, check=True)
    library = ctypes.CDLL(str(folder / "net.so"))
    inputs = (ctypes.c_int8 * net.n_inputs).in_dll(library, "net_input")
    scores = (ctypes.c_int32 * net.n_classes).in_dll(library, "net_scores")
    for row in codes:
        inputs[:] = row.tolist()
        answer = library.net_run()
        yield list(scores), answer
