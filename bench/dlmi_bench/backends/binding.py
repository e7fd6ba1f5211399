"""ONNX Runtime with inputs and outputs bound once: nothing is looked up, allocated or copied at a call; CPU or CUDA.

On CUDA all sessions of the process queue their work on one stream of torch's, on which events can stand.

Source: ONNX Runtime's documentation of the CUDA execution provider, `user_compute_stream` and I/O binding.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from dlmi_bench.backends import Batch, Scores, check_batch
from dlmi_bench.backends.onnxrt import PROVIDER, OnnxRunner, make_empty_model
from dlmi_bench.errors import UnavailableError

CUDA_PROVIDER = "CUDAExecutionProvider"


@cache
def find_stream() -> Any:
    """A stream of torch's own: the handle of the default one is 0, which ONNX Runtime takes for none."""
    import torch

    return torch.cuda.Stream()


def _list_providers(device: str) -> tuple[Any, ...]:
    """TensorFloat-32 is CUDA's default; it keeps 10 of float32's 23 bits."""
    if device != "cuda":
        return (PROVIDER,)
    options = {"use_tf32": "0", "user_compute_stream": str(find_stream().cuda_stream)}
    return ((CUDA_PROVIDER, options), PROVIDER)


class BoundRunner(OnnxRunner):
    """A session whose calls find their arrays in place, on the device that computes.

    Raises:
        UnavailableError: the session fell back to the CPU.
    """

    def __init__(self, model: str | bytes, *, n_threads: int, device: str) -> None:
        super().__init__(model, n_threads=n_threads, providers=_list_providers(device))
        self._device = device
        if device == "cuda" and self._session.get_providers()[0] != CUDA_PROVIDER:
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

    def active(self) -> AbstractContextManager[object]:
        if self._device != "cuda":
            return super().active()
        import torch

        return torch.cuda.stream(find_stream())

    def _find_shape(self, batch: Batch) -> list[int]:
        """The output's shape: sizes that the file names are those of the same name of the input; else a run tells."""
        named = zip(self._session.get_inputs()[0].shape, batch.shape, strict=True)
        known = {name: size for name, size in named if isinstance(name, str)}
        sizes = [known.get(size, size) for size in self._session.get_outputs()[0].shape]
        if not all(isinstance(size, int) for size in sizes):
            return list(self._session.run(self._outputs, {self._input: batch})[0].shape)
        return sizes

    def read(self, outputs: Any) -> Scores:
        scores: Scores = outputs.numpy()
        return scores


def load(path: Path, *, n_threads: int = 1, device: str = "cpu") -> BoundRunner:
    return BoundRunner(str(path), n_threads=n_threads, device=device)


def load_empty(*, n_threads: int = 1, device: str = "cpu") -> BoundRunner:
    return BoundRunner(make_empty_model(), n_threads=n_threads, device=device)
