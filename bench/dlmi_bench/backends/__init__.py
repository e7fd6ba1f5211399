"""Runtimes by name: each turns an artifact into a callable, with provider, precision, threads and version stated."""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dlmi_bench.backends import needs
from dlmi_bench.backends.examples import Examples
from dlmi_bench.errors import UnavailableError, UsageError
from dlmi_bench.instruments.clock import Clock, HostClock
from dlmi_bench.instruments.cuda_clock import CudaClock
from dlmi_bench.instruments.host.provenance import describe_compiler, describe_package
from dlmi_bench.native.compiler import describe_tools, find_missing_compiler

# Since 1.29 importing ONNX Runtime starts a thread that writes files and looks up its maker's host; this is the only
# switch that is read early enough. Every import of it is in this package, which is imported first.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

Batch = NDArray[np.float32]  # (batch, channel, height, width)
Scores = NDArray[np.float32]  # (batch, class)


class Runner(Protocol):
    """A loaded artifact."""

    @property
    def conditions(self) -> dict[str, str | int | float | bool]:
        """Provider, precision, threads, options and version: the identity of whatever is measured with it."""
        ...

    def prepare(self, batch: Examples) -> Callable[[], object]:
        """A no-argument call on inputs that already lie where the runtime wants them; its work is done on return."""
        ...

    def read(self, outputs: object) -> Scores:
        """Scores in the host's memory, from what a prepared call returned."""
        ...

    def active(self) -> AbstractContextManager[object]:
        """The mode that calls run in; entered once, outside what is timed."""
        ...

    def run(self, batch: Examples) -> Scores:
        """Scores of one batch."""
        ...


@dataclass(frozen=True)
class BackendEntry:
    """A registered runtime.

    Attributes:
        artifact_role: Role of the file that it loads.
        package: Python package that it comes from.
        precision: Of the arithmetic, where the artifact does not decide it; other than float32, its scores are compared
            with its own only.
        options: Passed to the module's `load`.
        find_missing: Returns the reason why it cannot run on this machine; empty if it can.
        is_isolated: Whether it is judged in a process of its own, and on the measured seed alone.
        is_cuda: Whether it computes on a GPU, whose events then time it.
        is_compiled: Whether loading calls a compiler, which takes seconds.
        is_native: Whether its programs are C functions, which are timed inside C too.
        describe_compiler: Returns its version in one line, and what else no import leads to.
    """

    module: str
    artifact_role: str
    title: str
    package: str = "torch"
    precision: str = "float32"
    options: dict[str, str | bool] = field(default_factory=dict)
    find_missing: Callable[[], str] = needs.find_nothing
    is_isolated: bool = True
    is_cuda: bool = False
    is_compiled: bool = False
    is_native: bool = False
    describe_compiler: Callable[[], str] = describe_compiler

    def load(self, path: Path, *, n_threads: int = 1, **choices: Any) -> Runner:
        """Load the artifact to run on `n_threads` threads; imports the runtime.

        Args:
            choices: Of an ONNX file: `output`, the name of its scores, and `batch_axis`, that of the examples.

        Raises:
            UnavailableError: the runtime cannot run on this machine.
        """
        return self._call("load", path, n_threads=n_threads, **choices)

    def load_empty(self, *, n_threads: int = 1) -> Runner:
        """The emptiest program of this runtime: its time is the floor under every other."""
        return self._call("load_empty", n_threads=n_threads)

    def make_clock(self) -> Clock:
        """Clock that times calls of this runtime.

        Raises:
            MeasurementError: there is no device to ask.
        """
        return CudaClock() if self.is_cuda else HostClock()

    def _call(self, function: str, *arguments: Any, **options: Any) -> Runner:
        if missing := self.find_missing():
            raise UnavailableError(f"{self.title}: {missing}", "see `dlmi-bench list backends`")
        runner: Runner = getattr(import_module(self.module), function)(*arguments, **options, **self.options)
        return runner

    def describe_state(self) -> str:
        """Package and version, and the compiler if it calls one; else the reason why it cannot run."""
        if missing := self.find_missing():
            return f"not available: {missing}"
        package = describe_package(self.package)
        return f"{package}, {self.describe_compiler()}" if self.is_compiled else package


BACKENDS: dict[str, BackendEntry] = {
    "eager": BackendEntry(
        "dlmi_bench.backends.eager", "torch", "torch eager", find_missing=needs.find_missing_torch, is_isolated=False
    ),
    "compile": BackendEntry(
        "dlmi_bench.backends.compiled",
        "torch",
        "torch.compile, one program for each batch size",
        options={"is_frozen": False},
        find_missing=needs.find_missing_compiler,
        is_compiled=True,
    ),
    "compile-freezing": BackendEntry(
        "dlmi_bench.backends.compiled",
        "torch",
        "torch.compile with the weights frozen into the program",
        options={"is_frozen": True},
        find_missing=needs.find_missing_compiler,
        is_compiled=True,
    ),
    "aotinductor": BackendEntry(
        "dlmi_bench.backends.aoti",
        "torch",
        "AOTInductor, compiled ahead of time",
        find_missing=needs.find_missing_compiler,
        is_compiled=True,
    ),
    "onnxruntime": BackendEntry("dlmi_bench.backends.onnxrt", "onnx", "ONNX Runtime", "onnxruntime", is_isolated=False),
    "onnxruntime-binding": BackendEntry(
        "dlmi_bench.backends.binding", "onnx", "ONNX Runtime, inputs and outputs bound once", "onnxruntime"
    ),
    "onnxruntime-int8": BackendEntry(
        "dlmi_bench.backends.onnxrt",
        "onnx-int8",
        "ONNX Runtime, 8-bit integers",
        "onnxruntime",
        "int8",
        is_isolated=False,
    ),
    "openvino": BackendEntry(
        "dlmi_bench.backends.openvino",
        "onnx",
        "OpenVINO in float32 (extra `openvino`)",
        "openvino",
        find_missing=needs.find_missing_openvino,
    ),
    "openvino-bf16": BackendEntry(
        "dlmi_bench.backends.openvino",
        "onnx",
        "OpenVINO in bfloat16 (extra `openvino`)",
        "openvino",
        "bfloat16",
        options={"precision": "bfloat16"},
        find_missing=needs.find_missing_bfloat16,
    ),
    "c": BackendEntry(
        "dlmi_bench.backends.c",
        "onnx",
        "C written from the ONNX file and compiled",
        "dlmi-bench",
        find_missing=find_missing_compiler,
        is_compiled=True,
        is_native=True,
        describe_compiler=describe_tools,
    ),
    "cuda": BackendEntry(
        "dlmi_bench.backends.cuda",
        "torch",
        "torch eager on CUDA",
        options={"is_graph": False},
        find_missing=needs.find_missing_cuda,
        is_cuda=True,
    ),
    "cuda-graphs": BackendEntry(
        "dlmi_bench.backends.cuda",
        "torch",
        "torch on CUDA, replayed from a graph",
        options={"is_graph": True},
        find_missing=needs.find_missing_cuda,
        is_cuda=True,
    ),
    "onnxruntime-cuda": BackendEntry(
        "dlmi_bench.backends.binding",
        "onnx",
        "ONNX Runtime on CUDA, inputs and outputs bound once",
        "onnxruntime",
        options={"device": "cuda"},
        find_missing=needs.find_missing_onnxruntime_cuda,
        is_cuda=True,
    ),
}

# What a suite measures that names none: cheap, and here on every machine.
DEFAULT_BACKENDS = ("eager", "onnxruntime", "onnxruntime-int8")

# Accuracy is that of this backend's artifact: the file that is also timed.
JUDGED_BACKEND = "onnxruntime"


def predict(runner: Runner, images: Examples, batch_size: int = 256) -> Scores:
    """Scores of all `images`, in batches."""
    parts = [runner.run(images[i : i + batch_size]) for i in range(0, len(images), batch_size)]
    return np.concatenate(parts)


def run_in_parts(run: Callable[[Examples], Scores], batch: Examples, size: int) -> Scores:
    """Scores of `batch` by a program that takes exactly `size` examples; the last call is filled up with the first."""
    n = len(batch)
    whole = batch[np.arange(n + -n % size) % n] if n % size else batch
    scores = np.concatenate([np.atleast_1d(run(whole[i : i + size])) for i in range(0, n, size)])
    return scores[:n] if n % size else scores


def check_batch(batch: Examples, size: int | None) -> None:
    """A file may take batches of one `size` only; None where it takes any.

    Raises:
        UsageError: this batch has another.
    """
    if size not in (None, len(batch)):
        raise UsageError(
            f"the file takes batches of {size} only, not of {len(batch)}",
            f"use --batch {size}, or export it with a free first dimension",
        )
