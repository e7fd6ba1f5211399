"""Peaks of this machine: arithmetic and reading by the fastest of the libraries that the models run on."""

import time
from collections.abc import Callable
from statistics import median

import numpy as np
from numpy.typing import NDArray

from dlmi_bench.backends.onnxrt import OnnxRunner
from dlmi_bench.extras import is_installed
from dlmi_bench.instruments.roofline import BYTES_PER_VALUE, Peak

MATRIX_SIZE = 1024  # long past the size at which the product reaches its rate
# Read again and again: one set fits into the caches of a core, one into the shared cache, one into neither.
WORKING_SETS = (512 * 2**10, 8 * 2**20, 256 * 2**20)
N_REPEATS = 15
# What each library does, in its own words: their kernels differ by more than 2 x on the same processor.
Programs = dict[str, Callable[[], object]]


def measure_peaks(n_threads: int = 1) -> list[Peak]:
    """Arithmetic first, then reading each working set. Two seconds, in a process of so many threads."""
    peaks = [measure_rate(make_products(n_threads), 2 * MATRIX_SIZE**3)]
    return peaks + [measure_rate(make_readings(size), size, working_set_bytes=size) for size in WORKING_SETS]


def make_products(n_threads: int) -> Programs:
    """A float32 product of two square matrices."""
    left = np.random.default_rng(0).random((MATRIX_SIZE, MATRIX_SIZE), np.float32)
    out, what = np.empty_like(left), f"float32 product of two {MATRIX_SIZE} x {MATRIX_SIZE} matrices"
    programs: Programs = {
        f"{what} by numpy's BLAS": lambda: np.matmul(left, left, out=out),
        f"{what} by ONNX Runtime": OnnxRunner(_make_product(left), n_threads=n_threads).prepare(left),
    }
    if is_installed("torch"):
        import torch

        tensor = torch.from_numpy(left)
        tensor_out = torch.empty_like(tensor)
        programs[f"{what} by torch"] = lambda: torch.mm(tensor, tensor, out=tensor_out)
    return programs


def _make_product(right: NDArray[np.float32]) -> bytes:
    """An ONNX file that multiplies its input by `right`."""
    from onnx import TensorProto, helper, numpy_helper

    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, right.shape) for name in ("left", "out")]
    node, weight = helper.make_node("MatMul", ["left", "right"], ["out"]), numpy_helper.from_array(right, "right")
    graph = helper.make_graph([node], "product", ports[:1], ports[1:], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    content: bytes = model.SerializeToString()
    return content


def make_readings(size_bytes: int) -> Programs:
    """A float32 vector of which every byte is read once."""
    vector = np.ones(size_bytes // BYTES_PER_VALUE, np.float32)
    programs: Programs = {"float32 dot product of a vector with itself by numpy's BLAS": lambda: np.dot(vector, vector)}
    if is_installed("torch"):
        import torch

        programs["float32 sum of a vector by torch"] = torch.from_numpy(vector).sum
    return programs


def measure_rate(
    programs: Programs, amount: int, *, working_set_bytes: int = 0, now_ns: Callable[[], int] = time.perf_counter_ns
) -> Peak:
    """The program with the highest median rate; they run in turns, so that drift hits all alike.

    Args:
        amount: What one call does: floating point operations, or bytes read.
    """
    rates: dict[str, list[float]] = {name: [] for name in programs}
    for work in programs.values():
        work()
    for _ in range(N_REPEATS):
        for name, work in programs.items():
            start_ns = now_ns()
            work()
            rates[name].append(amount * 1e9 / (now_ns() - start_ns))
    best = max(rates, key=lambda name: median(rates[name]))
    found = rates[best]
    method = f"{best}, the quickest of {len(programs)} libraries"
    return Peak(median(found), min(found), max(found), N_REPEATS, method, working_set_bytes)
