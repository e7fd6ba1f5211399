"""Speed of the suite's own code, as ratios measured side by side in one run; `nox -s microbench`."""

from collections.abc import Callable
from functools import partial
from statistics import median

import pytest
import torch
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from dlmi_bench.instruments.latency import Plan, measure_latency
from dlmi_bench.instruments.pinning import CpuHopper
from dlmi_models import MODELS
from dlmi_tasks import get_task
from dlmi_tasks.recipe import Recipe
from dlmi_tasks.spec import Task
from dlmi_tasks.training.loop import Loop
from dlmi_tasks.training.source import InMemory, to_tensors

N_ROUNDS = 30
RECIPE = Recipe(n_epochs=1_000, augmentation="none")


def make_whole_tensor_epoch(task: Task, images: torch.Tensor, labels: torch.Tensor) -> Callable[[], object]:
    smoothed = partial(F.cross_entropy, label_smoothing=RECIPE.label_smoothing)
    loop = Loop(MODELS["mlp-64-32"].build(), RECIPE, len(labels), loss=smoothed)
    source = InMemory(images, labels, RECIPE.batch_size, task.distortion)
    generator = torch.Generator().manual_seed(0)
    return lambda: loop.run_epoch(source.iterate(generator))


def make_data_loader_epoch(images: torch.Tensor, labels: torch.Tensor) -> Callable[[], object]:
    """The loop as tutorials write it: DataLoader over a TensorDataset, shuffled, default AdamW, a schedule."""
    network = MODELS["mlp-64-32"].build()
    optimiser = torch.optim.AdamW(network.parameters(), lr=RECIPE.peak_lr)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RECIPE.peak_lr, total_steps=50_000)
    loader = DataLoader(TensorDataset(images, labels), batch_size=RECIPE.batch_size, shuffle=True)

    def epoch() -> float:
        network.train()
        total = 0.0
        for x, y in loader:
            optimiser.zero_grad()
            loss = F.cross_entropy(network(x), y, label_smoothing=RECIPE.label_smoothing)
            loss.backward()
            optimiser.step()
            schedule.step()
            total += loss.item() * len(y)
        return total

    return epoch


@pytest.mark.benchmark
def test_epoch_against_data_loader() -> None:
    """An epoch of the 64-32 net at batch 128 is at least 1.8 x faster than the DataLoader loop in the same run."""
    torch.set_num_threads(1)
    task = get_task("usps")
    images, labels = to_tensors(task.load().split(task.n_validation).train)
    calls = {"whole": make_whole_tensor_epoch(task, images, labels), "loader": make_data_loader_epoch(images, labels)}
    traces = measure_latency(calls, Plan(n_rounds=N_ROUNDS), pin=CpuHopper())
    ratios = [b / a for a, b in zip(traces["whole"].wall_s, traces["loader"].wall_s, strict=True)]
    whole_s, loader_s = (median(traces[name].wall_s) for name in ("whole", "loader"))
    ordered = sorted(ratios)
    print(  # noqa: T201 - the figure is what this session is for
        f"\nepoch: whole tensors {1e3 * whole_s:.1f} ms, DataLoader {1e3 * loader_s:.1f} ms, "
        f"median ratio of {N_ROUNDS} rounds {median(ratios):.2f}, quartiles "
        f"{ordered[N_ROUNDS // 4]:.2f} to {ordered[3 * N_ROUNDS // 4]:.2f}"
    )
    assert median(ratios) >= 1.8
