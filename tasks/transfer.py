"""Where a network starts: from scratch, or from a trunk that was trained on something else before.

Sources of a start: `synthetic`, the task's own pool of other examples with continuous targets; `imagenet`, published
weights. The last layer, `out`, is always new.
"""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models import ModelEntry
from tasks.kept import compute_key, load_or_make
from tasks.spec import Pool, Recipe, Task
from tasks.train import Loop, set_seed

Weights = dict[str, Tensor]
OnEpoch = Callable[[int, int], None]

POOL_RECIPE = Recipe(n_epochs=30, peak_lr=3e-3, weight_decay=0.05, batch_size=32)
POOL_SEED = 20261123
HEAD = "out."


@dataclass(frozen=True)
class Start:
    """Weights of a trunk and where they come from. `training_s` is what they cost; None where others paid for it."""

    source: str
    weights: Weights
    sha256: str
    training_s: float | None = None


def load_start(entry: ModelEntry, task: Task, on_epoch: OnEpoch | None = None) -> Start | None:
    """The trunk that the entry asks for; None from scratch.

    Raises:
        UsageError, DataError, FetchError: the weights cannot be had; says what to do.
    """
    if entry.start == "synthetic":
        return _pretrain(entry, task, on_epoch)
    return None


def begin(entry: ModelEntry, start: Start | None) -> nn.Module:
    """A network whose trunk has the start's weights and whose last layer is new; seed torch first."""
    network = entry.build()
    if start:
        missing, unexpected = network.load_state_dict(start.weights, strict=False)
        strange = [*unexpected, *(name for name in missing if not name.startswith(HEAD))]
        assert not strange, f"weights of {start.source} do not fit: {', '.join(strange)}"
    return network


def _pretrain(entry: ModelEntry, task: Task, on_epoch: OnEpoch | None) -> Start:
    """Trained once for each architecture and pool, then kept."""
    assert task.load_pool is not None, f"{task.name} has no pool to pretrain on"
    pool = task.load_pool()
    make = partial(_fit_pool, entry, task, pool, on_epoch)
    arrays = load_or_make(_name_start(entry, task, pool), make)
    weights = {name: torch.from_numpy(a) for name, a in arrays.items() if name != "training_s"}
    return Start("synthetic", weights, compute_sha256(weights), float(arrays["training_s"]))


def _fit_pool(entry: ModelEntry, task: Task, pool: Pool, on_epoch: OnEpoch | None) -> dict[str, np.ndarray[Any, Any]]:
    """Regress the pool's targets on its images; the weights of the trunk, and how long it took."""
    set_seed(POOL_SEED)
    generator = torch.Generator().manual_seed(POOL_SEED)
    images, targets = torch.from_numpy(pool.images), torch.from_numpy(pool.targets)
    targets = (targets - targets.mean(0)) / targets.std(0)
    network = entry.build(is_frozen=False, n_classes=targets.shape[1])
    loop = Loop(network, POOL_RECIPE, task.distortion, len(images), loss=F.mse_loss)
    start_s = time.perf_counter()
    for epoch in range(POOL_RECIPE.n_epochs):
        loop.run_epoch(images, targets, generator)
        if on_epoch:
            on_epoch(epoch + 1, POOL_RECIPE.n_epochs)
    trunk = {name: w.numpy() for name, w in network.state_dict().items() if not name.startswith(HEAD)}
    return trunk | {"training_s": np.array(time.perf_counter() - start_s)}


def _name_start(entry: ModelEntry, task: Task, pool: Pool) -> str:
    """Changes with architecture, pool, recipe, version of torch and the code that trains."""
    hashes = [hashlib.sha256(np.ascontiguousarray(a).tobytes()).hexdigest() for a in (pool.images, pool.targets)]
    arguments = sorted(entry.arguments.items())
    parts = (entry.factory, arguments, POOL_RECIPE, POOL_SEED, task.distortion, torch.__version__, hashes)
    modules = (entry.module, "tasks.transfer", "tasks.train", "tasks.augment")
    return f"start-{compute_key(*parts, modules=modules)}"


def compute_sha256(weights: Weights) -> str:
    """Over names and values, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(name.encode() + weights[name].contiguous().numpy().tobytes())
    return digest.hexdigest()
