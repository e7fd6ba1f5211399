"""Training compact nets: zeros that stay, weights on grids, answers of teachers, and what a recipe says of it."""

import json
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dlmi_bench.errors import UsageError
from dlmi_models import MODELS, ModelEntry
from dlmi_models.arms import Step
from dlmi_models.own import Model
from dlmi_tasks import get_task
from dlmi_tasks.recipe import Distillation, FineTuning, Pruning, Recipe
from dlmi_tasks.spec import Arrays, HeldOut, Splits, Task
from dlmi_tasks.training.compression import distillation
from dlmi_tasks.training.compression.bits import Grid, attach, bake
from dlmi_tasks.training.compression.distillation import Teaching, find_teaching, load_teaching
from dlmi_tasks.training.compression.pruning import Masks, Pruner, list_weights
from dlmi_tasks.training.loop import train
from dlmi_tasks.training.optimisers import Optimisers
from dlmi_tasks.training.start import begin


def make_arrays(n: int, seed: int) -> Arrays:
    """Four classes: the bright quarter of an image of 8x8."""
    random = np.random.default_rng(seed)
    labels = np.arange(n) % 4
    images = random.normal(0, 0.3, (n, 1, 8, 8)).astype(np.float32)
    for image, label in zip(images, labels, strict=True):
        image[0, 4 * (label // 2) :, 4 * (label % 2) :][:4, :4] += 1
    return Arrays(images, labels)


@pytest.fixture
def task() -> Task:
    recipe = Recipe(n_epochs=5, peak_lr=1e-2, batch_size=32, augmentation="none")
    return replace(
        get_task("usps"), name="quarters", input_shape=(1, 8, 8), class_names=tuple("abcd"), recipes={"*": recipe}
    )


@pytest.fixture
def splits() -> Splits:
    return Splits(make_arrays(256, 0), make_arrays(64, 1), HeldOut(make_arrays(64, 2)))


def learn(name: str, splits: Splits, task: Task, **changes: Any) -> Any:
    entry, recipe = MODELS[name], replace(task.recipe(name), **changes)
    teaching = find_teaching(entry, splits, task, recipe)
    return train(partial(begin, entry, task, None), splits, task, recipe, seed=3, steps=entry.steps, teaching=teaching)


def test_pruning_ends_with_exact_zeros(splits: Splits, task: Task) -> None:
    """As many weights as asked are left over all layers; biases are not counted."""
    network = learn("mlp-24-16+pruned-100", splits, task).network
    assert sum(int(weight.count_nonzero()) for weight in list_weights(network)) == 100
    assert not any((weight.signbit() & (weight == 0)).any() for weight in network.parameters())  # a zero is one number
    share = learn("cnn-4+pruned-0.25", splits, task).network
    assert sum(int(w.count_nonzero()) for w in list_weights(share)) == round(0.25 * (36 + 288 + 576 + 4 * 8 * 4))


def test_pruner_takes_the_least_by_the_cubic_schedule() -> None:
    """100 weights from 1 to 100; half-way between begin and end 1/8 of those to go are still there."""
    layer = nn.Linear(100, 1, bias=False)
    layer.weight.data = torch.arange(1.0, 101.0)[None]
    pruner = Pruner(layer, Step("pruned", 20), Pruning(0.0, 0.5), n_steps=64)
    for _ in range(16):
        pruner()
    assert torch.equal(layer.weight[0].nonzero()[:, 0], torch.arange(70, 100))  # 20 + 80 / 8 are left
    for _ in range(16):
        pruner()
    assert torch.equal(layer.weight[0].nonzero()[:, 0], torch.arange(80, 100))


def test_masks_outlive_the_momentum() -> None:
    """Without the mask AdamW moves a weight that was set to zero; with it the weight stays exactly zero."""
    layer = nn.Linear(4, 1, bias=False)
    optimisers = Optimisers(layer, Recipe(n_epochs=1), n_steps=10)

    def step() -> None:
        layer(torch.ones(1, 4)).sum().backward()
        optimisers.step()

    step()
    layer.weight.data[0, 0] = 0
    masks = Masks([layer.weight])
    step()
    assert layer.weight[0, 0] != 0
    masks()
    assert layer.weight[0, 0] == 0
    assert layer.weight[0, 1] != 0


@pytest.mark.parametrize(("word", "n_largest"), [("int8", 127), ("int4", 7), ("int3", 3), ("ternary", 1)])
def test_trained_weights_are_multiples_of_a_scale(word: str, n_largest: int, splits: Splits, task: Task) -> None:
    """Each unit's weights are whole multiples, up to the largest, of a number of float16; so are biases."""
    run = learn(f"cnn-4+{word}", splits, task, fine_tuning=FineTuning(2, 1e-3))
    for weight in list_weights(run.network):
        for unit in weight.detach().flatten(1):
            assert is_on_grid(unit, n_largest)
    assert all(torch.equal(b, b.half().float()) for n, b in run.network.named_parameters() if n.endswith("bias"))
    assert run.n_epochs == 7
    assert [e.epoch for e in run.curve] == [1, 2, 3, 4, 5, 6, 7]


def is_on_grid(unit: Tensor, n_largest: int) -> bool:
    """Whether some scale of float16 has all weights as multiples."""
    largest = unit.abs().max()
    scales = [(largest / k).half().float() for k in range(1, n_largest + 1)]
    return any(
        torch.equal((unit / scale).round() * scale, unit) and (unit / scale).round().abs().max() <= n_largest
        for scale in scales
        if scale > 0
    ) or bool(largest == 0)


def test_gradient_passes_the_rounding() -> None:
    """Within the range the gradient of a weight is that of its rounded value; beyond it there is none."""
    grid = Grid(torch.tensor([[1.0, -0.4, 0.2]]), n_largest=1)
    grid.log_scale.data.fill_(0.0)
    weight = torch.tensor([[0.4, -0.6, 5.0]], requires_grad=True)
    rounded = grid(weight)
    assert rounded.tolist() == [[0.0, -1.0, 1.0]]
    (rounded * torch.tensor([[1.0, 10.0, 100.0]])).sum().backward()
    assert weight.grad is not None
    assert weight.grad.tolist() == [[1.0, 10.0, 0.0]]


class Attention(nn.Module):
    """Rows of pixels as tokens; the matrix of its inputs belongs to no layer."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.out = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = x.squeeze(1)  # (batch, 8, 8)
        return self.out(self.attention(x, x, x, need_weights=False)[0].mean(1))


@pytest.mark.parametrize("word", ["int4", "pruned-40", "lowrank-2"])
def test_weights_outside_of_layers_are_made_compact_too(
    word: str, splits: Splits, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All parameters of two or more axes; low rank leaves alone what attention reads itself."""
    entry = ModelEntry("", "", "attention", is_own=True, definition=Model(Attention))
    monkeypatch.setitem(MODELS, "attention", entry)
    network = learn(f"attention+{word}", splits, task, n_epochs=2).network
    weights = list_weights(network)
    assert len(weights) == (4 if word == "lowrank-2" else 3)  # the last layer as two
    if word == "int4":
        assert all(is_on_grid(unit, 7) for weight in weights for unit in weight.detach())
    if word == "pruned-40":
        assert sum(int(weight.count_nonzero()) for weight in weights) == 40


def test_a_network_without_matrices_cannot_be_made_compact() -> None:
    """It would be called compact without being so."""
    with pytest.raises(UsageError, match="no parameter of two or more axes"):
        list_weights(nn.BatchNorm2d(3))


def test_a_unit_without_weights_stays_one() -> None:
    """Pruning may leave a unit nothing; its scale is no number to divide by."""
    layer = nn.Linear(4, 2)
    layer.weight.data[0] = 0
    attach(nn.Sequential(layer), 127)
    assert layer.weight[0].tolist() == [0, 0, 0, 0]
    bake(layer)
    assert layer.weight.isfinite().all()


def test_zeros_of_pruning_outlive_the_bits(splits: Splits, task: Task) -> None:
    """Both ways together: no more nonzero weights than asked, all on grids."""
    network = learn("mlp-24-16+pruned-100+int4", splits, task, fine_tuning=FineTuning(3, 1e-2)).network
    assert 0 < sum(int(weight.count_nonzero()) for weight in list_weights(network)) <= 100
    assert all(is_on_grid(unit, 7) for weight in list_weights(network) for unit in weight.detach())


def test_baking_leaves_plain_modules() -> None:
    """The state dict has the names of the network that was not rounded."""
    network = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    names = [*network.state_dict()]
    attach(network, 7)
    assert [*network.state_dict()] != names
    before = network(torch.ones(1, 4))
    bake(network)
    assert sorted(network.state_dict()) == sorted(names)
    assert torch.allclose(network(torch.ones(1, 4)), before, atol=1e-3)  # biases are rounded only now


def test_target_counts_from_the_compact_network_on(splits: Splits, task: Task) -> None:
    """The dense network reaches the target before it is pruned, which is no hit."""
    target = replace(task.target, validation_accuracy=0.5)  # type: ignore[type-var]
    easy = replace(task, target=target)
    assert learn("mlp-24-16", splits, easy).epochs_to_target < 4
    assert learn("mlp-24-16+pruned-200", splits, easy).epochs_to_target == 4  # after 3 of 5 epochs
    tuned = learn("mlp-24-16+int8", splits, easy, fine_tuning=FineTuning(2, 1e-3))
    assert tuned.epochs_to_target == 6


def make_teaching(**settings: Any) -> Teaching:
    images, answers = torch.rand(6, 1, 8, 8), torch.rand(2, 6, 4).log_softmax(-1)
    return Teaching(images, torch.arange(6) % 4, answers, 2, Distillation(**settings), None, 0.0, "")


def test_loss_of_a_student_by_hand() -> None:
    """A share of the labels' loss, and the rest of the divergence from the teachers at the temperature."""
    scores, labels = torch.rand(6, 4), torch.arange(6) % 4
    teaching = make_teaching(temperature=2.0, weight=0.25)
    targets = torch.cat([labels[:, None].float(), teaching.answers[0]], 1)
    wanted, given = (x.numpy() for x in ((teaching.answers[0] / 2).softmax(1), (scores / 2).softmax(1)))
    divergence = (wanted * np.log(wanted / given)).sum(1).mean() * 4
    expected = 0.25 * divergence + 0.75 * F.cross_entropy(scores, labels).item()
    assert teaching.wrap(F.cross_entropy)(scores, targets).item() == pytest.approx(expected, rel=1e-5)


def test_batches_of_a_student_belong_together() -> None:
    """Each image comes with its own label and its own answers, all of them once."""
    teaching = make_teaching()
    batches = [*teaching.iterate(torch.Generator().manual_seed(0))]
    assert [len(images) for images, _ in batches] == [2, 2, 2]
    images, targets = (torch.cat(parts) for parts in zip(*batches, strict=True))
    place = [int((teaching.images == image).flatten(1).all(1).nonzero()) for image in images]
    assert sorted(place) == list(range(6))
    index = next(i for i in range(2) if torch.equal(targets[:, 1:], teaching.answers[i][place]))
    assert torch.equal(targets, torch.cat([teaching.labels[place, None].float(), teaching.answers[index][place]], 1))


def test_teachers_see_training_examples_alone_and_are_asked_once(
    splits: Splits, task: Task, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """A second student finds the answers kept, with what they cost; other training examples have other answers."""
    monkeypatch.setenv("DLMI_BENCH_CACHE", str(tmp_path))
    seen: list[Splits] = []

    def watch(*args: Any, **options: Any) -> Any:
        seen.append(args[1])
        return train(*args, **options)

    monkeypatch.setattr(distillation, "train", watch)
    recipe = task.recipe("mlp-24-16+distilled-softmax")
    first = load_teaching(splits, task, recipe)
    assert (len(seen), first.answers.shape) == (3, (1, 256, 4))
    assert first.teaching_s > 0
    again = load_teaching(splits, task, recipe)
    assert (len(seen), again.sha256, again.teaching_s) == (3, first.sha256, first.teaching_s)
    load_teaching(replace(splits, train=make_arrays(256, 5)), task, recipe)
    assert len(seen) == 6
    assert splits.test.reads == {}


def test_student_learns_from_its_teachers(
    splits: Splits, task: Task, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """By answers alone, without a label of its own."""
    monkeypatch.setenv("DLMI_BENCH_CACHE", str(tmp_path))
    settings = Distillation(("mlp-24-16",), weight=1.0)
    run = learn("mlp-24-16+distilled", splits, task, n_epochs=10, distillation=settings)
    assert run.curve[-1].validation_accuracy > 0.9


def test_matrices_between_input_and_last_layer_are_muons() -> None:
    """A step of Muon has all singular values alike; AdamW takes biases, kernels and the last layer."""
    torch.manual_seed(0)
    network = MODELS["mlp-24-16"].build()
    before = {name: weight.detach().clone() for name, weight in network.named_parameters()}
    recipe = Recipe(n_epochs=1, optimiser="muon", weight_decay=1e-9)
    optimisers = Optimisers(network, recipe, n_steps=4)
    for weight in network.parameters():
        weight.grad = torch.randn_like(weight) * torch.linspace(1, 100, weight.shape[-1])
    optimisers.step()
    moved = {name: weight.detach() - before[name] for name, weight in network.named_parameters()}
    for name in ("hidden1.weight", "hidden2.weight"):
        values = torch.linalg.svdvals(moved[name])
        assert values.max() < 2 * values.min()
    sizes = moved["out.weight"].abs()
    assert sizes.max() < 1.01 * sizes.min()  # the first step of AdamW is as large for every weight


def test_recipe_says_what_an_arm_needs_and_no_more() -> None:
    """By name, teachers included; the description is plain JSON."""
    task = get_task("usps")
    plain = task.recipe("mlp-64-32")
    assert (plain.distillation, plain.pruning, plain.fine_tuning) == (None, None, None)
    found = task.recipe("mlp-64-32+distilled-cnn-16+pruned-500+int4")
    assert found.distillation == Distillation(("cnn-16",) * 3)
    assert (found.pruning, found.fine_tuning) == (Pruning(), FineTuning())
    assert (found.n_epochs, found.peak_lr) == (plain.n_epochs, plain.peak_lr)
    assert json.loads(json.dumps(found.describe())) == found.describe()
    assert "pruning" not in task.recipe("mlp-64-32+int8").describe()


def test_teachers_need_examples_in_memory(splits: Splits, task: Task) -> None:
    """A stream of examples cannot be answered beforehand."""
    with pytest.raises(UsageError, match="examples in memory"):
        load_teaching(replace(splits, train=object()), task, task.recipe("mlp-24-16+distilled"))  # type: ignore[arg-type]
