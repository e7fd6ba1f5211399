"""Examples of torch datasets, checked one by one, and a training split that is read while it is needed."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dlmi_bench.errors import BenchError, DataError
from dlmi_tasks.own.normalisation import Normaliser
from dlmi_tasks.own.plan import Index
from dlmi_tasks.own.sources.arrays import Layout, to_images
from dlmi_tasks.spec import SPLIT_SEED, Arrays, Groups, Images, Labels

if TYPE_CHECKING:
    from torch import Generator, Tensor

N_AT_ONCE = 32  # items that a worker hands over together
REMEDY = "return (image, class) with an image of one size and a whole number from 0"


class Item(NamedTuple):
    """One example, or why it cannot be used."""

    image: Images | None
    label: int
    error: tuple[str, str] | None = None


@dataclass(frozen=True)
class Joined:
    """Items of several datasets, one after the other, as checked float32 images and labels.

    Attributes:
        parts: Datasets by the name of their split.
        shape: Of one image, (channel, ...).
    """

    where: str
    parts: dict[str, Any]
    shape: tuple[int, ...]
    n_classes: int
    layout: Layout

    def __len__(self) -> int:
        return sum(map(len, self.parts.values()))

    def __getitem__(self, position: int) -> Item:
        """Item at a position; an error is handed over as a value, since it may come from another process."""
        index = position
        for part, dataset in self.parts.items():
            if index < len(dataset):
                try:
                    return self._read(part, index)
                except BenchError as error:
                    return Item(None, -1, (error.cause, error.remedy))
            index -= len(dataset)
        raise IndexError(position)

    def _read(self, part: str, index: int) -> Item:
        where = f"{self.where}: {part}, item {index}"
        image, label = read_pair(where, self.parts[part], index)
        array = self.layout.arrange(where, to_images(where, image)[None])[0]
        if array.shape != self.shape:
            cause = f"{where} has shape {array.shape}, item 0 of {next(iter(self.parts))} has {self.shape}"
            raise DataError(cause, "bring all images to one size and one number of channels")
        if not np.isfinite(array).all():
            raise DataError(f"{where} holds NaN or an infinite value", "replace such values, or leave the item out")
        number = np.asarray(label)
        if number.dtype.kind not in "biu" or number.size != 1:
            raise DataError(f"{where} has the label {label!r:.80}, no whole number", REMEDY)
        if not 0 <= number.item() < self.n_classes:
            cause = f"{where} has the label {number.item()}, classes are 0 to {self.n_classes - 1}"
            raise DataError(cause, "number the classes from 0, and name all of them in class_names")
        return Item(array, int(number.item()))

    def iterate(self, positions: Index, n_workers: int) -> Iterator[tuple[Images, int]]:
        """Items at these positions in order, with random transforms that are the same at each call.

        Raises:
            DataError: the first item that cannot be used.
        """
        from torch.utils.data import DataLoader

        with seeded():
            loader: DataLoader[Any] = DataLoader(
                self,  # type: ignore[arg-type] # a sequence does
                batch_size=N_AT_ONCE,
                sampler=positions.tolist(),
                collate_fn=list,
                num_workers=n_workers,
            )
            for item in (item for items in loader for item in items):
                if item.error:
                    raise DataError(*item.error)
                yield item.image, item.label


def read_pair(where: str, dataset: Any, index: int) -> tuple[Any, Any]:
    """Image and label of an item.

    Raises:
        DataError: it cannot be read, or is no pair.
    """
    try:
        item = dataset[index]
    except IndexError as error:
        cause = f"{where} does not exist, though the length is {len(dataset)}"
        raise DataError(cause, "make __len__ return the number of items") from error
    except Exception as error:  # a user's code may raise anything
        raise DataError(
            f"{where}: {type(error).__name__}: {error!s:.300}", "make __getitem__ return every item"
        ) from error
    if not isinstance(item, tuple | list) or len(item) != 2:
        raise DataError(f"{where} is {type(item).__name__}, no pair of image and label", REMEDY)
    return item[0], item[1]


@contextmanager
def seeded() -> Iterator[None]:
    """Seed torch, numpy and random for a while, so that random transforms give the same images in every process."""
    import torch

    states = random.getstate(), np.random.get_state()  # noqa: NPY002 - the state that transforms use
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SPLIT_SEED)
        np.random.seed(SPLIT_SEED)  # noqa: NPY002
        random.seed(SPLIT_SEED)
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])  # noqa: NPY002


@dataclass
class DatasetStream:
    """Training split that is read and normalised while it is needed; a dlmi_tasks.spec.Stream.

    Attributes:
        index: Positions of its examples in `joined`.
        n_workers: Processes that read; 0 reads in the process that trains.
    """

    joined: Joined
    index: Index
    normaliser: Normaliser
    labels: Labels
    groups: Groups | None
    n_workers: int
    loading: str = field(init=False)

    def __post_init__(self) -> None:
        reader = f"{self.n_workers} workers" if self.n_workers else "the training process"
        self.loading = f"read by {reader} during training, on the training clock"

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, number: int) -> "tuple[Images, int]":
        item = self.joined[int(self.index[number])]
        if item.error:
            raise DataError(*item.error)
        assert item.image is not None
        return self.normaliser(item.image[None])[0], int(self.labels[number])

    def head(self, n: int) -> Arrays:
        """The first `n` examples, in memory."""
        with seeded():
            images = np.stack([self[number][0] for number in range(min(n, len(self)))])
        return Arrays(images, self.labels[:n], groups=None if self.groups is None else self.groups[:n])

    def iterate(self, size: int, generator: "Generator | None" = None) -> "Iterator[tuple[Tensor, Tensor]]":
        """Batches of images, float32, and labels, int64; in an order drawn from `generator`, else as they lie."""
        import torch
        from torch.utils.data import DataLoader

        order = torch.arange(len(self)) if generator is None else torch.randperm(len(self), generator=generator)
        loader: DataLoader[Any] = DataLoader(
            self,  # type: ignore[arg-type] # a sequence does
            batch_size=size,
            sampler=order.tolist(),
            num_workers=self.n_workers,
            generator=generator,
        )
        yield from map(tuple, loader)
