"""Splits of one's own data: dealt by class with whole groups, in folds, by site, or as handed over."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dlmi_bench.errors import DataError
from dlmi_tasks.own.dataset import OwnDataset
from dlmi_tasks.own.dealing import deal
from dlmi_tasks.spec import Arrays, Task
from own_examples import make_labels

Labels = NDArray[np.int64]


def load(labels: Labels, **options: Any) -> OwnDataset:
    """Data whose image number i is filled with i, so that splits can be recognised by their images."""
    images = np.broadcast_to(np.arange(len(labels))[:, None, None], (len(labels), 2, 2))
    data = Task.from_arrays(images, labels, name="mine", normalisation="none", **options).load()
    assert isinstance(data, OwnDataset)
    return data


def positions(part: Any) -> list[int]:
    assert isinstance(part, Arrays)
    return [int(image) for image in part.images[:, 0, 0, 0]]


def list_parts(data: OwnDataset, index: int = 0) -> list[list[int]]:
    splits = data.split(None, index)
    return [positions(part) for part in (splits.train, splits.validation, splits.test.read("a"))]


@settings(max_examples=100, deadline=None)
@given(
    n=st.integers(2, 200), n_classes=st.integers(1, 6), shares=st.sampled_from([(0.2, 0.8), (0.5, 0.5), (0.2,) * 5]),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_single_examples_are_dealt_in_exact_shares(
    n: int, n_classes: int, shares: tuple[float, ...], seed: int
) -> None:
    """Each part has its share of each class to within 2 examples, and of all examples as well."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, n_classes, n)
    part = deal(labels, None, np.array(shares), rng)
    for members in (*(labels == label for label in range(n_classes)), labels >= 0):
        counts = np.bincount(part[members], minlength=len(shares))
        assert (abs(counts - np.array(shares) * members.sum()) < 2 + n_classes * (members.sum() == n)).all()


@settings(max_examples=100, deadline=None)
@given(n_groups=st.integers(15, 60), n_folds=st.integers(2, 5), size=st.integers(1, 6), seed=st.integers(0, 99))
def test_folds_hold_each_example_once_and_whole_groups(n_groups: int, n_folds: int, size: int, seed: int) -> None:
    """In each repeat every example is tested once; each training uses all examples, and no group on two sides."""
    rng = np.random.default_rng(seed)
    groups = rng.permutation(np.repeat(np.arange(n_groups), rng.integers(1, size + 1, n_groups)))
    labels = (groups % 2).astype(np.int64)
    data = load(labels, groups=groups, n_folds=n_folds)
    for repeat in range(2):
        tested: list[int] = []
        for fold in range(n_folds):
            parts = list_parts(data, repeat * n_folds + fold)
            assert sorted(np.concatenate(parts)) == list(range(len(labels)))
            assert sum(len(set(groups[part])) for part in parts) == n_groups
            assert data.split(None, repeat * n_folds + fold).test_index.tolist() == parts[2]  # type: ignore[union-attr]
            tested += parts[2]
        assert sorted(tested) == list(range(len(labels)))


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 999), n_folds=st.integers(2, 5))
def test_folds_of_groups_are_near_their_shares(seed: int, n_folds: int) -> None:
    """With 60 groups of 1 to 4 examples each fold has its share of each class to within one large group."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(60), rng.integers(1, 5, 60))
    labels = rng.integers(0, 3, 60)[groups]
    part = deal(labels, groups, np.full(n_folds, 1 / n_folds), rng)
    for label in range(3):
        counts = np.bincount(part[labels == label], minlength=n_folds)
        assert np.ptp(counts) <= 4
    assert np.ptp(np.bincount(part)) <= 4


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 999), shares=st.sampled_from([(0.2, 0.8), (1 / 3, 1 / 3, 1 / 3)]))
def test_a_rare_class_is_in_every_part(seed: int, shares: tuple[float, ...]) -> None:
    """A class of as many groups as parts, or examples, gives each part one."""
    rng, n_parts = np.random.default_rng(seed), len(shares)
    labels = rng.permutation(np.repeat([0, 1], [40, 2 * n_parts]))
    pairs = np.where(labels == 1, 100 + ((labels == 1).cumsum() - 1) // 2, np.arange(len(labels)) // 2)
    part = deal(labels, pairs.astype(str), np.array(shares), rng)
    assert set(part[labels == 1]) == set(range(n_parts))
    few = np.repeat([0, 1], [40, n_parts])
    assert sorted(deal(few, None, np.array(shares), rng)[few == 1]) == list(range(n_parts))


def test_rounding_errors_do_not_add_up() -> None:
    """A fifth of 40 classes of 7 examples is 56 examples, 1.4 of each class, not 40."""
    part = deal(np.repeat(np.arange(40), 7), None, np.array([0.2, 0.8]), np.random.default_rng(0))
    assert (part == 0).sum() == 56


def test_hold_out_takes_the_shares() -> None:
    """Of 300 examples 60 are tested, 48 of the other 240 validate; each split has a third of each class."""
    parts = list_parts(load(make_labels(300)))
    assert [len(part) for part in parts] == [192, 48, 60]
    assert [np.bincount(make_labels(300)[part]).tolist() for part in parts] == [[64] * 3, [16] * 3, [20] * 3]
    other = list_parts(load(make_labels(300), test_share=0.1, validation_share=0.5))
    assert [len(part) for part in other] == [135, 135, 30]


def test_hold_out_is_the_same_for_every_training() -> None:
    """Without folds the number of the training changes nothing, nor does loading again; no places are given."""
    data, again = load(make_labels(90)), load(make_labels(90))
    assert list_parts(data, 0) == list_parts(data, 7) == list_parts(again, 3)
    splits = data.split(None, 7)
    assert (splits.test_index, splits.folds) == (None, None)


def test_given_split_is_taken_as_it_is() -> None:
    """In the words of several libraries, in any case; a missing validation split is cut from the training split."""
    words = ["train", "val", "test"] * 30
    assert list_parts(load(np.arange(90) // 3 % 3, split=words)) == [list(range(part, 90, 3)) for part in range(3)]
    parts = list_parts(load(np.arange(90) // 3 % 3, split=["Train", "TRAIN", "test"] * 30))
    assert parts[2] == list(range(2, 90, 3))
    assert (len(parts[0]), len(parts[1])) == (48, 12)


def test_places_among_folds() -> None:
    """Training 7 of 3 folds is fold 1 of repeat 2; another repeat is another partition, the same one each time."""
    data = load(make_labels(90), n_folds=3)
    assert data.split(None, 7).folds == {
        "n_folds": 3, "fold": 1, "repeat": 2, "by": "example", "is_held_out_site": False,
    }  # fmt: skip
    tests = [data.plan.cut(index).test.tolist() for index in range(6)]
    assert sorted(np.concatenate(tests[:3])) == list(range(90))
    assert not {tuple(t) for t in tests[:3]} & {tuple(t) for t in tests[3:]}
    assert data.plan.cut(4).test.tolist() == tests[4]


def test_validation_is_drawn_for_every_training() -> None:
    """Two repeats of a held-out site share test and rest, but not validation."""
    data = load(make_labels(90), sites=np.arange(90) // 45, held_out_sites=True)
    first, second = list_parts(data, 0), list_parts(data, 2)
    assert first[2] == second[2] == list(range(45))
    assert sorted(first[0] + first[1]) == sorted(second[0] + second[1])
    assert first[1] != second[1]


def test_held_out_sites_are_folds_in_sorted_order() -> None:
    """Three sites are three folds; fold k tests on the k-th site, and says so."""
    sites = np.array(["c", "a", "b"])[np.arange(90) // 3 % 3]
    task = Task.from_arrays(np.zeros((90, 2, 2)), make_labels(90), name="mine", sites=sites, held_out_sites=True)
    data = task.load()
    assert task.n_folds == 3
    assert [set(sites[data.split(None, fold).test_index]) for fold in range(3)] == [{"a"}, {"b"}, {"c"}]
    assert data.split(None, 4).folds == {
        "n_folds": 3, "fold": 1, "repeat": 1, "by": "site", "is_held_out_site": True,
    }  # fmt: skip


def test_a_site_may_lack_a_class_but_training_may_not() -> None:
    """A site without a class is tested; where only one site has a class, holding it out leaves none to learn from."""
    sites = np.array(["a", "b", "c"]).repeat(30)
    labels = np.where(sites == "c", 0, np.arange(90) % 2)
    data = load(labels, sites=sites, held_out_sites=True)
    assert np.bincount(labels[data.plan.cut(2).test]).tolist() == [30]
    alone = np.where(sites == "c", np.arange(90) % 2, 0)
    with pytest.raises(DataError, match=r"class '1' has no example in the split 'training 2: train'"):
        load(alone, sites=sites, held_out_sites=True).split(None, 2)


def test_groups_come_with_the_splits() -> None:
    """Each split knows whose its images are."""
    data = load(make_labels(90), groups=np.arange(90) // 2)
    splits = data.split(None)
    for part in (splits.train, splits.validation, splits.test.read("a")):
        assert part.groups.tolist() == [str(i // 2) for i in positions(part)]  # type: ignore[union-attr]


def test_one_large_group_stays_whole() -> None:
    """Half of the data being one patient, the patient is on one side and the classes still are on all."""
    groups = np.where(np.arange(120) < 60, 0, np.arange(120))
    parts = list_parts(load(make_labels(120), groups=groups))
    assert sorted(len(set(part) & set(range(60))) for part in parts) == [0, 0, 60]
    assert all(len(set(make_labels(120)[part])) == 3 for part in parts)
