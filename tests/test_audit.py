"""Audit of any data set: what two parts share, and what is too much to compare."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dlmi_tasks import audit
from dlmi_tasks.audit import NEAR, audit_dataset, audit_splits, count_exact, find_near, make_sketches
from dlmi_tasks.spec import Arrays, Task
from own_examples import make_items, make_labels


def make(n: int, shape: tuple[int, ...] = (1, 8, 8), seed: int = 0, groups: Any = None) -> Arrays:
    images = np.random.default_rng(seed).normal(size=(n, *shape)).astype(np.float32)
    return Arrays(images, np.zeros(n, np.int64), groups=groups)


def mix(image: NDArray[np.float32], correlation: float, seed: int = 9) -> NDArray[np.float32]:
    """An image that correlates exactly this much."""
    base, noise = (x - x.mean() for x in (image, np.random.default_rng(seed).normal(size=image.shape)))
    noise -= base * (noise * base).sum() / (base**2).sum()
    part = base / np.linalg.norm(base) * correlation + noise / np.linalg.norm(noise) * np.sqrt(1 - correlation**2)
    return (7 * part + 2).astype(np.float32)


def test_clean_parts() -> None:
    """Independent noise shares nothing; keys are those that a report reads; groups are not known."""
    found = audit_splits({"train": make(30), "validation": make(10, seed=1), "test": make(20, seed=2)})
    assert set(found) == {"pairs", "near_correlation", "is_clean", "reason"}
    assert list(found["pairs"]) == ["train/validation", "train/test", "validation/test"]
    for pair in found["pairs"].values():
        assert (pair["n_groups_shared"], pair["n_exact"], pair["n_near"]) == (None, 0, 0)
        assert 0 < pair["closest_correlation"] < NEAR
    assert (found["is_clean"], found["reason"], found["near_correlation"]) == (True, "", 0.999)
    json.dumps(found)


@pytest.mark.parametrize("what", ["exact", "near", "group"])
def test_each_leak_is_found(what: str) -> None:
    """A copy, a rescaled copy and a shared group each make the audit unclean."""
    a, b = make(30, groups=np.arange(30).astype(str)), make(20, seed=1, groups=np.arange(100, 120).astype(str))
    if what == "group":
        b.groups[[3, 4]] = "7"  # type: ignore[index]
    else:
        b.images[5] = a.images[8] * (1 if what == "exact" else 3)
    found = audit_splits({"a": a, "b": b})
    pair = found["pairs"]["a/b"]
    expected = {"exact": (0, 1, 1), "near": (0, 0, 1), "group": (1, 0, 0)}[what]
    assert (pair["n_groups_shared"], pair["n_exact"], pair["n_near"]) == expected
    assert not found["is_clean"]


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 40, 40), (1, 12, 20, 16)])
def test_near_means_above_the_threshold(shape: tuple[int, ...]) -> None:
    """0.9992 is near and 0.9988 is not, in small images, large ones and volumes; pairs are named."""
    a, b = make(30, shape), make(20, shape, 1)
    b.images[2], b.images[3] = mix(a.images[11], 0.9992), mix(a.images[12], 0.9988)
    pairs, closest = find_near(a.images, b.images)
    assert pairs is not None
    assert pairs.tolist() == [[11, 2]]
    assert closest == pytest.approx(0.9992, abs=1e-5)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 999), kind=st.sampled_from(["noise", "patch", "pixel", "stripes"]))
def test_sketches_keep_near_pairs(seed: int, kind: str) -> None:
    """Sketches of two large images that correlate by 0.999 do so by 0.997 or more, whatever the difference is."""
    rng = np.random.default_rng(seed)
    image = rng.normal(size=(1, 64, 64)).astype(np.float32)
    change = np.zeros_like(image)
    if kind == "noise":
        change = rng.normal(size=image.shape)
    elif kind == "patch":
        change[0, 10:20, 30:40] = rng.normal(size=(10, 10))
    elif kind == "pixel":
        change[0, 5, 5] = 1
    else:
        change[0, ::8] = 1
    low, high = 0.0, 10 * np.linalg.norm(image) / np.linalg.norm(change)
    for _ in range(60):  # by how much to change it
        middle = (low + high) / 2
        correlation = np.corrcoef(image.ravel(), (image + middle * change).ravel())[0, 1]
        low, high = (middle, high) if correlation > NEAR else (low, middle)
    pair = make_sketches(np.concatenate([image, image + np.float32(low) * change]).astype(np.float32))
    assert float(pair[0] @ pair[1]) > audit.CANDIDATE


def test_constant_images_are_like_nothing() -> None:
    """Black images are exact copies of each other, and near to none; nor are grey ones."""
    a, b = make(5, (1, 7, 7)), make(5, (1, 7, 7), seed=1)
    a.images[0] = b.images[0] = 0
    a.images[1], b.images[1] = np.float32(0.1), np.float32(0.3)
    assert count_exact(a, b) == 1
    pairs, closest = find_near(a.images, b.images)
    assert pairs is not None
    assert len(pairs) == 0
    assert closest is not None
    assert closest < 0.9


def test_copies_are_counted_in_the_second() -> None:
    """Three copies of one image are three exact ones and six near pairs with its twin."""
    a, b = make(5), make(4, seed=1)
    a.images[1] = a.images[0]
    b.images[1:] = a.images[0]
    pair = audit_splits({"a": a, "b": b})["pairs"]["a/b"]
    assert (pair["n_exact"], pair["n_near"]) == (3, 6)


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Correlations that are computed row by row name the same pairs."""
    a, b = make(30), make(20, seed=1)
    b.images[[0, 19]] = a.images[[29, 0]]
    monkeypatch.setattr(audit, "CHUNK_VALUES", 1)
    pairs, closest = find_near(a.images, b.images)
    assert pairs is not None
    assert (pairs.tolist(), closest) == ([[0, 19], [29, 0]], pytest.approx(1.0))


@pytest.mark.parametrize(("limit", "value"), [("MAX_PRODUCTS", 30 * 20 * 64 - 1), ("MAX_VALUES", 64)])
def test_too_many_pairs_are_left_out_with_a_reason(limit: str, value: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over a limit near pairs are not counted; exact ones still are, and the reason is given."""
    monkeypatch.setattr(audit, limit, value)
    a, b = make(30), make(20, seed=1)
    b.images[:3] = a.images[:3]
    found = audit_splits({"a": a, "b": b})
    pair = found["pairs"]["a/b"]
    assert (pair["n_exact"], pair["n_near"], pair["closest_correlation"]) == (3, None, None)
    assert found["reason"] == "near duplicates: more pairs of images than can be compared within about 10 s"
    assert not found["is_clean"]


def make_task(**options: Any) -> Task:
    return Task.from_arrays(make(90).images, make_labels(90), name="mine", **options)


def test_audit_of_a_task() -> None:
    """The three splits of training 0, as read: different normalisation hides no copy."""
    task = make_task()
    assert list(audit_dataset(task.load(), task)["pairs"]) == ["train/validation", "train/test", "validation/test"]
    images = make(90).images
    test = task.load().plan.cut().test  # type: ignore[attr-defined]
    images[test[0]] = images[task.load().plan.cut().train[0]]  # type: ignore[attr-defined]
    leaky = Task.from_arrays(images, make_labels(90), name="mine")
    assert audit_dataset(leaky.load(), leaky)["pairs"]["train/test"]["n_exact"] == 1


def test_audit_of_folds() -> None:
    """One part for each fold of repeat 0; a copy in another fold is found although each normalises by itself."""
    task = make_task(n_folds=3, groups=np.arange(90) // 2)
    found = audit_dataset(task.load(), task)
    assert list(found["pairs"]) == ["fold 1/fold 2", "fold 1/fold 3", "fold 2/fold 3"]
    assert {pair["n_groups_shared"] for pair in found["pairs"].values()} == {0}
    assert found["is_clean"]
    images, (a, b) = make(90).images, (task.load().plan.cut(fold).test[0] for fold in (0, 2))  # type: ignore[attr-defined]
    images[a] = images[b]
    leaky = Task.from_arrays(images, make_labels(90), name="mine", n_folds=3, groups=np.arange(90) // 2)
    assert audit_dataset(leaky.load(), leaky)["pairs"]["fold 1/fold 3"]["n_exact"] == 1


def test_audit_of_a_stream() -> None:
    """A training split that is read as a stream is left out, with the reason."""
    task = Task.from_datasets(make_items(90), make_items(30, 1), name="mine", in_memory=False)
    found = audit_dataset(task.load(), task)
    assert list(found["pairs"]) == ["validation/test"]
    assert found["reason"] == "train is read as a stream, and is left out"
