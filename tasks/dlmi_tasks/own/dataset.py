"""Data of a task of your own, split as its plan says and normalised by each training split."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlmi_tasks.own.normalisation import Moments, Normaliser, list_chunks, make_normaliser
from dlmi_tasks.own.plan import PARTS, Cut, Index, Plan
from dlmi_tasks.spec import Arrays, Dataset, HeldOut, Images, Splits, Stream

MakeStream = Callable[[Index, Normaliser], Stream]
N_SHOWN = 256  # examples of a stream that stand for its training split


@dataclass(frozen=True, kw_only=True)
class OwnDataset(Dataset):
    """Images as they were read, and the plan that splits them.

    Attributes:
        train: Training split of training 0, not normalised; its first N_SHOWN examples where it is a stream.
        test: Test split of training 0, not normalised.
        fetch: Copies images at these positions, as read.
        moments: Of every image that a training may learn from.
        image_hashes: sha256 of all images, and of those that are tested.
        normalisation: standard, minmax or none.
        stream: Makes the training split where memory does not hold it.
    """

    train: Arrays = field(init=False, repr=False)
    test: Arrays = field(init=False, repr=False)
    plan: Plan
    fetch: Callable[[Index], Images]
    moments: Moments
    image_hashes: dict[str, str]
    normalisation: str
    stream: MakeStream | None = None

    def __getattr__(self, name: str) -> Any:
        """Copy the training or test split of training 0 when somebody asks for it: held, it would take memory."""
        if name in ("train", "test"):
            index = getattr(self.plan.cut(), name)
            return self.take(index[:N_SHOWN] if self.stream and name == "train" else index)
        raise AttributeError(name)

    @property
    def sha256(self) -> dict[str, str]:
        examples = self.plan.examples
        words = {"groups": examples.groups, "sites": examples.sites, "split": examples.split}
        fields = {"labels": examples.labels, "test_labels": examples.labels[self.plan.find_tested()]}
        return self.image_hashes | {name: hash_array(a) for name, a in (fields | words).items() if a is not None}

    def take(self, index: Index, normaliser: Normaliser | None = None) -> Arrays:
        """Examples at these positions, in memory."""
        examples, images = self.plan.examples, self.fetch(index)
        groups = None if examples.groups is None else examples.groups[index]
        traits = {} if examples.sites is None else {"site": examples.sites[index]}
        images = normaliser(images) if normaliser else images
        return Arrays(images, examples.labels[index], groups=groups, traits=traits)

    def split(self, n_validation: int | None = None, index: int = 0) -> Splits:
        """Splits of training number `index`, normalised by its training split.

        Raises:
            DataError: a class is missing in a split that needs it.
        """
        assert n_validation is None
        cut, place = self.plan.cut(index), self.plan.place(index)
        normaliser = self.make_normaliser(cut)
        train = self.stream(cut.train, normaliser) if self.stream else self.take(cut.train, normaliser)
        return Splits(
            train,
            self.take(cut.validation, normaliser),
            HeldOut(self.take(cut.test, normaliser)),
            test_index=cut.test.astype(np.int64) if place else None,
            folds=place,
        )

    def list_parts(self) -> tuple[dict[str, Arrays], str]:
        """Splits of training 0, or the folds of repeat 0, not normalised; and why one is left out."""
        if self.plan.n_folds > 1:
            folds = [self.plan.cut(fold).test for fold in range(self.plan.n_folds)]
            return {f"fold {number}": self.take(fold) for number, fold in enumerate(folds, 1)}, ""
        parts = self.plan.cut()._asdict()
        if self.stream:
            del parts["train"]
        reason = "train is read as a stream, and is left out" if self.stream else ""
        return {part: self.take(positions) for part, positions in parts.items()}, reason

    def make_normaliser(self, cut: Cut) -> Normaliser:
        """Normaliser by the training split."""
        return make_normaliser(self.normalisation, self.moments[cut.train])

    def describe(self) -> dict[str, object]:
        """Describe origin, content, splits and normalisation; figures of splits are those of training 0."""
        examples, cut = self.plan.examples, self.plan.cut()
        return super().describe() | {
            "class_names": list(examples.class_names),
            "n_per_class": {part: self._count(positions) for part, positions in zip(PARTS, cut, strict=True)},
            "normalisation": self.make_normaliser(cut).describe(),
            "split": self.plan.describe(),
            "n_groups": None if examples.groups is None else len(np.unique(examples.groups)),
            "sites": None if examples.sites is None else np.unique(examples.sites).tolist(),
            "files": list(examples.files),
        }

    def _count(self, positions: Index) -> dict[str, int]:
        names = self.plan.examples.class_names
        counts = np.bincount(self.plan.examples.labels[positions], minlength=len(names))
        return dict(zip(names, counts.tolist(), strict=True))


def hash_array(array: NDArray[Any]) -> str:
    """sha256 of labels as little-endian int64, or of words as their UTF-8 text, each after its length."""
    if array.dtype.kind == "U":
        words = [word.encode() for word in array.tolist()]
        return hashlib.sha256(b"".join(len(word).to_bytes(8, "little") + word for word in words)).hexdigest()
    return hashlib.sha256(array.astype("<i8").tobytes()).hexdigest()


def hash_images(images: Images) -> str:
    """sha256 of images as little-endian float32 in C order."""
    digest = hashlib.sha256()
    for part in list_chunks(len(images), max(1, images[:1].size)):
        digest.update(images[part].astype("<f4").tobytes())
    return digest.hexdigest()
