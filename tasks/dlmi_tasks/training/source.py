"""Training examples in batches: from tensors in memory, or read as they are needed."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dlmi_tasks.recipe import Recipe
from dlmi_tasks.spec import Arrays, Distortion, Labels, Stream
from dlmi_tasks.training.distortion import distort


def to_tensors(arrays: Arrays) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(arrays.images), torch.from_numpy(arrays.labels)


@dataclass(frozen=True)
class InMemory:
    """Examples in memory, with images of their own in each epoch where they are distorted."""

    images: Tensor
    targets: Tensor
    size: int
    distortion: Distortion | None = None

    def head(self, n: int) -> tuple[Tensor, Tensor]:
        """The first `n` examples."""
        return self.images[:n], self.targets[:n]

    def iterate(self, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """Shuffle once, distort once, and hand out batches."""
        order = torch.randperm(len(self.targets), generator=generator)
        images, targets = self.images[order], self.targets[order]
        if self.distortion:
            images = distort(images, self.distortion, generator)
        yield from zip(images.split(self.size), targets.split(self.size), strict=True)


@dataclass(frozen=True)
class OnDemand:
    """Examples that are read batch by batch."""

    stream: Stream
    size: int
    distortion: Distortion | None = None

    def head(self, n: int) -> tuple[Tensor, Tensor]:
        """The first `n` examples."""
        return to_tensors(self.stream.head(n))

    def iterate(self, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """Read in an order of the generator's and distort each batch."""
        for images, targets in self.stream.iterate(self.size, generator):
            yield distort(images, self.distortion, generator) if self.distortion else images, targets


def open_source(train: Arrays | Stream, recipe: Recipe, distortion: Distortion | None) -> InMemory | OnDemand:
    """Training examples in batches of the recipe's, distorted where recipe and task say so."""
    ranges = distortion if recipe.augmentation == "random-affine" else None
    if isinstance(train, Arrays):
        return InMemory(*to_tensors(train), recipe.batch_size, ranges)
    return OnDemand(train, recipe.batch_size, ranges)


def weigh_classes(labels: Labels, recipe: Recipe, n_classes: int) -> Tensor | None:
    """Weights of the classes in the loss, (class,); None where all count alike."""
    if recipe.class_weights == "none":
        return None
    if recipe.class_weights == "balanced":
        return torch.from_numpy(len(labels) / (n_classes * np.bincount(labels, minlength=n_classes))).float()
    return torch.tensor(recipe.class_weights)
