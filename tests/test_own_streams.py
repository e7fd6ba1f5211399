"""Torch datasets of one's own: in memory or streamed, the same data; what lies is found out."""

import random
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset

from dlmi_bench.errors import DataError, UsageError
from dlmi_tasks.own import memory
from dlmi_tasks.own.sources import datasets
from dlmi_tasks.own.sources.streams import DatasetStream, seeded
from dlmi_tasks.spec import Arrays, Splits, Stream, Task
from own_examples import Items, N, make_items

# Later versions of Python warn where a process with threads starts another, as a DataLoader with workers does.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")


def make(train: Any = None, test: Any = None, **options: Any) -> Task:
    settings: dict[str, Any] = {"name": "mine", **options}
    given = make_items(90) if train is None else train, make_items(30, 1) if test is None else test
    return Task.from_datasets(*given, **settings)


def split(**options: Any) -> Splits:
    return make(**options).load().split(None)


def to_stream(splits: Splits) -> DatasetStream:
    assert isinstance(splits.train, DatasetStream)
    return splits.train


def test_stream_holds_the_same_as_memory() -> None:
    """Hashes, labels, counts, figures of normalisation, and every pixel of every split agree; arrays hash alike."""
    held, streamed = make(in_memory=True).load(), make(in_memory=False).load()
    both, split_words = (make_items(90), make_items(30, 1)), np.repeat(["train", "test"], [90, 30])
    images, labels = np.concatenate([items.images for items in both]), [y for items in both for y in items.labels]
    arrays = Task.from_arrays(images, labels, name="mine", split=split_words).load()
    assert held.sha256 == streamed.sha256 == arrays.sha256
    assert {**held.describe(), "note": ""} == {**streamed.describe(), "note": ""}
    a, b = held.split(None), streamed.split(None)
    stream = to_stream(b)
    assert isinstance(a.train, Arrays)
    assert np.array_equal(stream.head(len(stream)).images, a.train.images)
    assert np.array_equal(stream.labels, a.train.labels)
    assert np.array_equal(a.validation.images, b.validation.images)
    assert np.array_equal(a.test.read("a").images, b.test.read("a").images)


@pytest.mark.parametrize("n_workers", [0, 2])
def test_stream_is_read_in_the_order_of_the_generator(n_workers: int) -> None:
    """Batches of float32 and int64 in torch's permutation of that seed; without a generator as they lie."""
    stream: Stream = to_stream(split(in_memory=False, n_workers=n_workers))
    whole = stream.head(len(stream))
    batches = list(stream.iterate(20, torch.Generator().manual_seed(5)))
    order = torch.randperm(72, generator=torch.Generator().manual_seed(5)).numpy()
    assert [len(labels) for _, labels in batches] == [20, 20, 20, 12]
    assert (batches[0][0].dtype, batches[0][1].dtype) == (torch.float32, torch.int64)
    assert np.array_equal(torch.cat([images for images, _ in batches]).numpy(), whole.images[order])
    assert np.array_equal(torch.cat([labels for _, labels in batches]).numpy(), whole.labels[order])
    assert np.array_equal(torch.cat([labels for _, labels in stream.iterate(7)]).numpy(), whole.labels)


def test_loading_is_said() -> None:
    """The report reads who reads, and on which clock."""
    assert (
        to_stream(split(in_memory=False)).loading
        == "read by the training process during training, on the training clock"
    )
    two = to_stream(split(in_memory=False, n_workers=2))
    assert two.loading == "read by 2 workers during training, on the training clock"


def test_streamed_training_split_is_normalised() -> None:
    """Each channel of the stream has mean 0 and deviation 1."""
    images = torch.cat([images for images, _ in to_stream(split(in_memory=False)).iterate(16)])
    assert images.mean((0, 2, 3)).abs().max() < 1e-5
    assert (images.std((0, 2, 3), correction=0) - 1).abs().max() < 1e-5


def test_validation_is_given_or_cut() -> None:
    """A validation dataset is taken whole; without one a fifth of train is cut, and groups stay whole."""
    given = split(validation=make_items(24, 2))
    assert (len(given.train), len(given.validation)) == (90, 24)
    groups = np.arange(120) // 2
    cut = split(groups=groups, in_memory=False)
    assert not set(to_stream(cut).groups) & set(cut.validation.groups)  # type: ignore[arg-type]
    assert (len(cut.train), len(cut.validation)) == (72, 18)


def test_names_of_the_classes() -> None:
    """They are those of the dataset, unless they are stated; without either nothing can be named."""
    assert make().class_names == ("a", "b", "c")
    assert make(class_names="xyz").class_names == ("x", "y", "z")
    plain = TensorDataset(torch.rand(30, 2, 6, 5), torch.arange(30) % 3)
    assert make(plain, plain, class_names="xyz").load().describe()["n_groups"] is None
    with pytest.raises(UsageError, match="the classes have no names"):
        make(plain, plain)


def test_auto_holds_what_fits_and_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """In memory where twice the images fit into a quarter of what is free, unless each reading differs."""
    assert isinstance(split().train, Arrays)
    assert isinstance(split(train=make_items(90, noise=1.0)).train, DatasetStream)
    n_bytes = memory.count_bytes(2 * 120, (2, 6, 5))
    monkeypatch.setattr(datasets, "find_free_bytes", lambda: 4 * n_bytes)
    assert isinstance(split().train, Arrays)
    monkeypatch.setattr(datasets, "find_free_bytes", lambda: 4 * n_bytes - 4)
    assert isinstance(split().train, DatasetStream)


def test_random_images_give_the_same_task_in_every_process() -> None:
    """Hashes and figures are those of one seed; training draws anew in each epoch."""
    runs = [make(train=make_items(90, noise=1.0), in_memory=False).load()]
    torch.rand(1)
    runs.append(make(train=make_items(90, noise=1.0), in_memory=False).load())
    assert runs[0].describe() == runs[1].describe()
    stream = to_stream(runs[0].split(None))
    first, second = (torch.cat([images for images, _ in stream.iterate(16)]) for _ in range(2))
    assert not torch.equal(first, second)


def test_seeds_are_put_back() -> None:
    """What follows a seeded reading is as if it had not been."""
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002
    random.seed(1)
    expected = torch.rand(1).item(), np.random.rand(), random.random()  # noqa: NPY002
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002
    random.seed(1)
    with seeded():
        torch.rand(3), np.random.rand(3), random.random()  # noqa: NPY002
    assert (torch.rand(1).item(), np.random.rand(), random.random()) == expected  # noqa: NPY002


def test_memory_of_the_splits_that_are_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """Streaming, only validation and test have to fit."""
    monkeypatch.setattr(memory, "find_free_bytes", lambda: memory.count_bytes(54, (2, 6, 5)) - 1)
    with pytest.raises(DataError, match=r"mine: needs 12.7 KiB of memory, 12.7 KiB are free"):
        make(validation=make_items(24), in_memory=False).load()
    monkeypatch.setattr(memory, "find_free_bytes", lambda: memory.count_bytes(54, (2, 6, 5)))
    assert make(validation=make_items(24), in_memory=False).load()
    assert make(train=make_items(120), in_memory=False).load()  # 30 to test, and 24 that are cut
    with pytest.raises(DataError, match="mine: needs"):
        make(train=make_items(125), in_memory=False).load()


def spoilt(image: Any = None, label: Any = None) -> Items:
    """Items of which number 7 is another."""
    items = make_items(90)
    images, labels = list(items.images), list(items.labels)
    images[7], labels[7] = images[7] if image is None else image, labels[7] if label is None else label
    return Items(images, labels)


HOLE = np.full((2, 6, 5), np.nan, np.float32)
CASES: dict[str, tuple[Any, str]] = {
    "shorter than it says": (make_items(80, length=100), "train, item 80 does not exist, though the length is 100"),
    "longer than it says": (make_items(90, length=80), "train has the length 80, but also an item 80"),
    "another shape": (
        spoilt(np.zeros((2, 6, 6))),
        r"item 7 has shape \(2, 6, 6\), item 0 of train has \(2, 6, 5\)",
    ),
    "NaN": (spoilt(HOLE), "train, item 7 holds NaN"),
    "float label": (spoilt(label=1.0), r"train, item 7 has the label 1.0, no whole number"),
    "large label": (spoilt(label=3), "train, item 7 has the label 3, classes are 0 to 2"),
    "two labels": (spoilt(label=np.array([0, 1])), r"item 7 has the label array\(\[0, 1\]\), no whole number"),
}


@pytest.mark.parametrize("n_workers", [0, 1])
@pytest.mark.parametrize("case", CASES)
def test_bad_items_are_named(case: str, n_workers: int) -> None:
    """One error of ours with the dataset and the number of the item, also from another process."""
    items, cause = CASES[case]
    with pytest.raises(DataError, match=cause):
        make(items, n_workers=n_workers).load()


def test_what_is_no_dataset_is_refused() -> None:
    """An iterator, an empty dataset, an item that is no pair, and code that fails are named."""
    with pytest.raises(UsageError, match="test: generator has no __len__"):
        make(test=(item for item in make_items()))
    with pytest.raises(DataError, match="validation: the dataset is empty"):
        make(validation=Items([], []))
    with pytest.raises(DataError, match="train, item 0 is Tensor, no pair of image and label"):
        make(train=torch.rand(9, 1, 4, 4), class_names="abc")
    with pytest.raises(DataError, match="train, item 0: TypeError: "):
        make(train=Items(None, [0] * N))
    with pytest.raises(DataError, match=r"class 2 \('c'\) has no example"):
        make(train=Items(np.zeros((9, 2, 6, 5)), [0, 1, 0] * 3), test=Items(np.zeros((9, 2, 6, 5)), [0] * 9)).load()
    with pytest.raises(UsageError, match="mine: brings its own splits"):
        make(n_folds=3)
