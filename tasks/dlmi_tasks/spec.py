"""Definition of a task: data, splits, target and recipe. All of it is data; none of it is code to run."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dlmi_bench.records import ARM, Figure

Images = NDArray[np.float32]  # (n, channel, height, width)
Labels = NDArray[np.int64]  # (n,)


@dataclass(frozen=True)
class Arrays:
    """Images and labels of one split."""

    images: Images
    labels: Labels

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, index: NDArray[np.intp]) -> "Arrays":
        return Arrays(self.images[index], self.labels[index])


@dataclass(frozen=True)
class Pool:
    """Other examples with continuous targets, to pretrain on."""

    images: Images
    targets: NDArray[np.float32]  # (n, target)


@dataclass(frozen=True)
class Dataset:
    """Verified data with its official training and test split; some data brings a validation split as well.

    `sha256` holds one hash per array, over little-endian float32 images and uint8 labels in C order.
    """

    name: str
    source: str
    train: Arrays
    test: Arrays
    is_synthetic: bool
    note: str

    @property
    def sha256(self) -> dict[str, str]:
        return compute_hashes(self.train, self.test)

    def describe(self) -> dict[str, object]:
        """Describe the origin and the exact content (sha256) of the data, as plain values that JSON can hold."""
        return {
            "name": self.name,
            "source": self.source,
            "sha256": self.sha256,
            "is_synthetic": self.is_synthetic,
            "note": self.note,
        }


def compute_hashes(train: Arrays, test: Arrays) -> dict[str, str]:
    """One sha256 per array, whatever route the data came by."""
    parts = {
        "train_images": train.images.astype("<f4"),
        "train_labels": train.labels.astype("u1"),
        "test_images": test.images.astype("<f4"),
        "test_labels": test.labels.astype("u1"),
    }
    return {name: hashlib.sha256(np.ascontiguousarray(a).tobytes()).hexdigest() for name, a in parts.items()}


@dataclass
class HeldOut:
    """A test split that is read once per artifact, by name, and counts the reads."""

    _arrays: Arrays
    reads: dict[str, int] = field(default_factory=dict)

    def read(self, artifact_sha256: str) -> Arrays:
        """The test split, for the artifact that will be judged by it.

        Raises:
            ValueError: this artifact has been judged already; a second look would invite selection on the test set.
        """
        if artifact_sha256 in self.reads:
            raise ValueError(f"the test split was already read for artifact {artifact_sha256}")
        self.reads[artifact_sha256] = 1
        return self._arrays


@dataclass(frozen=True)
class Splits:
    """Training and validation; the official test set apart."""

    train: Arrays
    validation: Arrays
    test: HeldOut


@dataclass(frozen=True)
class Target:
    """The accuracy to reach on validation, and the published test accuracy to compare with."""

    validation_accuracy: float
    test_accuracy_published: float
    source: str


@dataclass(frozen=True)
class Recipe:
    """Training recipe of a model: AdamW under a one-cycle schedule, with label smoothing.

    Source: L. N. Smith, N. Topin, "Super-convergence" (2019), for the schedule.
    """

    n_epochs: int
    peak_lr: float = 4e-3
    weight_decay: float = 0.01
    batch_size: int = 128
    label_smoothing: float = 0.05
    augmentation: Literal["none", "random-affine"] = "random-affine"
    is_channels_last: bool = False


@dataclass(frozen=True)
class Distortion:
    """Ranges of the random affine maps that a task's images bear without changing their class.

    Attributes:
        background: Value outside the image; None repeats its border.
        is_mirrored: Whether half of the images are mirrored left to right.
    """

    rotation_rad: float
    scale: float
    shear: float
    shift_pixels: float
    background: float | None
    is_mirrored: bool = False


@dataclass(frozen=True)
class Task:
    """A learning problem with everything that decides the outcome but the model and the seed.

    Attributes:
        default_models: Models that suites take where they name none for this task.
        load: Takes source, data_dir and on_progress(done, in all or None), all of them optional.
        n_validation: Examples cut from the training set; None where the data brings a validation split.
        is_ordinal: Whether the classes have an order.
        references: Reference figures for the models, from the data alone.
        n_pictured: Test examples of each class, right ones and as many wrong ones, that a report shows.
        load_pool: Examples to pretrain on, none of them in the data; takes on_progress.
        inspect: Describes the data in full, for `dlmi-bench data`; takes preset, data_dir, has_audit, montage, on_scan.
    """

    name: str
    title: str
    default_models: tuple[str, ...]
    load: Callable[..., Dataset]
    input_shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    n_validation: int | None
    target: Target
    time_limit_s: float
    eval_every_epochs: int
    distortion: Distortion
    recipes: dict[str, Recipe]
    is_ordinal: bool = False
    n_pictured: int = 0
    references: Callable[[Any], list[Figure]] | None = None
    load_pool: Callable[..., Pool] | None = None
    inspect: Callable[..., dict[str, object]] | None = None

    @property
    def n_classes(self) -> int:
        return len(self.class_names)

    def recipe(self, model: str) -> Recipe:
        """The model's own, else that of the model it is an arm of, else the one for all others."""
        base = model.partition(ARM)[0]
        return self.recipes.get(model) or self.recipes.get(base) or self.recipes["*"]


# One split for all models and seeds: differences between them are then paired over the same examples.
SPLIT_SEED = 20261123


def make_splits(data: Dataset, n_validation: int | None) -> Splits:
    """Cut a validation set, stratified by class, from the training set; with None, take the one the data brings.

    Raises:
        ValueError: the data brings none.
    """
    if n_validation is None:
        own = getattr(data, "validation", None)
        if own is None:
            raise ValueError(f"{data.name} has no validation split of its own; say how many examples to cut")
        return Splits(data.train, own, HeldOut(data.test))
    order = np.random.default_rng(SPLIT_SEED).permutation(len(data.train))
    by_class = order[np.argsort(data.train.labels[order], kind="stable")]
    # Evenly spaced places in the list sorted by class: every class gives its share, and the size is exact.
    places = (np.arange(n_validation) + 0.5) * len(order) / n_validation
    validation = np.sort(by_class[places.astype(np.intp)])
    rest = np.setdiff1d(np.arange(len(order)), validation)
    return Splits(data.train.take(rest), data.train.take(validation), HeldOut(data.test))
