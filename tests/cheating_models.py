"""Models for a referee: two honest ones, and one for each way of cheating. Named FILE.py:NAME on the command line."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dlmi_bench import Model

N_EPOCHS = 3


def learn(network: nn.Module, splits: Any, seed: int, report: Any) -> None:
    """Train by AdamW for three epochs, on what a fit is given."""
    step_through(network, splits.train.images, splits.train.labels)


def step_through(network: nn.Module, images: Any, labels: Any, n_epochs: int = N_EPOCHS) -> None:
    network.train()
    x, y = torch.from_numpy(images), torch.from_numpy(labels)
    optimiser = torch.optim.AdamW(network.parameters(), lr=3e-3)
    for _ in range(n_epochs):
        for batch in torch.randperm(len(y)).split(64):
            loss = F.cross_entropy(network(x[batch]), y[batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()


def make_mlp() -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), nn.Linear(256, 24), nn.ReLU(), nn.Linear(24, 10))


def make_cnn() -> nn.Sequential:
    layers = nn.Conv2d(1, 8, 5, stride=2), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(288, 10)
    return nn.Sequential(*layers)


def read_official_test(network: nn.Module, splits: Any, seed: int, report: Any) -> None:
    """Learn the test images of the task, as the suite itself loads them."""
    from dlmi_tasks import get_task

    test = get_task("usps").load().test
    step_through(network, test.images, test.labels)
    learn(network, splits, seed, report)


def read_other_version(network: nn.Module, splits: Any, seed: int, report: Any) -> None:
    """Learn the test images of the other version of the same digits."""
    from dlmi_tasks.usps.data import load_usps

    test = load_usps("usps-libsvm").test
    step_through(network, test.images, test.labels)
    learn(network, splits, seed, report)


def fix_seed(network: nn.Module, splits: Any, seed: int, report: Any) -> None:
    """Train with the seed that came out best, whatever seed is given."""
    torch.manual_seed(0)
    for layer in network.modules():
        if isinstance(layer, nn.Linear):
            layer.reset_parameters()
    learn(network, splits, seed, report)


class Hidden(nn.Module):
    """Numbers that are no parameters: an attribute, and a buffer that no state dict shows."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.features = torch.randn(64, 256, generator=generator) / 16
        self.register_buffer("shift", torch.randn(64, generator=generator), persistent=False)
        self.head = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.relu(F.linear(x.flatten(1), self.features) + self.shift))


class Growing(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head: nn.Module = nn.Linear(256, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x.flatten(1))


def grow(network: nn.Module, splits: Any, seed: int, report: Any) -> None:
    """Put a hidden layer where there was none when the network was counted."""
    network.head = nn.Sequential(nn.Linear(256, 32), nn.ReLU(), nn.Linear(32, 10))
    learn(network, splits, seed, report)


def find_weights(suffix: str) -> Path:
    return Path(__file__).with_name(f"weights{suffix}")


def read_array(network: nn.Module, splits: Any, seed: int, report: Any) -> None:
    """Begin from an array beside the source."""
    with torch.no_grad():
        network[3].bias += torch.from_numpy(np.load(find_weights(".npy")))
    learn(network, splits, seed, report)


def read_natively(network: nn.Module, splits: Any, seed: int, report: Any) -> None:
    """Begin from a file that a library opens without Python's help."""
    from safetensors.torch import load_file

    with torch.no_grad():
        network[3].bias += load_file(find_weights(".safetensors"))["bias"]
    learn(network, splits, seed, report)


class Reading(nn.Module):
    """Reads numbers in each forward."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(256, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x.flatten(1)) + torch.from_numpy(np.load(find_weights(".npy")))


def start_process(network: nn.Module, splits: Any, seed: int, report: Any) -> None:
    """Let another process do the work."""
    import subprocess
    import sys

    subprocess.run([sys.executable, "-c", ""], check=True)
    learn(network, splits, seed, report)


honest_mlp = Model(make_mlp, fit=learn)
honest_cnn = Model(make_cnn, fit=learn)
official_test = Model(make_mlp, fit=read_official_test)
other_version = Model(make_mlp, fit=read_other_version)
fixed_seed = Model(make_mlp, fit=fix_seed)
hidden = Model(Hidden, fit=learn)
growing = Model(Growing, fit=grow)
array = Model(make_mlp, fit=read_array)
native = Model(make_mlp, fit=read_natively)
reading = Model(Reading, fit=learn)
process = Model(make_mlp, fit=start_process)
