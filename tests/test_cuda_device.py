"""The CUDA runtimes and their instruments on a real device; skipped where there is none."""

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dlmi_bench.backends import BACKENDS
from dlmi_bench.backends.cuda import CudaRunner, GraphRunner, Touch
from dlmi_bench.backends.export import write_torch
from dlmi_bench.instruments.cuda_clock import CudaClock
from dlmi_bench.instruments.memory import measure_peak_device_memory
from dlmi_bench.instruments.meters.nvml import NvmlMeter
from dlmi_models import MODELS

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
INPUT = (1, 16, 16)


class Products(nn.Module):
    """A number of products of large matrices, one after the other."""

    def __init__(self, n: int, size: int = 2048) -> None:
        super().__init__()
        self.n, self.weight = n, nn.Parameter(torch.eye(size))

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(self.n):
            x = x @ self.weight
        return x


def time_calls(call: Callable[[], object], n: int = 20) -> tuple[float, float]:
    """Median seconds of a call by events and by the host's clock."""
    clock, by_host = CudaClock(), []
    by_events = [clock.time(call, 1).wall_ns / 1e9 for _ in range(n)]
    for _ in range(n):
        start = time.perf_counter()
        call()
        by_host.append(time.perf_counter() - start)
    return median(by_events), median(by_host)


@pytest.mark.parametrize("is_graph", [False, True])
def test_time_grows_with_work(is_graph: bool) -> None:
    """Eight products take about four times as long as two, and events and the host's clock agree on long calls."""
    kind = GraphRunner if is_graph else CudaRunner
    batch = np.ones((2048, 2048), np.float32)
    seconds = {}
    for n in (2, 8):
        runner = kind(Products(n), n_threads=1)
        with runner.active():
            by_events, by_host = time_calls(runner.prepare(batch))
        assert by_events == pytest.approx(by_host, rel=0.25)
        seconds[n] = by_events
    assert seconds[8] / seconds[2] == pytest.approx(4, rel=0.25)


def test_one_kernel_is_far_quicker_than_a_network(tmp_path: Path) -> None:
    """The floor of a graph is one kernel: it takes less than a network of many."""
    torch.manual_seed(0)
    write_torch(MODELS["cnn-32"].build(), "cnn-32", INPUT, tmp_path / "a.safetensors")
    images = np.random.default_rng(0).standard_normal((1, *INPUT)).astype(np.float32)
    runners = [GraphRunner(Touch(), n_threads=1), BACKENDS["cuda-graphs"].load(tmp_path / "a.safetensors")]
    floor, network = (time_calls(runner.prepare(images), 200)[0] for runner in runners)
    assert 0 < floor < network


def test_graph_reads_what_lies_in_its_inputs_at_each_call(tmp_path: Path) -> None:
    """Answers of a replayed graph are those of the network in eager mode, for each batch of its own."""
    torch.manual_seed(0)
    write_torch(MODELS["conv-12-18-20"].build(), "conv-12-18-20", INPUT, tmp_path / "a.safetensors")
    images = np.random.default_rng(0).standard_normal((3, 5, *INPUT)).astype(np.float32)
    eager, graphs = (BACKENDS[name].load(tmp_path / "a.safetensors") for name in ("eager", "cuda-graphs"))
    calls = [graphs.prepare(batch) for batch in images]  # all captured before the first is replayed
    with graphs.active():
        answers = [graphs.read(call()) for call in calls]
    for batch, scores in zip(images, answers, strict=True):
        assert np.allclose(scores, eager.run(batch), atol=1e-4)


def test_peak_of_device_memory_is_that_of_the_tensors() -> None:
    """16 MiB held and freed within the work are its peak; nothing else is counted."""
    before = torch.zeros(2**18, device="cuda")

    def work() -> None:
        torch.empty(2**22, dtype=torch.float32, device="cuda")

    peak = measure_peak_device_memory(work, torch.cuda)
    assert peak.added_bytes == 2**24
    assert peak.before_bytes >= before.nbytes


def test_counter_of_energy_answers_plausibly() -> None:
    """A busy second of a board costs more than an idle one, and both are some tens to some hundreds of joules."""
    meter, matrix = NvmlMeter(), torch.randn(4096, 4096, device="cuda")

    def spend(is_busy: bool) -> float:
        torch.cuda.synchronize()
        meter.start()
        end = time.perf_counter() + 1.5
        while time.perf_counter() < end:
            if is_busy:
                matrix @ matrix
                torch.cuda.synchronize()
            else:
                time.sleep(0.05)
        (component,) = meter.stop()
        return component.energy_j / 1.5

    idle, busy = spend(False), spend(True)
    assert 5 < idle < busy < 2000
