"""torch on CUDA, eager or replayed from a captured graph. Inputs lie on the device; every call waits for its end.

Source: the notes on CUDA semantics in torch's documentation, sections CUDA graphs and TensorFloat-32.
"""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from dlmi_bench.backends import Batch, Scores
from dlmi_bench.backends.eager import EagerRunner, load_network

# Calls on a side stream before the capture: lazily made handles and workspaces may not be made inside it.
N_WARMUP = 3


class CudaRunner(EagerRunner):
    """A network on the device, called operator by operator."""

    def __init__(self, network: nn.Module, *, n_threads: int, device: str = "cuda") -> None:
        super().__init__(network.to(device), n_threads=n_threads)
        self._device = device
        # TensorFloat-32 keeps 10 of float32's 23 bits; convolutions would use it by default.
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_tf32 = False

    @property
    def conditions(self) -> dict[str, str | int | float | bool]:
        own: dict[str, str | int | float | bool] = {
            "provider": f"CUDA {torch.cuda.get_device_name()}",
            "tf32": False,
            "synchronise": "every call",
        }
        return super().conditions | own

    def prepare(self, batch: Batch) -> Callable[[], object]:
        network, inputs, wait = self._network, torch.from_numpy(batch).to(self._device), torch.cuda.synchronize

        def call() -> Tensor:
            scores: Tensor = network(inputs)
            wait()
            return scores

        return call

    def read(self, outputs: object) -> Scores:
        assert isinstance(outputs, Tensor)
        return outputs.cpu().numpy()


class Touch(nn.Module):
    """One kernel that changes nothing: a program without any would launch nothing, and its graph would be empty."""

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs * 1


class GraphRunner(CudaRunner):
    """Network on CUDA, captured once for each prepared batch and replayed with one launch."""

    @property
    def conditions(self) -> dict[str, str | int | float | bool]:
        return super().conditions | {"cuda_graph": True}

    def prepare(self, batch: Batch) -> Callable[[], object]:
        inputs, wait = torch.from_numpy(batch).to(self._device), torch.cuda.synchronize
        graph, scores = self._capture(inputs)
        replay = graph.replay

        def call(_inputs: Tensor = inputs) -> Tensor:  # the graph reads where they lie: they stay alive with it
            replay()
            wait()
            return scores

        return call

    def _capture(self, inputs: Tensor) -> tuple[torch.cuda.CUDAGraph, Tensor]:
        with torch.inference_mode():
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                for _ in range(N_WARMUP):
                    self._network(inputs)
            torch.cuda.current_stream().wait_stream(side)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                scores = self._network(inputs)
        return graph, scores


def load(path: Path, *, n_threads: int = 1, is_graph: bool = False) -> CudaRunner:
    return (GraphRunner if is_graph else CudaRunner)(load_network(path), n_threads=n_threads)


def load_empty(*, n_threads: int = 1, is_graph: bool = False) -> CudaRunner:
    return (GraphRunner if is_graph else CudaRunner)(Touch(), n_threads=n_threads)
