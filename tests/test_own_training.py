"""Training by the user's own function, weights of the classes, and examples that are read as they are needed."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dlmi_bench.errors import UsageError
from dlmi_tasks import get_task
from dlmi_tasks.recipe import Recipe
from dlmi_tasks.spec import Arrays, Distortion, HeldOut, Splits, Target, Task
from dlmi_tasks.training.distortion import distort
from dlmi_tasks.training.loop import train
from dlmi_tasks.training.own import OpenSplits, Report, train_own
from dlmi_tasks.training.source import weigh_classes
from stand_ins import FakeClock

RNG = np.random.default_rng(0)
LABELS = np.arange(60) % 3
IMAGES = RNG.normal(size=(60, 1, 4, 4)).astype(np.float32)
IMAGES[np.arange(60), 0, 0, LABELS] += 9
ARRAYS = Arrays(IMAGES, LABELS)
SPLITS = Splits(ARRAYS.take(np.arange(40)), ARRAYS.take(np.arange(40, 60)), HeldOut(ARRAYS))
TASK: Task = replace(
    get_task("usps"), class_names=("a", "b", "c"), input_shape=(1, 4, 4), target=Target(0.9), distortion=None
)


def build() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 3))


def step(network: nn.Module, splits: OpenSplits, rate: float = 0.5) -> None:
    """One step of gradient descent on the whole training split."""
    assert isinstance(splits.train, Arrays)
    images, labels = torch.from_numpy(splits.train.images), torch.from_numpy(splits.train.labels)
    loss = nn.functional.cross_entropy(network(images), labels)
    gradients = torch.autograd.grad(loss, list(network.parameters()))
    with torch.no_grad():
        for weight, gradient in zip(network.parameters(), gradients, strict=True):
            weight -= rate * gradient


def run(fit: Any, clock: FakeClock | None = None, task: Task = TASK) -> Any:
    return train_own(build, SPLITS, task, fit, seed=3, clock=clock)


def test_clock_stands_still_while_a_report_evaluates(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three passes of 2 s, each with an evaluation of 5 s: 6 s of training, 15 s and a last look of evaluation."""
    evaluate = __import__("dlmi_tasks.training.own", fromlist=["evaluate"]).evaluate

    def slow(*arguments: Any) -> Any:
        clock.work(5 * 10**9)
        return evaluate(*arguments)

    monkeypatch.setattr("dlmi_tasks.training.own.evaluate", slow)

    def fit(network: nn.Module, splits: OpenSplits, seed: int, report: Report) -> None:
        assert seed == 3
        for epoch in range(3):
            clock.work(2 * 10**9)
            step(network, splits)
            accuracy = report(train_loss=0.5, n_samples=40 * (epoch + 1))
            assert 0 <= accuracy <= 1

    made = run(fit, clock)
    assert (made.training_s, made.evaluation_s) == (pytest.approx(6), pytest.approx(20))
    assert [e.training_s for e in made.curve] == pytest.approx([2, 4, 6])
    assert (made.n_epochs, made.n_samples, made.curve[0].train_loss) == (3, 120, 0.5)


def test_time_to_target_is_that_of_the_first_report_that_meets_it(clock: FakeClock) -> None:
    """Found in the reports; without a target there is none."""

    def fit(network: nn.Module, splits: OpenSplits, _: int, report: Report) -> None:
        report()  # of the fresh network
        for _epoch in range(30):
            clock.work(10**9)
            step(network, splits)
            report()

    made = run(fit, clock)
    first = next(e for e in made.curve if e.validation_accuracy >= 0.9)
    assert made.time_to_target_s == first.training_s > 0
    assert run(fit, clock, replace(TASK, target=None)).time_to_target_s is None


def test_weights_that_no_report_saw_are_evaluated(clock: FakeClock) -> None:
    """A function that never reports has one point on its curve: the end."""
    made = run(lambda network, splits, seed, report: step(network, splits), clock)
    assert (len(made.curve), made.n_samples) == (1, None)


def test_time_limit_ends_the_function(clock: FakeClock) -> None:
    """At its first report after the limit; what it had done counts."""

    def fit(network: nn.Module, splits: OpenSplits, _: int, report: Report) -> None:
        while True:
            clock.work(10**9)
            step(network, splits)
            report()

    made = run(fit, clock, replace(TASK, time_limit_s=4.5))
    assert (made.is_timed_out, made.training_s) == (True, pytest.approx(5))


def test_same_seed_same_weights() -> None:
    """The function draws from torch, numpy or random: all three are seeded."""
    import random

    def fit(network: nn.Module, *_: Any) -> None:
        with torch.no_grad():
            for weight in network.parameters():
                weight += torch.rand_like(weight) + np.random.rand() + random.random()  # noqa: NPY002

    first, second = run(fit).network, run(fit).network
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def read_test(network: nn.Module, splits: OpenSplits, *_: Any) -> None:
    splits.test  # noqa: B018


FAULTS = {
    "reads splits.test": read_test,
    "returned another Sequential": lambda network, splits, *_: (step(network, splits), build())[1],
    "changed no weight": lambda *_: None,
    r"test_own_training\.py, line \d+: ZeroDivisionError": lambda *_: 1 // 0,
    "cannot be called with four arguments: too many": lambda network, splits, seed: None,
}


@pytest.mark.parametrize("words", FAULTS)
def test_fit_that_breaks_the_rules_is_refused(words: str) -> None:
    """It reads the test split, returns another network, trains on nothing, fails, takes other arguments."""
    with pytest.raises(UsageError, match=words):
        run(FAULTS[words])


def test_nothing_that_a_fit_is_given_leads_to_the_test_split() -> None:
    """Neither the splits nor the report, nor what they hold in turn, are or hold a HeldOut."""
    seen: list[object] = []

    def fit(network: nn.Module, splits: OpenSplits, _: int, report: Report) -> None:
        todo: list[object] = [splits, report]
        while todo:
            value = todo.pop()
            if not any(value is other for other in seen):
                seen.append(value)
                todo += vars(value).values() if hasattr(value, "__dict__") and not isinstance(value, type) else []
        step(network, splits)

    run(fit, task=replace(TASK, load=len))
    assert any(value is SPLITS.train for value in seen)
    assert not any(isinstance(value, HeldOut) for value in seen)


def test_balanced_classes_weigh_the_inverse_of_their_frequency() -> None:
    """6, 3 and 1 of ten: 10/18, 10/9 and 10/3; weights that are given are taken."""
    labels = np.repeat([0, 1, 2], [6, 3, 1])
    weights = weigh_classes(labels, Recipe(n_epochs=1, class_weights="balanced"), 3)
    assert weights is not None
    assert weights.tolist() == pytest.approx([10 / 18, 10 / 9, 10 / 3])
    given = weigh_classes(labels, Recipe(n_epochs=1, class_weights=(1.0, 2.0, 4.0)), 3)
    assert given is not None
    assert given.tolist() == [1, 2, 4]
    assert weigh_classes(labels, Recipe(n_epochs=1), 3) is None


def test_last_batch_of_one_is_refused_where_batches_are_normalised() -> None:
    """33 examples in batches of 32 leave one, which has no spread; without normalisation it is trained on."""
    splits = replace(SPLITS, train=ARRAYS.take(np.arange(33)))
    recipe = Recipe(n_epochs=1, batch_size=32, augmentation="none")
    normalised = lambda: nn.Sequential(nn.BatchNorm2d(1), build())  # noqa: E731
    with pytest.raises(UsageError, match="of 33 examples in batches of 32 the last has one") as caught:
        train(normalised, splits, TASK, recipe, seed=0)
    assert "batch_size=31" in caught.value.remedy
    assert train(build, splits, TASK, recipe, seed=0).n_samples == 33


@pytest.mark.parametrize("name", ["n_epochs", "batch_size", "peak_lr"])
def test_recipe_that_trains_nothing_is_refused(name: str) -> None:
    """No epoch, no example in a batch, no step: each is said when the recipe is written."""
    with pytest.raises(UsageError, match=f"{name} is 0"):
        Recipe(**({"n_epochs": 1} | {name: 0}))  # type: ignore[arg-type]


class ListStream:
    """A stream over arrays, which counts what is read."""

    loading = "read one by one"

    def __init__(self, arrays: Arrays) -> None:
        self.arrays, self.labels, self.groups, self.n_read = arrays, arrays.labels, None, 0

    def __len__(self) -> int:
        return len(self.arrays)

    def head(self, n: int) -> Arrays:
        return self.arrays.take(np.arange(n))

    def iterate(self, size: int, generator: torch.Generator | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        n = len(self.arrays)
        order = torch.randperm(n, generator=generator) if generator else torch.arange(n)
        for part in order.split(size):
            self.n_read += len(part)
            chosen = self.arrays.take(part.numpy())
            yield torch.from_numpy(chosen.images), torch.from_numpy(chosen.labels)


def test_stream_trains_the_same_weights_as_arrays() -> None:
    """Read batch by batch in the order of the same generator, each epoch all of it."""
    recipe = Recipe(n_epochs=3, batch_size=16, augmentation="none")
    stream = ListStream(SPLITS.train)  # type: ignore[arg-type]
    whole = train(build, SPLITS, TASK, recipe, seed=1).network
    read = train(build, replace(SPLITS, train=stream), TASK, recipe, seed=1).network
    assert stream.n_read == 3 * 40
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), read.parameters(), strict=True))


QUARTER = Distortion(np.pi / 2, scale=0.0, shear=0.0, shift_pixels=0.0, background=0.0)


def turn(images: Tensor, monkeypatch: pytest.MonkeyPatch) -> Tensor:
    """Turned by a quarter, which is the largest angle of QUARTER."""
    monkeypatch.setattr(torch, "rand", lambda *shape, **_: torch.ones(shape))
    return distort(images, QUARTER, torch.Generator())


def test_rotation_keeps_shapes_in_images_that_are_no_squares(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bar of 1 x 5 pixels in the middle of 9 x 21 stands upright after a quarter turn: 5 x 1, not stretched."""
    image = torch.zeros(1, 1, 9, 21)
    image[0, 0, 4, 8:13] = 1
    turned = turn(image, monkeypatch)
    expected = torch.zeros(1, 1, 9, 21)
    expected[0, 0, 2:7, 10] = 1
    assert torch.allclose(turned, expected, atol=1e-5)


def test_slices_of_a_volume_move_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each slice of a volume is turned as an image of its own would be."""
    volume = torch.rand(2, 1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    turned = turn(volume, monkeypatch)
    for depth in range(3):
        assert torch.allclose(turned[:, :, depth], turn(volume[:, :, depth], monkeypatch), atol=1e-6)
