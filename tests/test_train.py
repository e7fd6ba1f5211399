"""Training to a target: stopwatches, censoring, reproducibility, the closed test split."""

import numpy as np
import pytest
import torch
from torch import nn

from dlmi_bench.selftest.learners import run_script
from dlmi_models import MODELS
from dlmi_tasks import get_task
from dlmi_tasks.recipe import Recipe
from dlmi_tasks.spec import Arrays, Dataset, HeldOut, Splits
from dlmi_tasks.training.distortion import distort
from dlmi_tasks.training.loop import evaluate, train
from dlmi_tasks.usps.task import DISTORTION
from stand_ins import FakeClock


@pytest.fixture(scope="module")
def splits() -> Splits:
    task = get_task("usps")
    return task.load().split(task.n_validation)


def test_split_is_exact_stratified_and_disjoint(splits: Splits) -> None:
    """1 000 of 7 291 examples go to validation, each class gives its share within one, and nothing is in both."""
    assert (len(splits.train), len(splits.validation)) == (6291, 1000)
    shares = np.bincount(splits.validation.labels) / np.bincount(
        np.concatenate([splits.train.labels, splits.validation.labels])
    )
    assert np.abs(shares * 7291 / 1000 - 1).max() < 0.02
    together = np.concatenate([splits.train.images, splits.validation.images])
    official = get_task("usps").load().train.images
    assert sorted(image.tobytes() for image in together) == sorted(image.tobytes() for image in official)


def test_test_split_opens_once_for_each_artifact() -> None:
    """A second look with the same artifact is refused, and the looks are counted."""
    held = HeldOut(Arrays(np.zeros((1, 1, 2, 2), np.float32), np.zeros(1, np.int64)))
    held.read("a")
    held.read("b")
    with pytest.raises(ValueError, match="already read"):
        held.read("a")
    assert held.reads == {"a": 1, "b": 1}


def test_same_seed_same_weights_bit_for_bit(splits: Splits) -> None:
    """Two trainings from one seed end in identical weights; another seed ends elsewhere."""
    task, recipe = get_task("usps"), Recipe(n_epochs=2)

    def weights(seed: int) -> torch.Tensor:
        run = train(MODELS["mlp-24-16"].build, splits, task, recipe, seed=seed)
        return torch.cat([p.flatten() for p in run.network.parameters()])

    assert torch.equal(weights(5), weights(5))
    assert not torch.equal(weights(5), weights(6))


def test_training_does_not_open_the_test_split(splits: Splits) -> None:
    """Selection and stopping look at validation only."""
    before = dict(splits.test.reads)
    train(MODELS["softmax"].build, splits, get_task("usps"), Recipe(n_epochs=1), seed=1)
    assert splits.test.reads == before


def test_time_to_target_is_the_first_evaluation_that_meets_it(clock: FakeClock) -> None:
    """A learner that meets 95 % after three epochs of 2 s took 6 s, 3 epochs and 60 samples; training goes on."""
    run = run_script([0.5, 0.9, 0.95, 0.9, 1.0], clock)
    assert (run.time_to_target_s, run.epochs_to_target, run.samples_to_target) == (6.0, 3, 60)
    assert (run.training_s, run.evaluation_s, run.n_epochs) == (10.0, 2.5, 5)
    assert run.curve[-1].validation_accuracy == 1.0


def test_learner_that_stalls_is_censored(clock: FakeClock) -> None:
    """A learner that never gets there has no time to target, and its whole training time is kept."""
    run = run_script([0.5, 0.85, 0.9], clock)
    assert run.time_to_target_s is None
    assert run.epochs_to_target is None
    assert run.training_s == 6.0


def test_learner_that_diverges_is_censored(clock: FakeClock) -> None:
    """Scores that are no numbers meet no target, though a class would be chosen from them."""
    run = run_script([0.5, float("nan"), float("nan")], clock)
    assert run.time_to_target_s is None
    assert run.training_s == 6.0


def test_time_limit_stops_and_says_so(clock: FakeClock) -> None:
    """Over the limit the training ends after the epoch, is evaluated once more and marked."""
    run = run_script([0.5] * 10, clock, time_limit_s=5.0)
    assert run.is_timed_out
    assert run.n_epochs == 3
    assert len(run.curve) == 3


def test_evaluation_is_exact() -> None:
    """3 of 4 right is 0.75."""
    images = np.eye(4, dtype=np.float32).reshape(4, 1, 2, 2)
    network = nn.Flatten()
    accuracy, _ = evaluate(network, Arrays(images, np.array([0, 1, 2, 0])))
    assert accuracy == 0.75


def test_distortion_keeps_background_and_moves_little() -> None:
    """An empty image stays empty; a centred blob moves by about a pixel at most; equal seeds give equal images."""
    empty = torch.full((3, 1, 16, 16), -1.0)
    assert torch.allclose(distort(empty, DISTORTION, torch.Generator().manual_seed(0)), empty, atol=1e-5)
    blob = empty.clone()
    blob[:, :, 7:9, 7:9] = 1.0
    moved = distort(blob, DISTORTION, torch.Generator().manual_seed(1))
    assert torch.equal(moved, distort(blob, DISTORTION, torch.Generator().manual_seed(1)))
    mass = moved[:, 0] + 1
    places = torch.arange(16.0)
    centre = (mass.sum(1) * places).sum(1) / mass.sum((1, 2))
    assert (centre - 7.5).abs().max() < DISTORTION.shift_pixels + 0.5
    assert not torch.allclose(moved[0], moved[1])


def test_hashes_tell_data_apart() -> None:
    """The hash of an array changes with its last bit, those of the others stay."""
    arrays = Arrays(np.zeros((2, 1, 2, 2), np.float32), np.zeros(2, np.int64))
    other = Arrays(arrays.images + np.float32(1e-6), arrays.labels)
    first = Dataset("x", "s", arrays, arrays, is_synthetic=False, note="")
    second = Dataset("x", "s", other, arrays, is_synthetic=False, note="")
    assert first.sha256["train_images"] != second.sha256["train_images"]
    assert first.sha256["test_images"] == second.sha256["test_images"]
