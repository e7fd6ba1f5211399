"""Train one model with one seed, on one thread, with a stopwatch for each kind of work.

Whole tensors in memory, one gather an epoch, fused AdamW: at this size a DataLoader costs more than the mathematics.
Data that memory does not hold are read batch by batch, on the training clock.
"""

import copy
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from dlmi_bench.errors import UsageError
from dlmi_bench.instruments.clock import Clock, Stopwatch
from dlmi_tasks.spec import Arrays, Recipe, Splits, Target, Task
from dlmi_tasks.training.source import open_source, to_tensors, weigh_classes

EVAL_BATCH = 512

Loss = Callable[[Tensor, Tensor], Tensor]  # (scores, labels or targets) -> mean


@dataclass(frozen=True)
class Evaluation:
    """One look at the validation set; `training_s` is the training clock, which stands still meanwhile."""

    epoch: int
    training_s: float
    train_loss: float | None
    validation_accuracy: float
    validation_loss: float


@dataclass(frozen=True)
class TrainingRun:
    """A finished training: the network after its last epoch and how it got there.

    `time_to_target_s`, `epochs_to_target`, `samples_to_target` are None where the target was not reached: the run is
    then right-censored at `training_s`. `n_samples` is None where nobody counted them.
    """

    network: nn.Module
    curve: tuple[Evaluation, ...]
    training_s: float
    evaluation_s: float
    n_epochs: int
    n_samples: int | None
    time_to_target_s: float | None
    epochs_to_target: int | None
    samples_to_target: int | None
    is_timed_out: bool


def set_seed(seed: int) -> None:
    """Set the seed: on one machine with the same versions it gives the same weights, bit for bit."""
    torch.use_deterministic_algorithms(mode=True)
    torch.manual_seed(seed)


def warm_up() -> None:
    """One optimiser step on noise, so that the first training of a process does not pay for torch's lazy imports."""
    layer = nn.Linear(2, 2)
    optimiser = torch.optim.AdamW(layer.parameters(), fused=True)
    layer(torch.rand(2, 2)).sum().backward()
    optimiser.step()


def train(
    build: Callable[[], nn.Module],
    splits: Splits,
    task: Task,
    recipe: Recipe,
    *,
    seed: int,
    clock: Clock | None = None,
    on_epoch: Callable[[int, int], None] | None = None,
) -> TrainingRun:
    """Train to the end of the recipe and note when the validation target was first met.

    The schedule runs to its end even after the target: the last weights are the ones that are kept, so nothing is
    selected and validation accuracy stays unbiased by a maximum.

    Args:
        build: Makes the freshly initialised network.
        splits: Training and validation are used; the test split is not touched.
        seed: Fixes initial weights, order and distortions.
        clock: For tests; the host's otherwise.
        on_epoch: Told the epochs done and the epochs in all.
    """
    set_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    network = build()
    if recipe.is_channels_last:
        put_channels_last(network)
    check_batches(network, len(splits.train), recipe)
    source = open_source(splits.train, recipe, task.distortion)
    weights = weigh_classes(splits.train.labels, recipe, task.n_classes)
    smoothed = partial(F.cross_entropy, label_smoothing=recipe.label_smoothing, weight=weights)
    loop = Loop(network, recipe, len(splits.train), loss=smoothed)
    loop.warm_up(*source.head(recipe.batch_size))
    training, evaluating = Stopwatch(clock), Stopwatch(clock)
    curve: list[Evaluation] = []
    for epoch in range(1, recipe.n_epochs + 1):
        with training:
            loss = loop.run_epoch(source.iterate(generator))
        is_timed_out = training.total_s > task.time_limit_s
        if epoch % task.eval_every_epochs == 0 or epoch == recipe.n_epochs or is_timed_out:
            with evaluating:
                accuracy, validation_loss = evaluate(network, splits.validation)
            curve.append(Evaluation(epoch, training.total_s, loss, accuracy, validation_loss))
        if on_epoch:
            on_epoch(epoch, recipe.n_epochs)
        if is_timed_out:
            break
    hit = find_hit(curve, task.target)
    n_examples = len(splits.train)
    return TrainingRun(
        network=network.eval(),
        curve=tuple(curve),
        training_s=training.total_s,
        evaluation_s=evaluating.total_s,
        n_epochs=epoch,
        n_samples=epoch * n_examples,
        time_to_target_s=hit.training_s if hit else None,
        epochs_to_target=hit.epoch if hit else None,
        samples_to_target=hit.epoch * n_examples if hit else None,
        is_timed_out=is_timed_out,
    )


def put_channels_last(network: nn.Module) -> None:
    """Lay kernels of images and of volumes out with channels last; other weights stay as they are."""
    layouts = {4: torch.channels_last, 5: torch.channels_last_3d}
    for weight in network.parameters():
        if layout := layouts.get(weight.ndim):
            weight.data = weight.data.to(memory_format=layout)


def check_batches(network: nn.Module, n_examples: int, recipe: Recipe) -> None:
    """Check that no batch of an epoch has one example, of which batch normalisation knows no spread.

    Raises:
        UsageError: the last one has.
    """
    is_normalised = any(isinstance(module, _BatchNorm) for module in network.modules())
    if is_normalised and n_examples % recipe.batch_size == 1:
        cause = f"batch normalisation: of {n_examples} examples in batches of {recipe.batch_size} the last has one"
        raise UsageError(cause, f"use another batch size: Recipe(batch_size={recipe.batch_size - 1})")


def find_hit(curve: list[Evaluation], target: Target | None) -> Evaluation | None:
    """Find the first evaluation that meets the target; None where none does, or there is no target."""
    return next((e for e in curve if target and e.validation_accuracy >= target.validation_accuracy), None)


class Loop:
    """The optimiser's state and one epoch of work. Modules without trainable weights stay as they are."""

    def __init__(self, network: nn.Module, recipe: Recipe, n_examples: int, *, loss: Loss) -> None:
        self.network = network
        self.recipe = recipe
        self.loss = loss
        n_steps = recipe.n_epochs * -(-n_examples // recipe.batch_size)
        self.optimiser = torch.optim.AdamW(
            [weight for weight in network.parameters() if weight.requires_grad],
            lr=recipe.peak_lr,
            weight_decay=recipe.weight_decay,
            fused=True,
        )
        self.schedule = iter(_list_schedule(self.optimiser, recipe.peak_lr, n_steps))

    def warm_up(self, images: Tensor, labels: Tensor) -> None:
        """One pass of a copy, forward and back, so that the first epoch does not pay for set-up; nothing is learnt."""
        twin = copy.deepcopy(self.network).train()
        self.loss(twin(torch.zeros_like(images)), labels).backward()

    def run_epoch(self, batches: Iterator[tuple[Tensor, Tensor]]) -> float:
        """Step through the batches; returns the mean loss."""
        self.network.train()
        for part in self.network.children():
            if not any(weight.requires_grad for weight in part.parameters()):
                part.eval()  # a frozen trunk keeps its statistics as well
        losses: list[Tensor] = []
        sizes: list[int] = []
        for x, y in batches:
            loss = self.loss(self.network(x), y)
            self.optimiser.zero_grad()
            loss.backward()
            self.optimiser.param_groups[0].update(next(self.schedule))
            self.optimiser.step()
            losses.append(loss.detach())
            sizes.append(len(y))
        return float(torch.stack(losses) @ torch.tensor(sizes).float()) / sum(sizes)


def _list_schedule(optimiser: torch.optim.Optimizer, peak_lr: float, n_steps: int) -> list[dict[str, Any]]:
    """Learning rate and momentum of every step of the one-cycle schedule; looked up, a step costs next to nothing."""
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, peak_lr, total_steps=n_steps)
    group = optimiser.param_groups[0]
    settings = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the schedule runs ahead of the optimiser on purpose
        for step in range(n_steps):
            settings.append({"lr": group["lr"], "betas": group["betas"]})
            if step < n_steps - 1:
                schedule.step()
    return settings


@torch.inference_mode()
def evaluate(network: nn.Module, arrays: Arrays) -> tuple[float, float]:
    """Accuracy and mean cross-entropy, without label smoothing. A score that is no number is no answer."""
    network.eval()
    images, labels = to_tensors(arrays)
    logits = torch.cat([network(x) for x in images.split(EVAL_BATCH)])
    right = (logits.argmax(1) == labels) & logits.isfinite().all(1)
    return right.double().mean().item(), F.cross_entropy(logits, labels).item()
