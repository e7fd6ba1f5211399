"""ONNX Runtime with inputs and outputs bound once: nothing is looked up, allocated or copied at a call; CPU or CUDA."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bench.backends import Batch, Scores, check_batch
from bench.backends.onnxrt import PROVIDER, OnnxRunner, make_empty_model
from bench.errors import UnavailableError

# TensorFloat-32 is the provider's default; it keeps 10 of float32's 23 bits.
CUDA_PROVIDER = ("CUDAExecutionProvider", {"use_tf32": "0"})


class BoundRunner(OnnxRunner):
    """A session whose calls find their arrays in place, on the device that computes.

    Raises:
        UnavailableError: the session fell back to the CPU.
    """

    def __init__(self, model: str | bytes, *, n_threads: int, device: str) -> None:
        providers = (CUDA_PROVIDER, PROVIDER) if device == "cuda" else (PROVIDER,)
        super().__init__(model, n_threads=n_threads, providers=providers)
        self._device = device
        if device == "cuda" and self._session.get_providers()[0] != CUDA_PROVIDER[0]:
            raise UnavailableError(
                "ONNX Runtime could not start its CUDA provider", "its version must fit those of CUDA and cuDNN"
            )

    @property
    def conditions(self) -> dict[str, str | int | float | bool]:
        options: dict[str, str | int | float | bool] = {"binding": True}
        return super().conditions | options | ({"tf32": False} if self._device == "cuda" else {})

    def prepare(self, batch: Batch) -> Callable[[], object]:
        from onnxruntime import OrtValue

        check_batch(batch, self._size)
        run, binding = self._session.run_with_iobinding, self._session.io_binding()
        inputs = OrtValue.ortvalue_from_numpy(batch, self._device, 0)
        scores = OrtValue.ortvalue_from_shape_and_type(self._find_shape(batch), np.float32, self._device, 0)
        binding.bind_ortvalue_input(self._input, inputs)
        binding.bind_ortvalue_output(self._outputs[0], scores)

        def call(_inputs: object = inputs) -> object:  # keeps the inputs alive, which the binding does not
            return run(binding) or scores  # the run waits for the device and returns None

        return call

    def _find_shape(self, batch: Batch) -> list[int]:
        """The output's shape: sizes that the file leaves free are those of the batch."""
        sizes = self._session.get_outputs()[0].shape
        return [size if isinstance(size, int) else batch.shape[i] for i, size in enumerate(sizes)]

    def read(self, outputs: Any) -> Scores:
        scores: Scores = outputs.numpy()
        return scores


def load(path: Path, *, n_threads: int = 1, device: str = "cpu") -> BoundRunner:
    return BoundRunner(str(path), n_threads=n_threads, device=device)


def load_empty(*, n_threads: int = 1, device: str = "cpu") -> BoundRunner:
    return BoundRunner(make_empty_model(), n_threads=n_threads, device=device)
