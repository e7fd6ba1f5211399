"""The CUDA runtimes on a stand-in for the device: what they launch, capture and wait for."""

from collections.abc import Iterator
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from dlmi_bench.backends import binding
from dlmi_bench.backends.cuda import N_WARMUP, CudaRunner, GraphRunner, Touch


class Capture(TorchDispatchMode):
    """Records operators as they run, as a device does between the two ends of a capture."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[tuple[Any, Any, Any, Any]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        self.steps.append((func, args, kwargs or {}, out))
        return out


class FakeGraph:
    """Runs the captured operators again, from and into the same memory."""

    def __init__(self) -> None:
        self.capture = Capture()
        self.n_replays = 0

    def replay(self) -> None:
        self.n_replays += 1
        with torch.inference_mode():
            for func, args, kwargs, out in self.capture.steps:
                new = func(*args, **kwargs)
                if new.data_ptr() != out.data_ptr():
                    out.copy_(new)


class FakeCuda:
    """Counts what is waited for, and keeps the graphs."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.n_waits = 0
        self.graphs: list[FakeGraph] = []
        stream = SimpleNamespace(wait_stream=lambda _: None)
        stand_ins = {
            "synchronize": self.wait,
            "Stream": lambda: stream,
            "current_stream": lambda: stream,
            "stream": lambda _: nullcontext(),
            "CUDAGraph": self.make_graph,
            "graph": lambda graph: graph.capture,
            "get_device_name": lambda: "Fake",
        }
        for name, stand_in in stand_ins.items():
            monkeypatch.setattr(torch.cuda, name, stand_in)

    def wait(self) -> None:
        self.n_waits += 1

    def make_graph(self) -> FakeGraph:
        self.graphs.append(FakeGraph())
        return self.graphs[-1]


class Counted(nn.Module):
    """A layer that counts how often Python calls it."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.n_calls = nn.Linear(4, 3), 0

    def forward(self, x: Tensor) -> Tensor:
        self.n_calls += 1
        scores: Tensor = self.layer(x).relu()
        return scores


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCuda]:
    """With TensorFloat-32 allowed everywhere at first; torch's own settings come back afterwards."""
    switches = (torch.backends.cudnn, torch.backends.cuda.matmul)
    before = [switch.allow_tf32 for switch in switches]
    for switch in switches:
        switch.allow_tf32 = True
    yield FakeCuda(monkeypatch)
    for switch, value in zip(switches, before, strict=True):
        switch.allow_tf32 = value


def compute_scores(network: Counted, images: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    weight, bias = (p.detach().numpy() for p in (network.layer.weight, network.layer.bias))
    return np.maximum(images @ weight.T + bias, 0)


def test_eager_waits_for_every_call(cuda: FakeCuda) -> None:
    """One wait a call, in full float32, with the device named."""
    network, images = Counted(), np.ones((2, 4), np.float32)
    runner = CudaRunner(network, n_threads=1, device="cpu")
    call = runner.prepare(images)
    with runner.active():
        outputs = [call() for _ in range(3)]
    assert (cuda.n_waits, network.n_calls) == (3, 3)
    assert np.allclose(runner.read(outputs[0]), compute_scores(network, images), atol=1e-6)
    assert (torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32) == (False, False)
    assert (runner.conditions["provider"], runner.conditions["tf32"]) == ("CUDA Fake", False)


def test_graph_is_captured_once_and_computes_at_every_replay(cuda: FakeCuda) -> None:
    """Python runs the network for the warm-up and the capture only; each call replays, waits and reads new inputs."""
    network, images = Counted(), np.ones((2, 4), np.float32)
    runner = GraphRunner(network, n_threads=1, device="cpu")
    call = runner.prepare(images)
    assert (network.n_calls, len(cuda.graphs)) == (N_WARMUP + 1, 1)
    with runner.active():
        first = runner.read(call()).copy()
        images *= 2  # on the stand-in the device's memory is the host's
        second = runner.read(call()).copy()
    assert (cuda.graphs[0].n_replays, cuda.n_waits, network.n_calls) == (2, 2, N_WARMUP + 1)
    assert np.allclose(first, compute_scores(network, images / 2), atol=1e-6)
    assert np.allclose(second, compute_scores(network, images), atol=1e-6)
    assert not np.allclose(first, second)


def test_floor_is_one_kernel(cuda: FakeCuda) -> None:
    """The empty program returns its input and is captured as a single operator, not as none."""
    images = np.arange(8, dtype=np.float32).reshape(2, 4)
    runner = GraphRunner(Touch(), n_threads=1, device="cpu")
    assert np.array_equal(runner.run(images), images)
    assert len(cuda.graphs[0].capture.steps) == 1


def test_sessions_queue_on_the_stream_of_the_events(monkeypatch: pytest.MonkeyPatch) -> None:
    """ONNX Runtime is given one stream of torch's, by its handle, and it is the current one while calls are timed."""
    entered = []
    stream = SimpleNamespace(cuda_stream=1234)
    monkeypatch.setattr(torch.cuda, "Stream", lambda: stream)
    monkeypatch.setattr(torch.cuda, "stream", entered.append)
    binding.find_stream.cache_clear()
    try:
        (name, options), _ = binding._list_providers("cuda")
        runner = binding.BoundRunner(binding.make_empty_model(), n_threads=1, device="cpu")
        runner._device = "cuda"
        runner.active()
    finally:
        binding.find_stream.cache_clear()
    assert (name, options) == (binding.CUDA_PROVIDER, {"use_tf32": "0", "user_compute_stream": "1234"})
    assert entered == [stream]
    assert binding._list_providers("cpu") == (binding.PROVIDER,)
