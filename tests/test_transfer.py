"""Where networks start: pretrained trunks, frozen ones, and what training does to them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dlmi_models import MODELS
from dlmi_tasks import get_task
from dlmi_tasks.recipe import Recipe
from dlmi_tasks.spec import Arrays, HeldOut, Pool, Splits, Task
from dlmi_tasks.training.loop import train
from dlmi_tasks.training.start import begin, load_start

RNG = np.random.default_rng(0)
SHORT = Recipe(n_epochs=2, batch_size=8)


@pytest.fixture
def task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Task:
    """The SPECT task with a pool of twelve noise images and a cache of its own."""
    monkeypatch.setenv("DLMI_BENCH_CACHE", str(tmp_path))
    pool = Pool(RNG.normal(size=(12, 1, 50, 50)).astype(np.float32), RNG.normal(size=(12, 4)).astype(np.float32))
    return replace(get_task("spect"), load_pool=lambda: pool)


def make_splits() -> Splits:
    arrays = Arrays(RNG.normal(size=(12, 1, 50, 50)).astype(np.float32), np.arange(12) % 3)
    return Splits(arrays, arrays, HeldOut(arrays))


def test_pretrained_once_then_kept(task: Task, tmp_path: Path) -> None:
    """The second call reads what the first one trained; the fine-tuned and the frozen arm share it."""
    shares: list[float] = []
    first = load_start(MODELS["vit-c+synthetic"], task, lambda _, share: shares.append(share))
    second = load_start(MODELS["vit-c+synthetic-frozen"], task, lambda _, share: shares.append(share))
    assert first is not None
    assert second is not None
    assert first.sha256 == second.sha256
    assert first.training_s == second.training_s
    assert shares == [epoch / len(shares) for epoch in range(1, len(shares) + 1)]
    assert len(list((tmp_path / "data").glob("start-*.npz"))) == 1
    assert load_start(MODELS["vit-c"], task) is None


def test_trunk_is_taken_and_head_is_new(task: Task) -> None:
    """Every weight but the last layer's equals the start's; the head has three classes, not four targets."""
    entry = MODELS["resnet-c+synthetic"]
    start = load_start(entry, task)
    assert start is not None
    network = begin(entry, task, start)
    weights = network.state_dict()
    assert all(torch.equal(weights[name], w) for name, w in start.weights.items())
    assert set(weights) - set(start.weights) == {"out.weight", "out.bias"}
    assert weights["out.bias"].shape == (3,)


@pytest.mark.parametrize(("arm", "is_fixed"), [("vgg16-c+synthetic-frozen", True), ("vgg16-c+synthetic", False)])
def test_frozen_trunk_stays_to_the_last_bit(task: Task, arm: str, is_fixed: bool) -> None:
    """Frozen: weights and statistics of the trunk stay, the head moves. Fine-tuned: both move."""
    start = load_start(MODELS[arm], task)
    assert start is not None
    run = train(lambda: begin(MODELS[arm], task, start), make_splits(), task, SHORT, seed=1)
    after = run.network.state_dict()
    trunk = [torch.equal(after[name], w) for name, w in start.weights.items() if "num_batches" not in name]
    assert all(trunk) if is_fixed else not any(trunk)
    torch.manual_seed(1)
    assert not torch.equal(after["out.weight"], begin(MODELS[arm], task, start).state_dict()["out.weight"])


def test_arms_of_one_seed_see_the_same_order(task: Task) -> None:
    """Shuffling and distortions come from a generator of their own: a start that draws nothing shifts nothing."""
    runs = [train(MODELS["vgg16-c"].build, make_splits_once(), task, SHORT, seed=3) for _ in range(2)]
    first, second = (run.network.state_dict() for run in runs)
    assert all(torch.equal(first[name], second[name]) for name in first)


def make_splits_once() -> Splits:
    rng = np.random.default_rng(5)
    arrays = Arrays(rng.normal(size=(12, 1, 50, 50)).astype(np.float32), np.arange(12) % 3)
    return Splits(arrays, arrays, HeldOut(arrays))
