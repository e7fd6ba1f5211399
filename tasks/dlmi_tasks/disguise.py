"""Tasks in disguise: the same examples with other numbers for the classes, and images that lie in another way.

`usps+disguised-NONCE` is `usps` with its classes renamed by a permutation that the nonce decides, and every image
transposed. An honest recipe is as accurate on it. Whoever brought test images, labels or trained weights along is not.
"""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlmi_bench.errors import UnavailableError, UsageError
from dlmi_bench.records import DISGUISE
from dlmi_tasks.files.archives import Progress
from dlmi_tasks.own.dataset import OwnDataset, hash_array, hash_images
from dlmi_tasks.own.task import Loader
from dlmi_tasks.spec import Arrays, Dataset, HeldOut, Images, Labels, Pool, Splits, Task

NONCE = re.compile(r"[a-z0-9]{1,32}")


def _turn(images: Images) -> Images:
    return np.ascontiguousarray(images.swapaxes(-1, -2))


def _mirror(images: Images) -> Images:
    return np.ascontiguousarray(images[..., ::-1])


def _flip(images: Images) -> Images:
    return np.ascontiguousarray(images[..., ::-1, :])


WAYS: dict[str, Callable[[Images], Images]] = {
    "transposed": _turn,
    "mirrored left to right": _mirror,
    "upside down": _flip,
}


@dataclass(frozen=True)
class Disguise:
    """How examples are disguised.

    Attributes:
        classes: New number of each class, (class,).
        way: One of WAYS: how images lie.
    """

    classes: NDArray[np.int64]
    way: str

    def show(self, images: Images) -> Images:
        """Lay images in the other way."""
        return WAYS[self.way](images)

    def rename(self, labels: Labels) -> Labels:
        """Give classes their new numbers."""
        return self.classes[labels]

    def cover(self, arrays: Arrays) -> Arrays:
        """Disguise the examples of one split; all else that is known of them stays."""
        return replace(arrays, images=self.show(arrays.images), labels=self.rename(arrays.labels))

    def sort(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """Put names of classes into their new order."""
        return tuple(names[old] for old in np.argsort(self.classes))


def make_disguise(task: Task, nonce: str) -> Disguise:
    """Decide the disguise by the nonce: never the identity where there is another; ordered classes are reversed.

    Square images are transposed, others mirrored. Where distortions mirror images already, they are upside down.

    Raises:
        UsageError: the nonce holds anything but 1 to 32 small letters and digits.
    """
    if not NONCE.fullmatch(nonce):
        raise UsageError(f"nonce {nonce[:40]!r}", "use 1 to 32 small letters and digits")
    n, classes = task.n_classes, np.arange(task.n_classes)[::-1].copy()
    if not task.is_ordinal:
        rng = np.random.default_rng(int.from_bytes(hashlib.sha256(nonce.encode()).digest()[:16], "big"))
        classes = rng.permutation(n)
        while n > 1 and np.array_equal(classes, np.arange(n)):
            classes = rng.permutation(n)
    if task.distortion and task.distortion.is_mirrored:
        return Disguise(classes, "upside down")
    height, width = task.input_shape[-2:]
    return Disguise(classes, "transposed" if height == width else "mirrored left to right")


@dataclass(frozen=True, kw_only=True)
class DisguisedDataset(Dataset):
    """Data in disguise, split as the data behind it are: the same examples in the same order."""

    base: Dataset
    disguise: Disguise

    @property
    def sha256(self) -> dict[str, str]:
        """Hashes of the arrays in disguise, by the names that the data behind it give them."""
        if not isinstance(self.base, OwnDataset):
            held = {field.name: getattr(self.base, field.name) for field in fields(self.base)}
            parts: dict[str, Any] = {
                name: self.disguise.cover(value) for name, value in held.items() if isinstance(value, Arrays)
            }
            return replace(self.base, **parts).sha256
        labels, tested = self.base.plan.examples.labels, self.base.plan.find_tested()
        images, renamed = self.disguise.show(self.base.fetch(np.arange(len(labels)))), self.disguise.rename(labels)
        return self.base.sha256 | {
            "images": hash_images(images),
            "test_images": hash_images(images[tested]),
            "labels": hash_array(renamed),
            "test_labels": hash_array(renamed[tested]),
        }

    def split(self, n_validation: int | None, index: int = 0) -> Splits:
        """Split the data behind it, then disguise each part.

        Raises:
            UnavailableError: the training split is read as a stream.
        """
        splits = self.base.split(n_validation, index)
        train = splits.train
        if not isinstance(train, Arrays):
            raise refuse_stream(self.base.name)
        shown, seen, held = (self._bare(part) for part in (train, splits.validation, splits.test.read("disguise")))
        return replace(splits, train=shown, validation=seen, test=HeldOut(held))

    def _bare(self, arrays: Arrays) -> Arrays:
        """Examples in disguise, without what they were made from."""
        found = self.disguise.cover(arrays)
        return Arrays(found.images, found.labels, groups=found.groups, traits=found.traits)

    def describe(self) -> dict[str, object]:
        """Describe the data behind it, and the disguise."""
        found = self.base.describe()
        names = {"class_names": list(self.disguise.sort(tuple(found["class_names"])))} if "class_names" in found else {}  # type: ignore[arg-type]
        about = {"classes": self.disguise.classes.tolist(), "images": self.disguise.way}
        return found | names | {"name": self.name, "sha256": self.sha256, "disguise": about}


def refuse_stream(name: str) -> UnavailableError:
    """Make the error about data that memory does not hold."""
    return UnavailableError(f"{name} is read as a stream, and has no disguise", "read it into memory: in_memory=True")


@dataclass(frozen=True)
class DisguisedLoader:
    """`load` of a task in disguise; holds no data itself."""

    name: str
    base: Task
    disguise: Disguise

    def __call__(
        self, source: str = "auto", data_dir: Path | None = None, on_progress: Progress | None = None
    ) -> DisguisedDataset:
        """Load the data of the task and disguise them.

        Raises:
            UnavailableError: they are read as a stream.
            DataError, FetchError: see the task's own `load`.
        """
        data = self.base.load(source=source, data_dir=data_dir, on_progress=on_progress)
        if isinstance(self.base.load, Loader):  # else a process that trains would hold the test split
            self.base.load.forget()
        if isinstance(data, OwnDataset) and data.stream:
            raise refuse_stream(data.name)
        return DisguisedDataset(
            name=self.name,
            source=data.source,
            train=self.disguise.cover(data.train),
            test=self.disguise.cover(data.test),
            is_synthetic=data.is_synthetic,
            note=data.note,
            base=data,
            disguise=self.disguise,
        )


def disguise_task(task: Task, nonce: str) -> Task:
    """Disguise a task: other names for its classes and other images, the same recipes, target and distortion.

    Raises:
        UsageError: the nonce is none.
    """
    disguise, name = make_disguise(task, nonce), f"{task.name}{DISGUISE}{nonce}"
    return replace(
        task,
        name=name,
        title=f"{task.title}, in disguise",
        load=DisguisedLoader(name, task, disguise),
        class_names=disguise.sort(task.class_names),
        load_pool=partial(_load_pool, task.load_pool, disguise) if task.load_pool else None,
        references=None,
        inspect=None,
    )


def _load_pool(load_pool: Callable[..., Pool], disguise: Disguise, **options: Any) -> Pool:
    """Images to pretrain on lie as those of the task do; their targets are no classes."""
    pool = load_pool(**options)
    return replace(pool, images=disguise.show(pool.images))
