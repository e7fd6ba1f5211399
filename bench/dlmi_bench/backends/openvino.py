"""OpenVINO on the CPU: precision and threads given, one program of static shape for each batch size.

A file with a fixed batch is run in parts of its own size: its operators may hold that size as a constant.

Without a precision hint it computes in bfloat16 wherever the processor can.
"""

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from dlmi_bench.backends import Batch, Scores, check_batch, run_in_parts
from dlmi_bench.backends.onnxrt import make_empty_model
from dlmi_bench.files import parsing

# Importing it would send a message over the network from a forked process, which hangs where threads run. Without the
# package that does so it falls back to a stub of its own.
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
# An extra: its types are looked at nowhere, so that checks agree with and without it.
openvino: Any = import_module("openvino")

HINTS = {"float32": "f32", "bfloat16": "bf16"}


class OpenVinoRunner:
    """An ONNX file, compiled for each shape it is called with."""

    def __init__(self, model: str | bytes, *, n_threads: int, precision: str) -> None:
        self._core = openvino.Core()
        self._model = model
        self._n_threads = n_threads
        self._precision = precision
        self._programs: dict[tuple[int, ...], Any] = {}
        with parsing("OpenVINO does not load the file", "export it again, with one input whose rank is known"):
            batch = self._core.read_model(model).input(0).get_partial_shape()[0]
            self._size: int | None = batch.get_length() if batch.is_static else None

    @property
    def conditions(self) -> dict[str, str | int | float | bool]:
        return {
            "provider": "CPU",
            "precision": self._precision,
            "threads": self._n_threads,
            "performance_hint": "LATENCY",
            "shapes": "static",
            "pins_caller": True,  # to the CPU of its first call; without that a call of 6 us takes 7 to 8
            "version": f"openvino {openvino.__version__.partition('-')[0]}",
        }

    def _compile(self, shape: tuple[int, ...]) -> Any:
        if shape not in self._programs:
            model = self._core.read_model(self._model)
            model.reshape(list(shape))
            options = {
                "INFERENCE_PRECISION_HINT": HINTS[self._precision],
                "PERFORMANCE_HINT": "LATENCY",
                "INFERENCE_NUM_THREADS": self._n_threads,
            }
            self._programs[shape] = self._core.compile_model(model, "CPU", options)
        return self._programs[shape]

    def prepare(self, batch: Batch) -> Callable[[], object]:
        check_batch(batch, self._size)
        batch = np.ascontiguousarray(batch)  # memory that is shared has no gaps
        request = self._compile(batch.shape).create_infer_request()
        request.set_input_tensor(openvino.Tensor(batch, shared_memory=True))
        output = request.get_output_tensor()
        infer = request.infer

        def call(_inputs: Batch = batch) -> object:  # keeps the inputs alive, which the request does not
            infer()
            return output

        return call

    def read(self, outputs: Any) -> Scores:
        scores: Scores = outputs.data.copy()
        return scores

    def active(self) -> AbstractContextManager[object]:
        return nullcontext()

    def run(self, batch: Batch) -> Scores:
        with parsing("OpenVINO does not run the file", "check the shape that --input names, batch first"):
            return run_in_parts(lambda part: self.read(self.prepare(part)()), batch, self._size or len(batch))


def load(path: Path, *, n_threads: int = 1, precision: str = "float32") -> OpenVinoRunner:
    return OpenVinoRunner(str(path), n_threads=n_threads, precision=precision)


def load_empty(*, n_threads: int = 1, precision: str = "float32") -> OpenVinoRunner:
    return OpenVinoRunner(make_empty_model(), n_threads=n_threads, precision=precision)
