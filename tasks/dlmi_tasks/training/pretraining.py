"""A trunk trained on the task's pool: other examples with continuous targets. Once for each architecture, then kept."""

import hashlib
import time
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from dlmi_models import ModelEntry
from dlmi_tasks.files.archives import Progress
from dlmi_tasks.files.cache import compute_key, load_or_make
from dlmi_tasks.recipe import Recipe
from dlmi_tasks.spec import Pool, Task
from dlmi_tasks.training.compression.stages import Stage
from dlmi_tasks.training.loop import Loop, set_seed
from dlmi_tasks.training.source import InMemory
from dlmi_tasks.training.weights import Tensors

POOL_RECIPE = Recipe(n_epochs=30, peak_lr=3e-3, weight_decay=0.05, batch_size=32)
POOL_SEED = 20261123
HEAD = "out."


def pretrain(entry: ModelEntry, task: Task, on_epoch: Progress | None = None) -> tuple[Tensors, float]:
    """Weights of the trunk, and how long it took to train them where they were made [s]."""
    assert task.load_pool is not None, f"{task.name} has no pool to pretrain on"
    pool = task.load_pool()
    arrays = load_or_make(_name_start(entry, task, pool), partial(_fit_pool, entry, task, pool, on_epoch))
    weights = {name: torch.from_numpy(a) for name, a in arrays.items() if name != "training_s"}
    return weights, float(arrays["training_s"])


def _fit_pool(entry: ModelEntry, task: Task, pool: Pool, on_epoch: Progress | None) -> dict[str, np.ndarray[Any, Any]]:
    """Regress the pool's targets on its images."""
    set_seed(POOL_SEED)
    generator = torch.Generator().manual_seed(POOL_SEED)
    images, targets = torch.from_numpy(pool.images), torch.from_numpy(pool.targets)
    targets = (targets - targets.mean(0)) / targets.std(0)
    network = entry.build(pool.images.shape[1:], targets.shape[1], is_frozen=False)
    loop = Loop(network, Stage(POOL_RECIPE), len(images), loss=F.mse_loss)
    source = InMemory(images, targets, POOL_RECIPE.batch_size, task.distortion)
    start_s = time.perf_counter()
    for epoch in range(1, POOL_RECIPE.n_epochs + 1):
        loop.run_epoch(source.iterate(generator))
        if on_epoch:
            on_epoch(epoch, POOL_RECIPE.n_epochs)
    trunk = {name: w.numpy() for name, w in network.state_dict().items() if not name.startswith(HEAD)}
    return trunk | {"training_s": np.array(time.perf_counter() - start_s)}


def _name_start(entry: ModelEntry, task: Task, pool: Pool) -> str:
    """Name that changes with architecture, pool, recipe, version of torch and the code that trains."""
    hashes = [hashlib.sha256(np.ascontiguousarray(a).tobytes()).hexdigest() for a in (pool.images, pool.targets)]
    arguments = sorted(entry.arguments.items())
    parts = (entry.factory, arguments, POOL_RECIPE, POOL_SEED, task.distortion, torch.__version__, hashes)
    modules = (
        entry.module,
        "dlmi_tasks.training.pretraining",
        "dlmi_tasks.training.loop",
        "dlmi_tasks.training.source",
        "dlmi_tasks.training.distortion",
    )
    return f"start-{compute_key(*parts, modules=modules)}"
