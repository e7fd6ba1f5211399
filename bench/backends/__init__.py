"""Runtimes by name: each turns an artifact into a callable, with provider, precision and threads stated."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Batch = NDArray[np.float32]  # (batch, channel, height, width)
Scores = NDArray[np.float32]  # (batch, class)


class Runner(Protocol):
    """A loaded artifact."""

    @property
    def conditions(self) -> dict[str, str | int | float | bool]:
        """Provider, precision, threads and options: part of the identity of whatever is measured with it."""
        ...

    def prepare(self, batch: Batch) -> Callable[[], object]:
        """A no-argument call on inputs that already lie where the runtime wants them."""
        ...

    def active(self) -> AbstractContextManager[object]:
        """The mode that calls run in; entered once, outside what is timed."""
        ...

    def run(self, batch: Batch) -> Scores:
        """Scores of one batch."""
        ...


@dataclass(frozen=True)
class BackendEntry:
    """A registered runtime and the role of the artifact that it loads."""

    module: str
    artifact_role: str
    title: str

    def load(self, path: Path, *, n_threads: int = 1) -> Runner:
        """Load the artifact to run on so many threads; imports the runtime."""
        runner: Runner = import_module(self.module).load(path, n_threads=n_threads)
        return runner

    def load_empty(self, *, n_threads: int = 1) -> Runner:
        """The emptiest program of this runtime: its time is the floor under every other."""
        runner: Runner = import_module(self.module).load_empty(n_threads=n_threads)
        return runner


BACKENDS: dict[str, BackendEntry] = {
    "eager": BackendEntry("bench.backends.eager", "torch", "torch eager"),
    "onnxruntime": BackendEntry("bench.backends.onnxrt", "onnx", "ONNX Runtime"),
}

# Accuracy is that of this backend's artifact: the file that is also timed.
JUDGED_BACKEND = "onnxruntime"


def predict(runner: Runner, images: Batch, batch_size: int = 256) -> Scores:
    """Scores of all `images`, in batches."""
    parts = [runner.run(images[i : i + batch_size]) for i in range(0, len(images), batch_size)]
    return np.concatenate(parts)
