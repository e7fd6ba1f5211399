"""Train one model with one seed, on one thread, with a stopwatch for each kind of work.

Whole tensors in memory, one gather an epoch, fused AdamW: at this size a DataLoader costs more than the mathematics.
Data that memory does not hold are read batch by batch, on the training clock.
"""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from dlmi_bench.errors import UsageError
from dlmi_bench.instruments.clock import Clock, Stopwatch
from dlmi_models.arms import Step
from dlmi_tasks.recipe import Recipe
from dlmi_tasks.spec import Arrays, Splits, Target, Task
from dlmi_tasks.training.compression.stages import Constraint, Stage, finish, list_stages
from dlmi_tasks.training.optimisers import Optimisers
from dlmi_tasks.training.source import open_source, to_tensors, weigh_classes

if TYPE_CHECKING:
    from dlmi_tasks.training.compression.distillation import Teaching
    from dlmi_tasks.training.own import OpenSplits

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
    splits: "Splits | OpenSplits",
    task: Task,
    recipe: Recipe,
    *,
    seed: int,
    steps: tuple[Step, ...] = (),
    teaching: "Teaching | None" = None,
    clock: Clock | None = None,
    on_epoch: Callable[[int, int], None] | None = None,
) -> TrainingRun:
    """Train to the end of the recipe and note when the validation target was first met by the network as it ends.

    The schedule runs to its end even after the target: the last weights are the ones that are kept, so nothing is
    selected and validation accuracy stays unbiased by a maximum.

    Args:
        build: Makes the freshly initialised network, before it is made compact.
        splits: Training and validation are used; the test split is not touched.
        seed: Fixes initial weights, order and distortions.
        steps: What makes the network compact.
        teaching: Training images with the answers of teachers, in place of those of `splits`.
        clock: For tests; the host's otherwise.
        on_epoch: Told the epochs done and the epochs in all.
    """
    set_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    network = build()
    if recipe.is_channels_last:
        put_channels_last(network)
    check_batches(network, len(splits.train), recipe)
    source = teaching or open_source(splits.train, recipe, task.distortion)
    weights = weigh_classes(splits.train.labels, recipe, task.n_classes)
    loss: Loss = partial(F.cross_entropy, label_smoothing=recipe.label_smoothing, weight=weights)
    loss = teaching.wrap(loss) if teaching else loss
    warm_up_network(network, loss, *source.head(recipe.batch_size))
    training, evaluating = Stopwatch(clock), Stopwatch(clock)
    curve: list[Evaluation] = []
    stages = list_stages(recipe, steps)
    n_all, epoch, first_final, is_timed_out = sum(s.recipe.n_epochs for s in stages), 0, 1, False
    for stage in stages:
        first_final = stage.find_first_final(epoch)
        with training:
            loop = Loop(network, stage, len(splits.train), loss=loss)
        for left in reversed(range(stage.recipe.n_epochs)):
            epoch += 1
            with training:
                train_loss = loop.run_epoch(source.iterate(generator))
            is_timed_out = training.total_s > task.time_limit_s
            if epoch % task.eval_every_epochs == 0 or not left or is_timed_out:
                with evaluating:
                    accuracy, validation_loss = evaluate(network, splits.validation)
                curve.append(Evaluation(epoch, training.total_s, train_loss, accuracy, validation_loss))
            if on_epoch:
                on_epoch(epoch, n_all)
            if is_timed_out:
                break
        if is_timed_out:
            break
    with training:
        finish(network, steps)
    hit = find_hit([e for e in curve if e.epoch >= first_final], task.target)
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


def warm_up_network(network: nn.Module, loss: Loss, images: Tensor, targets: Tensor) -> None:
    """One pass of a copy, forward and back, so that the first epoch does not pay for set-up; nothing is learnt."""
    twin = copy.deepcopy(network).train()
    loss(twin(torch.zeros_like(images)), targets).backward()


class Loop:
    """The optimisers' state and one epoch of work. Modules without trainable weights stay as they are."""

    def __init__(self, network: nn.Module, stage: Stage, n_examples: int, *, loss: Loss) -> None:
        self.network = network
        self.loss = loss
        n_steps = stage.recipe.n_epochs * -(-n_examples // stage.recipe.batch_size)
        self.constrain: Constraint | None = stage.begin(network, n_steps)
        self.optimisers = Optimisers(network, stage.recipe, n_steps)

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
            loss.backward()
            self.optimisers.step()
            if self.constrain:
                self.constrain()
            losses.append(loss.detach())
            sizes.append(len(y))
        return float(torch.stack(losses) @ torch.tensor(sizes).float()) / sum(sizes)


@torch.inference_mode()
def evaluate(network: nn.Module, arrays: Arrays) -> tuple[float, float]:
    """Accuracy and mean cross-entropy, without label smoothing. A score that is no number is no answer."""
    network.eval()
    images, labels = to_tensors(arrays)
    logits = torch.cat([network(x) for x in images.split(EVAL_BATCH)])
    right = (logits.argmax(1) == labels) & logits.isfinite().all(1)
    return right.double().mean().item(), F.cross_entropy(logits, labels).item()
