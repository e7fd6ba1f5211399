"""Definition of a task: data, splits and target."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypedDict

import numpy as np
from numpy.typing import NDArray

from dlmi_bench.records import ARM, Figure
from dlmi_models.arms import split_name
from dlmi_tasks.own.constructors import Constructors
from dlmi_tasks.recipe import Recipe

if TYPE_CHECKING:
    from torch import Generator, Tensor

Images = NDArray[np.float32]  # (n, channel, height, width), or (n, channel, depth, height, width)
Labels = NDArray[np.int64]  # (n,)
Groups = NDArray[np.str_]  # (n,)

# One split for all models and seeds: differences between them are then paired over the same examples.
SPLIT_SEED = 20261123


@dataclass(frozen=True)
class Arrays:
    """Images and labels of one split.

    Attributes:
        groups: Whose they are, (n,), where that is known.
        traits: What else is known of each, such as site or sex, by name, (n,): subgroups of the test split.
    """

    images: Images
    labels: Labels
    groups: Groups | None = field(default=None, kw_only=True)
    traits: dict[str, Groups] = field(default_factory=dict, kw_only=True)

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, index: NDArray[np.intp]) -> "Arrays":
        groups = None if self.groups is None else self.groups[index]
        return Arrays(self.images[index], self.labels[index], groups=groups, traits=take_traits(self.traits, index))


def take_traits(traits: dict[str, Groups], index: NDArray[np.intp]) -> dict[str, Groups]:
    return {name: words[index] for name, words in traits.items()}


class Stream(Protocol):
    """Examples that are read while they are needed, since memory does not hold them.

    Attributes:
        labels: Of all examples, (n,).
        groups: Whose they are, (n,), where that is known.
        loading: How they are read, in a sentence for the report.
    """

    labels: Labels
    groups: Groups | None
    loading: str

    def __len__(self) -> int: ...

    def head(self, n: int) -> Arrays:
        """The first `n` examples, in memory."""
        ...

    def iterate(self, size: int, generator: "Generator | None" = None) -> "Iterator[tuple[Tensor, Tensor]]":
        """Batches of images, float32, and labels, int64; in an order drawn from `generator`, else as they lie."""
        ...


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

    def split(self, n_validation: int | None, index: int = 0) -> "Splits":
        """Cut a validation set, stratified by class, from the training set: the same for all trainings.

        Args:
            n_validation: Examples to cut.
            index: Number of the training, for data that are split in another way each time.

        Raises:
            ValueError: `n_validation` is None, or leaves nothing to train on.
        """
        return self.cut(n_validation)

    def cut(self, n_validation: int | None, fold: int = 0) -> "Splits":
        """Cut fold number `fold` of the training set for validation; no two folds share an example.

        Raises:
            ValueError: `n_validation` is None or leaves nothing to train on, or there are fewer folds.
        """
        if n_validation is None or not 0 < n_validation < len(self.train):
            raise ValueError(f"{self.name}: cannot cut {n_validation} of {len(self.train)} examples for validation")
        if not 0 <= fold < len(self.train) // n_validation:
            raise ValueError(f"{self.name}: no fold {fold} of {n_validation} of {len(self.train)} examples")
        labels = self.train.labels
        order = np.random.default_rng(SPLIT_SEED).permutation(len(labels))
        by_class = order[np.argsort(labels[order], kind="stable")]
        # Evenly spaced places in the list sorted by class: every class gives its share, and the size is exact.
        places = (np.arange(n_validation) + 0.5) * len(order) / n_validation
        validation = np.sort(by_class[(places.astype(np.intp) + fold) % len(order)])
        rest = np.setdiff1d(np.arange(len(order)), validation)
        return Splits(self.train.take(rest), self.train.take(validation), HeldOut(self.test))

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
    """One sha256 per array, over float32 images and uint8 labels: at most 256 classes."""
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

    def __len__(self) -> int:
        return len(self._arrays)

    @property
    def groups(self) -> Groups | None:
        """Whose the examples are, (n,), where that is known; reading it is no look at them."""
        return self._arrays.groups

    @property
    def traits(self) -> dict[str, Groups]:
        """What else is known of the examples; reading it is no look at them."""
        return self._arrays.traits

    def read(self, artifact_sha256: str) -> Arrays:
        """The test split, for the artifact that will be judged by it.

        Raises:
            ValueError: this artifact has been judged already; a second look would invite selection on the test set.
        """
        if artifact_sha256 in self.reads:
            raise ValueError(f"the test split was already read for artifact {artifact_sha256}")
        self.reads[artifact_sha256] = 1
        return self._arrays


class Folds(TypedDict):
    """Place of a training among folds: `fold` and `repeat` count from 0; `by` names what is kept whole."""

    n_folds: int
    fold: int
    repeat: int
    by: str
    is_held_out_site: bool


@dataclass(frozen=True)
class Splits:
    """Training and validation; the test set apart.

    Attributes:
        test_index: Positions of the test examples in the whole data, where each training tests on another fold.
    """

    train: "Arrays | Stream"
    validation: Arrays
    test: HeldOut
    test_index: NDArray[np.int64] | None = None
    folds: Folds | None = None


@dataclass(frozen=True)
class Target:
    """The accuracy to reach on validation, and the published test accuracy to compare with, where there is one."""

    validation_accuracy: float
    test_accuracy_published: float | None = None
    source: str = "stated with the task"


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
class Task(Constructors):
    """A learning problem with everything that decides the outcome but the model and the seed.

    Those of your own are made by from_arrays, from_npz, from_folder, from_csv and from_datasets.

    Attributes:
        default_models: Models that suites take where they name none for this task.
        load: Takes source, data_dir and on_progress(done, in all or None), all of them optional.
        n_validation: Examples cut from the training set; None where the data brings a validation split.
        target: None where there is none; then nobody asks for the time to it.
        distortion: None where images are never distorted.
        is_ordinal: Whether the classes have an order.
        references: Reference figures for the models, from the data alone.
        n_pictured: Test examples of each class, right ones and as many wrong ones, that a report shows.
        load_pool: Examples to pretrain on, none of them in the data; takes on_progress.
        inspect: Describes the data in full, for `dlmi-bench data`; takes preset, data_dir, has_audit, montage, on_scan.
        n_folds: Trainings of one seed, each of which tests on another fold.
        fit: Trains in place of the recipe: takes network, splits, seed and report; see dlmi_tasks/training/own.py.
    """

    name: str
    title: str
    default_models: tuple[str, ...]
    load: Callable[..., Dataset]
    input_shape: tuple[int, ...]
    class_names: tuple[str, ...]
    n_validation: int | None
    target: Target | None
    time_limit_s: float
    eval_every_epochs: int
    distortion: Distortion | None
    recipes: dict[str, Recipe]
    is_ordinal: bool = False
    n_pictured: int = 0
    references: Callable[[Any], list[Figure]] | None = None
    load_pool: Callable[..., Pool] | None = None
    inspect: Callable[..., dict[str, object]] | None = None
    n_folds: int = 1
    fit: Callable[..., Any] | None = None

    @property
    def n_classes(self) -> int:
        return len(self.class_names)

    def recipe(self, model: str) -> Recipe:
        """The model's own, else that of the longest name it is an arm of, else the one for all others."""
        words = model.split(ARM)
        names = (ARM.join(words[:n]) for n in range(len(words), 0, -1))
        recipe = next((self.recipes[name] for name in names if name in self.recipes), self.recipes["*"])
        return recipe.complete(split_name(model)[1])
