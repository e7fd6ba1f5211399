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
from numpy.typing import NDArray

from dlmi_bench.backends import check_batch
from dlmi_bench.backends.examples import Examples, arrange
from dlmi_bench.backends.onnxrt import BFLOAT16, BFLOAT16_NUMBER, PROVIDER, OnnxRunner, make_empty_model, make_value
from dlmi_bench.errors import UnavailableError
from dlmi_bench.instruments.onnx.ports import MAPS

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
        UnavailableError: the session fell back to the CPU, or the scores are no tensor, which cannot be bound.
    """

    def __init__(self, model: str | bytes, *, n_threads: int, device: str, **choices: Any) -> None:
        super().__init__(model, n_threads=n_threads, providers=_list_providers(device), **choices)
        self._device = device
        if device == "cuda" and self._session.get_providers()[0] != CUDA_PROVIDER:
            raise UnavailableError(
                "ONNX Runtime could not start its CUDA provider", "its version must fit those of CUDA and cuDNN"
            )
        if self.signature.output.type == MAPS:
            raise UnavailableError("maps of scores cannot be bound", "use onnxruntime, or export without ZipMap")

    @property
    def conditions(self) -> dict[str, str | int | float | bool]:
        options: dict[str, str | int | float | bool] = {"binding": True}
        return super().conditions | options | ({"tf32": False} if self._device == "cuda" else {})

    def prepare(self, batch: Examples) -> Callable[[], object]:
        from onnxruntime import OrtValue

        check_batch(batch, self.signature.batch)
        run, binding = self._session.run_with_iobinding, self._session.io_binding()
        feed = arrange(batch, self.signature)
        inputs = {name: make_value(array, self._device) for name, array in feed.items()}
        type_ = self.signature.output.type
        kind = BFLOAT16_NUMBER if type_ == BFLOAT16 else np.dtype(type_).type
        scores = OrtValue.ortvalue_from_shape_and_type(self._find_shape(feed), kind, self._device, 0)
        for name, value in inputs.items():
            binding.bind_ortvalue_input(name, value)
        binding.bind_ortvalue_output(self._outputs[0], scores)

        def call(_inputs: object = inputs) -> object:  # keeps the inputs alive, which the binding does not
            run(binding)  # waits for the device
            return (scores,)

        return call

    def active(self) -> AbstractContextManager[object]:
        if self._device != "cuda":
            return super().active()
        import torch

        return torch.cuda.stream(find_stream())

    def _find_shape(self, feed: dict[str, NDArray[Any]]) -> list[int]:
        """The output's shape: sizes that the file names are those of the same name of an input; else a run tells."""
        named = ((n, m) for p in self.signature.inputs for n, m in zip(p.sizes, feed[p.name].shape, strict=True))
        known = {name: size for name, size in named if isinstance(name, str) and name}
        sizes = [known.get(size, size) if isinstance(size, str) else size for size in self.signature.output.sizes]
        if not sizes or not all(isinstance(size, int) for size in sizes):
            values = {name: make_value(array) for name, array in feed.items()}
            return list(self._session.run_with_ort_values(self._outputs, values)[0].shape())
        return [int(size) for size in sizes]


def load(path: Path, *, n_threads: int = 1, device: str = "cpu", **choices: Any) -> BoundRunner:
    return BoundRunner(str(path), n_threads=n_threads, device=device, **choices)


def load_empty(*, n_threads: int = 1, device: str = "cpu") -> BoundRunner:
    return BoundRunner(make_empty_model(), n_threads=n_threads, device=device)
