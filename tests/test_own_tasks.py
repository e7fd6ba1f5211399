"""Tasks of one's own from arrays: what they promise, what load gives, how it is normalised and described."""

import hashlib
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dlmi_tasks.own.normalisation import compute_moments, make_normaliser
from dlmi_tasks.recipe import Recipe
from dlmi_tasks.spec import Distortion, HeldOut, Target, Task
from own_examples import N, make_images, make_labels

X, Y = make_images(), make_labels()
SPLIT = np.repeat(["train", "validation", "test"], [36, 12, 12])


def test_promises_and_defaults() -> None:
    """Shape, classes and recipe are known before anything is loaded; nothing is distorted and no target is set."""
    task = Task.from_arrays(X, Y, name="mine")
    assert (task.name, task.title, task.input_shape, task.class_names) == ("mine", "mine", (1, 8, 9), ("0", "1", "2"))
    assert (task.target, task.distortion, task.n_folds, task.n_validation) == (None, None, 1, None)
    assert task.recipe("cnn-4") == Recipe(n_epochs=20, peak_lr=4e-3, augmentation="none")
    assert task.default_models == ("softmax", "mlp-64-32", "cnn-4", "cnn-32")
    assert (task.time_limit_s, task.eval_every_epochs, task.is_ordinal, task.fit) == (1800.0, 1, False, None)


def test_options_reach_the_task() -> None:
    """What is stated is taken as it is; a distortion makes the default recipe distort."""
    distortion, target = Distortion(0.1, 0.1, 0.1, 1.0, 0.0), Target(0.9, 0.8, "a paper")
    options: dict[str, Any] = {"title": "Mine", "class_names": "xyz", "is_ordinal": True, "fit": print}
    task = Task.from_arrays(X, Y, name="m", distortion=distortion, target=target, time_limit_s=5.0, **options)
    assert (task.title, task.class_names, task.is_ordinal, task.fit) == ("Mine", ("x", "y", "z"), True, print)
    assert (task.distortion, task.target, task.time_limit_s) == (distortion, target, 5.0)
    assert task.recipe("cnn-4").augmentation == "random-affine"
    assert Task.from_arrays(X, Y, name="m", target=0.9).target == Target(0.9)


SHAPES: dict[str, tuple[tuple[int, ...], dict[str, Any], tuple[int, ...]]] = {
    "grey": ((N, 8, 9), {}, (1, 8, 9)),
    "channels": ((N, 2, 8, 9), {}, (2, 8, 9)),
    "colour": ((N, 8, 9, 3), {"channels_last": True}, (3, 8, 9)),
    "volumes": ((N, 4, 5, 6), {"n_dims": 3}, (1, 4, 5, 6)),
    "volumes with channels": ((N, 2, 4, 5, 6), {}, (2, 4, 5, 6)),
    "volumes with channels last": ((N, 4, 5, 6, 2), {"channels_last": True}, (2, 4, 5, 6)),
}


@pytest.mark.parametrize("kind", SHAPES)
def test_order_of_the_axes(kind: str) -> None:
    """Each order that is stated gives (channel, ...), pixel by pixel."""
    given_shape, options, shape = SHAPES[kind]
    images = make_images(given_shape[0], given_shape[1:])
    task = Task.from_arrays(images, Y, name="mine", split=SPLIT, normalisation="none", **options)
    expected = np.moveaxis(images, -1, 1) if options.get("channels_last") else images.reshape(N, *shape)
    train = task.load().split(None).train
    assert task.input_shape == shape
    assert np.array_equal(train.images, expected[:36])


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int64", "float16", "float64", "bool"])
def test_numbers_become_float32_with_their_values(dtype: str) -> None:
    """Every type of number is taken; 255 of uint8 stays 255."""
    images = X.astype(dtype)
    data = Task.from_arrays(images, Y, name="mine", split=SPLIT, normalisation="none").load()
    assert data.train.images.dtype == np.float32
    assert np.array_equal(data.train.images[:, 0], images[:36].astype(np.float32))


def test_arrays_of_the_user_stay_as_they_are() -> None:
    """Normalising the splits changes neither the images that were handed over nor the raw ones of the data."""
    images = X.astype(np.float32)
    before = images.copy()
    data = Task.from_arrays(images, Y, name="mine").load()
    raw = data.train.images
    data.split(None)
    data.split(None)
    assert np.array_equal(images, before)
    assert np.array_equal(data.train.images, raw)


def test_load_reads_once() -> None:
    """The second call in a process returns the same object."""
    task = Task.from_arrays(X, Y, name="mine")
    assert task.load() is task.load()


def test_standard_normalisation_is_by_the_training_split_alone() -> None:
    """Each channel of the training split has mean 0 and deviation 1; validation and test are mapped by its figures."""
    images = np.random.default_rng(0).normal([[5.0], [-2.0]], [[3.0], [0.1]], (N, 2, 1)).repeat(4, 2)[..., None]
    images[36:] += 100
    splits = Task.from_arrays(images, Y, name="mine", split=SPLIT).load().split(None)
    assert np.allclose(splits.train.images.mean((0, 2, 3)), 0, atol=1e-6)
    assert np.allclose(splits.train.images.std((0, 2, 3)), 1, atol=1e-6)
    mean, deviation = images[:36].mean((0, 2, 3)), images[:36].std((0, 2, 3))
    expected = (images[36:48] - mean[:, None, None]) / deviation[:, None, None]
    assert np.allclose(splits.validation.images, expected, rtol=1e-5)


def test_minmax_normalisation_is_by_the_training_split_alone() -> None:
    """The training split covers 0 to 1 exactly; a brighter test image is above 1."""
    images = X.astype(np.float32)
    images[-1] = 510
    images[0, 0, :2] = 0, 255
    splits = Task.from_arrays(images, Y, name="mine", split=SPLIT, normalisation="minmax").load().split(None)
    assert (splits.train.images.min(), splits.train.images.max()) == (0, 1)
    assert splits.test.read("a").images.max() == 2


def test_each_fold_has_its_own_normalisation() -> None:
    """The training split of each fold has mean 0 and deviation 1."""
    data = Task.from_arrays(X, Y, name="mine", n_folds=3).load()
    for fold in range(3):
        train = data.split(None, fold).train.images
        assert abs(train.mean()) < 1e-5
        assert abs(train.std() - 1) < 1e-5


@given(hnp.arrays(np.float32, (7, 2, 3, 2), elements=st.floats(-1e4, 1e4, width=32)), st.integers(1, 6))
def test_moments_of_parts_give_those_of_the_whole(images: Any, n: int) -> None:
    """Figures pooled over images are those that numpy computes at once; constant channels keep the scale 1."""
    moments = compute_moments(images)
    normaliser = make_normaliser("standard", moments[:n])
    wide = images[:n].astype(np.float64)
    deviation = wide.std((0, 2, 3))
    assert np.allclose(normaliser.shift, wide.mean((0, 2, 3)), rtol=1e-5, atol=1e-6)
    assert np.allclose(normaliser.scale, np.where(normaliser.scale == 1, 1, deviation), rtol=1e-5, atol=1e-6)
    lowest = make_normaliser("minmax", moments[:n])
    assert np.array_equal(lowest.shift, images[:n].min((0, 2, 3)))


def test_hashes_are_those_of_a_recipe_in_words() -> None:
    """images: float32, little-endian, as read; labels: int64; groups: each after its length in 8 bytes."""
    data = Task.from_arrays(X, Y, name="mine", split=SPLIT, groups=np.arange(N)).load()
    digests = data.sha256
    assert digests["images"] == hashlib.sha256(X.astype("<f4").tobytes()).hexdigest()
    assert digests["test_images"] == hashlib.sha256(X[48:].astype("<f4").tobytes()).hexdigest()
    assert digests["labels"] == hashlib.sha256(Y.astype("<i8").tobytes()).hexdigest()
    assert digests["test_labels"] == hashlib.sha256(Y[48:].astype("<i8").tobytes()).hexdigest()
    words = [str(i).encode() for i in range(N)]
    assert digests["groups"] == hashlib.sha256(b"".join(len(w).to_bytes(8, "little") + w for w in words)).hexdigest()


@pytest.mark.parametrize("field", ["images", "labels", "groups", "sites", "split"])
def test_every_field_changes_its_hash(field: str) -> None:
    """One other value in a field changes the hash of that field."""
    fields: dict[str, Any] = {"groups": np.arange(N), "sites": np.arange(N) % 2, "split": SPLIT.copy()}
    fields |= {"images": X.copy(), "labels": Y.copy()}
    before = Task.from_arrays(**fields, name="mine").load().sha256
    fields[field][0] = "validation" if field == "split" else 1
    after = Task.from_arrays(**fields, name="mine").load().sha256
    assert {name for name in before if before[name] != after[name]} == {field}


def test_normalisation_leaves_the_hashes() -> None:
    """Hashes are of what was read."""
    kinds = [Task.from_arrays(X, Y, name="m", normalisation=kind).load().sha256 for kind in ("none", "standard")]
    assert kinds[0] == kinds[1]


def test_description_is_plain_and_complete() -> None:
    """It survives JSON and says classes, counts, figures of normalisation, splits, groups and origin."""
    data = Task.from_arrays(X, Y, name="mine", class_names="xyz", groups=np.arange(N) // 2, is_synthetic=True).load()
    found = json.loads(json.dumps(data.describe()))
    assert found["class_names"] == ["x", "y", "z"]
    counts = np.array([list(part.values()) for part in found["n_per_class"].values()])
    assert counts.sum(0).tolist() == [20, 20, 20]
    normaliser, train = found["normalisation"], data.train.images
    assert normaliser["kind"] == "standard"
    assert normaliser["shift"] == pytest.approx([train.mean(dtype=np.float64)])
    assert normaliser["scale"] == pytest.approx([train.std(dtype=np.float64)])
    assert found["split"] == (
        "test is 20 % of all, drawn by class, whole groups; "
        "validation is 20 % of the others, drawn by class, whole groups"
    )
    assert (found["n_groups"], found["sites"], found["is_synthetic"]) == (30, None, True)
    assert (found["source"], found["note"]) == ("arrays", "Arrays handed over by the user.")


def test_test_split_is_read_once_per_artifact() -> None:
    """The test split is behind HeldOut, and a second reading for an artifact is refused."""
    splits = Task.from_arrays(X, Y, name="mine").load().split(None)
    assert isinstance(splits.test, HeldOut)
    assert len(splits.test.read("a")) == 12
    with pytest.raises(ValueError, match="already read"):
        splits.test.read("a")


@settings(max_examples=25)
@given(st.integers(2, 12), st.integers(0, 10))
def test_labels_may_be_lists_and_small_integers(n_classes: int, seed: int) -> None:
    """Lists, and integers of any width, give the same task as int64."""
    labels = np.random.default_rng(seed).permutation(np.arange(N) % n_classes)
    digests = [
        Task.from_arrays(X, y, name="m").load().sha256["labels"]
        for y in (labels, labels.tolist(), labels.astype("u1"), labels.astype("i2"))
    ]
    assert len(set(digests)) == 1
