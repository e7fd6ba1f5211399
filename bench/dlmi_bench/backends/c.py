"""Nets written in C: compiled for this machine, called by ctypes on arrays that already lie in place.

A call is made from Python: its floor is the time of the empty function, far above what a small net takes inside C.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import numpy as np

from dlmi_bench.backends import Scores, check_batch, run_in_parts
from dlmi_bench.backends.examples import Examples, arrange
from dlmi_bench.errors import UnavailableError
from dlmi_bench.instruments.host.provenance import describe_package
from dlmi_bench.native.compiler import FLAGS, describe_compiler
from dlmi_bench.native.library import load_empty_library, load_library, make_aligned
from dlmi_bench.native.reading.file import read_net
from dlmi_bench.native.writing.kernels import hash_kernels
from dlmi_bench.native.writing.project import MANY_MACS, SLOW

PACKAGE = "dlmi-bench"


class NativeRunner:
    """A net in C; every call has memory of its own, so that several may run at once.

    Args:
        choices: See `OnnxRunner`.

    Raises:
        DataError: the file has an operator, or a size, that is not written in C.
        UnavailableError: more than one thread was asked for, or no compiler works.
    """

    def __init__(self, path: Path, *, n_threads: int, **choices: object) -> None:
        _check_threads(n_threads)
        self._net, self.signature = read_net(path, **choices)  # type: ignore[arg-type]
        self._library = load_library(self._net)

    @property
    def conditions(self) -> dict[str, str | int | float | bool]:
        remark = {"remark": SLOW} if self._net.macs > MANY_MACS else {}
        return describe_conditions() | {"precision": self._net.precision} | self.signature.conditions | remark

    def prepare(self, batch: Examples) -> Callable[[], object]:
        check_batch(batch, self.signature.batch)
        (inputs,) = arrange(batch, self.signature).values()
        self.signature.check({self.signature.inputs[0].name: inputs.shape})
        outputs = make_aligned(len(inputs) * self._net.output.size).reshape(len(inputs), *self._net.output_shape)
        return self._library.bind(inputs, outputs)

    def read(self, outputs: object) -> Scores:
        assert isinstance(outputs, np.ndarray)
        return outputs.copy()

    def active(self) -> AbstractContextManager[object]:
        return nullcontext()

    def run(self, batch: Examples) -> Scores:
        return run_in_parts(lambda part: self.read(self.prepare(part)()), batch, self.signature.batch or len(batch))


class EmptyRunner(NativeRunner):
    """A function that does nothing; its answer is its input."""

    def __init__(self, *, n_threads: int) -> None:
        _check_threads(n_threads)
        self._library = load_empty_library()

    @property
    def conditions(self) -> dict[str, str | int | float | bool]:
        return describe_conditions()

    def prepare(self, batch: Examples) -> Callable[[], object]:
        assert isinstance(batch, np.ndarray)
        inputs = np.ascontiguousarray(batch, np.float32)
        return self._library.bind(inputs, inputs)

    def run(self, batch: Examples) -> Scores:
        return self.read(self.prepare(batch)())


def describe_conditions() -> dict[str, str | int | float | bool]:
    """Conditions of every net."""
    return {
        "provider": "CPU",
        "precision": "float32",
        "threads": 1,
        "compiler": describe_compiler(),
        "flags": " ".join(FLAGS),
        "kernels": hash_kernels(),
        "version": describe_package(PACKAGE),
    }


def _check_threads(n_threads: int) -> None:
    if n_threads != 1:
        raise UnavailableError(f"nets in C run on one thread, not on {n_threads}", "use --threads 1")


def load(path: Path, *, n_threads: int = 1, **choices: object) -> NativeRunner:
    return NativeRunner(path, n_threads=n_threads, **choices)


def load_empty(*, n_threads: int = 1) -> EmptyRunner:
    return EmptyRunner(n_threads=n_threads)
