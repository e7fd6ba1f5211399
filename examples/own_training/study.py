"""A training loop of your own: `dlmi-bench run study.py --report`, then `dlmi-bench claims`."""

from typing import Any

import numpy as np
import torch
from torch import nn

import dlmi_bench as db


def draw(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw SYNTHETIC images: a bar, upright or lying, in noise."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(2, size=n)
    images = rng.normal(0, 1, (n, 1, 16, 16)).astype(np.float32)
    for image, label, place in zip(images, labels, rng.integers(3, 13, n), strict=True):
        (image[0] if label else image[0].T)[place] += 0.8
    return images, labels


def make_cnn(n_classes: int) -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(1, 8, 7, padding=3), nn.ReLU(), nn.AdaptiveMaxPool2d(4)),
        *(nn.Flatten(), nn.Linear(128, n_classes)),
    )


def fit(network: nn.Module, splits: Any, seed: int, report: Any) -> None:
    """Train by SGD and mixup, and stop when validation has not improved for five passes."""
    images, labels = torch.from_numpy(splits.train.images), torch.from_numpy(splits.train.labels)
    optimiser = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
    rng, best, n_worse = np.random.default_rng(seed), 0.0, 0  # torch is seeded before fit is called
    while n_worse < 5:
        network.train()
        for batch in torch.randperm(len(images)).split(32):
            other = batch[torch.randperm(len(batch))]
            share = float(rng.beta(0.2, 0.2))
            scores = network(share * images[batch] + (1 - share) * images[other])
            loss = share * nn.functional.cross_entropy(scores, labels[batch])
            loss = loss + (1 - share) * nn.functional.cross_entropy(scores, labels[other])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        accuracy = report(train_loss=loss.item())  # the clock stands still meanwhile
        best, n_worse = max(best, accuracy), 0 if accuracy > best else n_worse + 1


MODELS = {"recipe": make_cnn, "own-loop": db.Model(make_cnn, fit=fit)}
TASKS = {
    "bars": db.Task.from_arrays(*draw(1200, seed=0), name="bars", class_names=("lying", "upright"), is_synthetic=True)
}
SUITE = db.Suite(n_seeds=3, n_processes=3, n_rounds=30, backends=("onnxruntime",), energy_window_s=1.0)
CLAIMS = "claims.toml"
