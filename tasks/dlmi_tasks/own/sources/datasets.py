"""Task from torch datasets, in memory where they fit and read during training where they do not."""

import hashlib
from dataclasses import dataclass
from typing import Any, Literal, Unpack

import numpy as np
from numpy.typing import NDArray

from dlmi_bench.errors import DataError, UsageError
from dlmi_tasks.files.archives import Progress
from dlmi_tasks.own.dataset import OwnDataset
from dlmi_tasks.own.examples import Examples, check_labels, name_classes
from dlmi_tasks.own.memory import COPIES, check_memory, count_bytes, find_free_bytes
from dlmi_tasks.own.normalisation import Moments, Normaliser, compute_moments
from dlmi_tasks.own.options import CommonOptions, Options, add_split, complete
from dlmi_tasks.own.plan import Index, make_plan
from dlmi_tasks.own.sources.arrays import Layout, check_fields, to_images
from dlmi_tasks.own.sources.streams import DatasetStream, Joined, read_pair, seeded
from dlmi_tasks.own.task import build_task, make_dataset
from dlmi_tasks.spec import Images, Labels, Stream, Task

MAX_SHARE = 0.25  # of the free memory that `auto` takes


def from_datasets(
    train: Any,
    test: Any,
    *,
    validation: Any = None,
    n_workers: int = 0,
    in_memory: bool | Literal["auto"] = "auto",
    **options: Unpack[CommonOptions],
) -> Task:
    """See Task.from_datasets."""
    given = {"train": train, "validation": validation, "test": test}
    parts = {part: dataset for part, dataset in given.items() if dataset is not None}
    split = np.repeat([*parts], [_count(*part) for part in parts.items()])
    full = complete(options)
    full = add_split(full, str(full["name"]), split)
    names = full["class_names"] or getattr(train, "classes", None)
    if names is None:
        raise UsageError(f"{full['name']}: the classes have no names", "state class_names=, in the order of the labels")
    names, where, layout = tuple(map(str, names)), f"{full['name']}", Layout(full["n_dims"], full["channels_last"])
    first = f"{where}: train, item 0"
    with seeded():
        image = layout.arrange(first, to_images(first, read_pair(first, train, 0)[0])[None])
    joined = Joined(where, parts, image.shape[1:], len(names), layout)
    loading = Loading(joined, n_workers, in_memory, full, names)
    return build_task(full, joined.shape, names, 1, loading)


def _count(part: str, dataset: Any) -> int:
    """Length of a dataset that can be read in any order, and is not empty."""
    if not hasattr(dataset, "__len__") or not hasattr(dataset, "__getitem__"):
        cause = f"{part}: {type(dataset).__name__} has no __len__ or no __getitem__"
        raise UsageError(cause, "hand over a torch.utils.data.Dataset; an IterableDataset has no order to draw")
    if len(dataset) == 0:
        raise DataError(f"{part}: the dataset is empty", "hand over a dataset with items")
    return len(dataset)


@dataclass(frozen=True)
class Scan:
    """All that one pass over the items leaves; images only where memory is to hold them."""

    labels: Labels
    moments: Moments
    hashes: dict[str, str]
    images: Images | None


@dataclass(frozen=True)
class Loading:
    """Reads datasets of a task."""

    joined: Joined
    n_workers: int
    in_memory: bool | Literal["auto"]
    options: Options
    class_names: tuple[str, ...]

    def __call__(self, on_progress: Progress | None = None) -> OwnDataset:
        """Read every item once, and check it.

        Raises:
            DataError: an item cannot be used, a length is wrong, or memory is too small.
        """
        joined, options = self.joined, self.options
        split = np.asarray(options["split"])
        is_held = self._decide()
        check_memory(joined.where, count_bytes(self._count_held(split, is_held), joined.shape))
        self._check_lengths()
        scan = self._scan(split, is_held, on_progress)
        plan = make_plan(self._describe(scan.labels, is_held), options)
        plan.cut()

        def fetch(index: Index) -> Images:
            if scan.images is not None:
                return scan.images[index]
            return np.stack([image for image, _ in joined.iterate(index, self.n_workers)])

        def stream(index: Index, normaliser: Normaliser) -> Stream:
            groups = plan.examples.groups
            own = None if groups is None else groups[index]
            return DatasetStream(joined, index, normaliser, scan.labels[index], own, self.n_workers)

        return make_dataset(plan, options, fetch, scan.moments, scan.hashes, None if is_held else stream)

    def _decide(self) -> bool:
        """Whether memory holds all images: as stated, else where they fit and are the same at each reading."""
        if self.in_memory != "auto":
            return self.in_memory
        fits = COPIES * count_bytes(len(self.joined), self.joined.shape) <= MAX_SHARE * find_free_bytes()
        if not fits:
            return False
        with seeded():
            first, second = self.joined[0], self.joined[0]
        return first.image is None or second.image is None or np.array_equal(first.image, second.image)

    def _count_held(self, split: NDArray[np.str_], is_held: bool) -> int:
        """Images in memory at a time: all, twice, or those of validation and test."""
        if is_held:
            return COPIES * len(split)
        n_train = int((split == "train").sum())
        n_cut = 0 if "validation" in self.joined.parts else round(n_train * self.options["validation_share"])
        return len(split) - n_train + n_cut

    def _check_lengths(self) -> None:
        """Raises DataError where a dataset has an item after its last one."""
        for part, dataset in self.joined.parts.items():
            try:
                dataset[len(dataset)]
            except Exception:  # noqa: BLE001, S112 - whatever it raises, it ends where it says
                continue
            cause = f"{self.joined.where}: {part} has the length {len(dataset)}, but also an item {len(dataset)}"
            raise DataError(cause, "make __len__ return the number of items, and __getitem__ raise IndexError after it")

    def _scan(self, split: NDArray[np.str_], is_held: bool, on_progress: Progress | None) -> Scan:
        n, shape = len(split), self.joined.shape
        labels, moments = np.empty(n, np.int64), np.empty((n, shape[0], 4))
        images = np.empty((n, *shape), np.float32) if is_held else None
        digests = {"images": hashlib.sha256(), "test_images": hashlib.sha256()}
        for row, (image, label) in enumerate(self.joined.iterate(np.arange(n), self.n_workers)):
            labels[row], moments[row] = label, compute_moments(image[None])[0]
            if images is not None:
                images[row] = image
            for name, digest in digests.items():
                if name == "images" or split[row] == "test":
                    digest.update(image.astype("<f4").tobytes())
            if on_progress:
                on_progress(row + 1, n)
        return Scan(labels, moments, {name: digest.hexdigest() for name, digest in digests.items()}, images)

    def _describe(self, labels: Labels, is_held: bool) -> Examples:
        joined, where = self.joined, self.joined.where
        train = joined.parts["train"]
        reading = "Images are held in memory." if is_held else "Images for training are read while they are needed."
        return Examples(
            where=where,
            source=f"dataset {type(train).__name__}",
            note=f"Datasets handed over by the user. {reading}",
            shape=joined.shape,
            labels=labels,
            class_names=name_classes(where, check_labels(where, labels, len(joined)), self.class_names),
            **check_fields(where, self.options, len(joined)),
        )
