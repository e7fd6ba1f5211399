"""Answers of teachers on distorted training images: computed once for all seeds of all students, and kept.

The images are not kept: each pass is drawn again from its own seed.
"""

import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dlmi_bench.errors import UsageError
from dlmi_models import MODELS, ModelEntry
from dlmi_tasks.files.cache import ArrayDict, compute_key, load_or_make
from dlmi_tasks.recipe import Distillation, Recipe
from dlmi_tasks.spec import Arrays, Distortion, Splits, Task
from dlmi_tasks.training.distortion import distort
from dlmi_tasks.training.loop import EVAL_BATCH, Loss, train
from dlmi_tasks.training.own import OpenSplits
from dlmi_tasks.training.source import to_tensors
from dlmi_tasks.training.start import begin, load_start

OnEpoch = Callable[[int, int], None]
MODULES = tuple(  # whose code decides the answers
    f"dlmi_tasks.training.{name}"
    for name in ("compression.distillation", "compression.stages", "loop", "optimisers", "source", "distortion")
)
SEED = 20261129  # of the passes; teacher i is trained with the seed after it by 1 + i


@dataclass(frozen=True)
class Teaching:
    """Training images in passes, each with the logarithms of the teachers' probabilities, and what they cost.

    Attributes:
        answers: (pass, example, class).
        teaching_s: Training of all teachers and their answers, where that was done [s].
    """

    images: Tensor
    labels: Tensor
    answers: Tensor
    batch_size: int
    settings: Distillation
    distortion: Distortion | None
    teaching_s: float
    sha256: str

    def head(self, n: int) -> tuple[Tensor, Tensor]:
        """The first `n` examples as they are, with the answers to their first pass."""
        return self.images[:n], _join(self.labels[:n], self.answers[0, :n])

    def iterate(self, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """One pass, drawn from all of them, in an order of the generator's."""
        index = int(torch.randint(len(self.answers), (1,), generator=generator))
        order = torch.randperm(len(self.labels), generator=generator)
        images = make_pass(self.images, self.distortion, index)[order]
        targets = _join(self.labels, self.answers[index])[order]
        yield from zip(images.split(self.batch_size), targets.split(self.batch_size), strict=True)

    def wrap(self, loss: Loss) -> Loss:
        """A loss whose targets are labels and answers; `loss` is that of the labels."""
        temperature, weight = self.settings.temperature, self.settings.weight

        def compute(scores: Tensor, targets: Tensor) -> Tensor:
            wanted = (targets[:, 1:] / temperature).log_softmax(1)
            given = (scores / temperature).log_softmax(1)
            distance = F.kl_div(given, wanted, log_target=True, reduction="batchmean") * temperature**2
            return weight * distance + (1 - weight) * loss(scores, targets[:, 0].long())

        return compute


def _join(labels: Tensor, answers: Tensor) -> Tensor:
    return torch.cat([labels[:, None].float(), answers], 1)


def make_pass(images: Tensor, distortion: Distortion | None, index: int) -> Tensor:
    """The training images of one pass, in their own order."""
    if distortion is None:
        return images
    return distort(images, distortion, torch.Generator().manual_seed(SEED + 1000 + index))


def load_teaching(splits: Splits | OpenSplits, task: Task, recipe: Recipe, on_epoch: OnEpoch | None = None) -> Teaching:
    """The teachers' answers, or train them first; they see the training examples and none of the others.

    Raises:
        UsageError: the training examples are not in memory, or a teacher is no model with a recipe.
    """
    if not isinstance(splits.train, Arrays):
        raise UsageError(f"{task.name}: teachers answer examples in memory", "train the model without +distilled")
    train_split = splits.train
    ranges = task.distortion if recipe.augmentation == "random-affine" else None
    settings = recipe.distillation or Distillation()
    passes = list(range(settings.n_passes if ranges else 1))
    images, labels = to_tensors(train_split)

    def ask() -> list[nn.Module]:
        return [_train_teacher(name, SEED + 1 + i, splits, task) for i, name in enumerate(settings.teachers)]

    make = partial(_make_answers, images, passes, ask, ranges, on_epoch or (lambda *_: None))
    kept = load_or_make(_name(train_split, task, settings, ranges), make, is_small=True)
    answers = torch.from_numpy(kept["answers"]).float()
    sha256 = hashlib.sha256(kept["answers"].tobytes()).hexdigest()
    spent_s = float(kept["teaching_s"])
    return Teaching(images, labels, answers, recipe.batch_size, settings, ranges, spent_s, sha256)


def find_teaching(
    entry: ModelEntry, splits: Splits | OpenSplits, task: Task, recipe: Recipe, on_epoch: OnEpoch | None = None
) -> Teaching | None:
    """The teaching of a model that learns from others; None for one that does not."""
    is_taught = any(step.kind == "distilled" for step in entry.steps)
    return load_teaching(splits, task, recipe, on_epoch) if is_taught else None


def _name(train_split: Arrays, task: Task, settings: Distillation, ranges: Distortion | None) -> str:
    """Name that changes with examples, teachers and their recipes, passes, version of torch and the code."""
    names = settings.teachers
    rows = [MODELS[name] for name in names]
    taught = [(row.factory, sorted(row.arguments.items()), row.start, row.steps) for row in rows]
    recipes = [task.recipe(name).describe() for name in names]
    arrays = (train_split.images, train_split.labels)
    hashes = [hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest() for array in arrays]
    modules = (*MODULES, *dict.fromkeys(row.module for row in rows))
    passes = settings.n_passes if ranges else 1
    parts = (taught, recipes, hashes, passes, ranges, SEED, torch.__version__)
    return f"teaching-{compute_key(*parts, modules=modules)}"


def _make_answers(
    images: Tensor, passes: list[int], ask: Callable[[], list[nn.Module]], ranges: Distortion | None, tell: OnEpoch
) -> ArrayDict:
    start_s = time.perf_counter()
    teachers, answers = ask(), []
    for index in passes:
        answers.append(_answer(teachers, make_pass(images, ranges, index)))
        tell(index + 1, len(passes))
    spent_s = np.array(time.perf_counter() - start_s)
    return {"answers": torch.stack(answers).half().numpy(), "teaching_s": spent_s}


def _train_teacher(name: str, seed: int, splits: Splits | OpenSplits, task: Task) -> nn.Module:
    entry = MODELS[name]
    build, recipe = partial(begin, entry, task, load_start(entry, task)), task.recipe(name)
    teaching = find_teaching(entry, splits, task, recipe)
    return train(build, splits, task, recipe, seed=seed, steps=entry.steps, teaching=teaching).network


@torch.inference_mode()
def _answer(teachers: list[nn.Module], images: Tensor) -> Tensor:
    """Logarithms of the mean probabilities, (example, class)."""
    parts = []
    for x in images.split(EVAL_BATCH):
        probabilities = torch.stack([teacher(x).softmax(1) for teacher in teachers]).mean(0)
        parts.append(probabilities.clamp(min=1e-6).log())
    return torch.cat(parts)
