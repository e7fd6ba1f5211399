"""Tasks in disguise: the same examples, renamed and laid in another way, by what a nonce decides."""

import gc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from dlmi_bench.errors import UnavailableError, UsageError
from dlmi_bench.jobs.protocol import TrainRequest
from dlmi_bench.jobs.worker import run_here
from dlmi_bench.records import Cell
from dlmi_models import MODELS, ModelEntry
from dlmi_models.own import Model
from dlmi_reports.tables.ablation import make_ablation_table
from dlmi_tasks import TASKS, get_task
from dlmi_tasks.audit import audit_dataset
from dlmi_tasks.disguise import disguise_task, make_disguise
from dlmi_tasks.own.task import Loader
from dlmi_tasks.spec import Arrays, Dataset, Distortion, HeldOut, Task
from dlmi_tasks.training.own import OpenSplits, Report
from own_examples import Items, make_images, make_labels

NONCES = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=32)


def make_task(shape: tuple[int, ...] = (8, 8), **options: object) -> Task:
    return Task.from_arrays(make_images(60, shape), make_labels(60), name="mine", **options)  # type: ignore[arg-type]


@given(NONCES)
def test_classes_are_permuted_and_never_all_kept(nonce: str) -> None:
    """A permutation of all classes, not the identity; the same nonce gives the same one."""
    disguise = make_disguise(get_task("usps"), nonce)
    assert sorted(disguise.classes) == list(range(10))
    assert disguise.classes.tolist() != list(range(10))
    assert make_disguise(get_task("usps"), nonce).classes.tolist() == disguise.classes.tolist()


def test_ordered_classes_are_reversed() -> None:
    """Order is kept but for its direction, so that steps between stages stay steps."""
    task = replace(get_task("usps"), is_ordinal=True)
    assert make_disguise(task, "a").classes.tolist() == list(range(10))[::-1]


def test_two_classes_are_exchanged_and_one_stays() -> None:
    """There is one other permutation of two, and none of one."""
    for names, expected in {("a", "b"): [1, 0], ("a",): [0]}.items():
        assert make_disguise(replace(get_task("usps"), class_names=names), "x").classes.tolist() == expected


@pytest.mark.parametrize(
    ("shape", "is_mirrored", "change"),
    [
        ((8, 8), False, lambda x: np.swapaxes(x, -1, -2)),
        ((8, 9), False, lambda x: x[..., ::-1]),
        ((8, 8), True, lambda x: x[..., ::-1, :]),
        ((4, 8, 8), False, lambda x: np.swapaxes(x, -1, -2)),
    ],
)
def test_images_lie_in_another_way(shape: tuple[int, ...], is_mirrored: bool, change: Callable[..., object]) -> None:
    """Squares and slices of volumes are transposed, others mirrored; upside down where distortions mirror."""
    distortion = Distortion(0, 0, 0, 0, None, is_mirrored=is_mirrored)
    plain = make_task(shape, distortion=distortion, n_dims=len(shape))
    before, after = (task.load().split(None).test.read("x").images for task in (plain, disguise_task(plain, "abc")))
    assert np.array_equal(after, change(before))


@pytest.mark.parametrize("options", [{}, {"n_folds": 3}, {"groups": [f"p{i // 2}" for i in range(60)]}])
def test_splits_hold_the_same_examples_in_the_same_order(options: dict[str, object]) -> None:
    """Training, validation and test, of every fold, with groups; labels are renamed and names go with them."""
    plain = make_task(**options)
    hidden = disguise_task(plain, "abc")
    disguise = make_disguise(plain, "abc")
    for index in range(plain.n_folds):
        pair = [task.load().split(None, index) for task in (plain, hidden)]
        for a, b in zip(*([s.train, s.validation, s.test.read("x")] for s in pair), strict=True):
            assert isinstance(a, Arrays)
            assert isinstance(b, Arrays)
            assert np.array_equal(disguise.show(a.images), b.images)
            assert np.array_equal(disguise.rename(a.labels), b.labels)
            named = [[task.class_names[i] for i in part.labels] for task, part in ((plain, a), (hidden, b))]
            assert named[0] == named[1]
            assert np.array_equal(a.groups, b.groups) or a.groups is b.groups is None
        if plain.n_folds > 1:
            assert np.array_equal(pair[0].test_index, pair[1].test_index)


def test_digits_are_split_as_the_plain_task_splits_them() -> None:
    """The validation set is stratified by the plain classes: renaming them first would take other examples."""
    plain, hidden = (get_task(name) for name in ("usps", "usps+disguised-abc"))
    a, b = (task.load().split(task.n_validation).validation for task in (plain, hidden))
    assert np.array_equal(a.images.swapaxes(-1, -2), b.images)
    assert np.array_equal(make_disguise(plain, "abc").rename(a.labels), b.labels)


def test_hashes_are_those_of_the_arrays_in_disguise() -> None:
    """Digits have hashes of what is handed out, one's own data of all that is named; another nonce gives others."""
    from dlmi_tasks.own.dataset import hash_array, hash_images
    from dlmi_tasks.spec import compute_hashes

    digits = get_task("usps+disguised-abc").load()
    assert digits.sha256 == compute_hashes(digits.train, digits.test)
    plain = make_task()
    hidden = disguise_task(plain, "abc").load()
    disguise, data = make_disguise(plain, "abc"), plain.load()
    assert hidden.sha256["images"] == hash_images(disguise.show(data.fetch(np.arange(60))))
    assert hidden.sha256["labels"] == hash_array(disguise.rename(make_labels(60)))
    assert hidden.sha256.keys() == data.sha256.keys()
    assert not set(hidden.sha256.values()) & set(data.sha256.values())
    assert disguise_task(plain, "abd").load().sha256["labels"] in (
        hash_array(make_disguise(plain, "abd").rename(make_labels(60))),
    )


def test_all_splits_of_slices_are_hashed_in_disguise(spect_cache: Path) -> None:
    """Scans have a validation split of their own, whose images are in the hashes too."""
    from dlmi_tasks.spec import compute_hashes

    hidden = get_task("spect-small+disguised-abc").load()
    splits = hidden.split(None)
    assert isinstance(splits.train, Arrays)
    both = compute_hashes(splits.train, splits.test.read("x")), compute_hashes(splits.validation, splits.validation)
    assert hidden.sha256 == both[0] | {f"validation_{part}": both[1][f"train_{part}"] for part in ("images", "labels")}


def test_audit_and_recipes_are_those_of_the_task() -> None:
    """A disguise makes no image equal to another; recipe, target and distortion stay."""
    plain, hidden = (get_task(name) for name in ("usps", "usps+disguised-abc"))
    assert audit_dataset(plain.load(), plain) == audit_dataset(hidden.load(), hidden)
    assert (hidden.recipes, hidden.target, hidden.distortion) == (plain.recipes, plain.target, plain.distortion)
    assert hidden.load().describe()["name"] == "usps+disguised-abc"


def test_seeds_in_disguise_are_nobody_elses() -> None:
    """An arm shares the seed of its task; a task in disguise has seeds that its nonce decides."""
    tasks = ("spect", "spect+none-full", "spect+disguised-a", "spect+disguised-b", "spect+none-full+disguised-a")
    seeds = [Cell(kind="train", task=task, model="vgg16-c").seed for task in tasks]
    assert seeds[0] == seeds[1]
    assert len({*seeds[1:]}) == 4


@pytest.mark.parametrize("nonce", ["", "A", "a-b", "a" * 33, "é"])
def test_nonce_that_is_no_name_is_refused(nonce: str) -> None:
    with pytest.raises(UsageError, match="nonce"):
        get_task(f"usps+disguised-{nonce}")


def test_streams_have_no_disguise() -> None:
    """Said when the data are read, with what helps."""
    items = Items(make_images(60).astype(np.float32), make_labels(60))
    task = Task.from_datasets(items, test=items, name="mine", in_memory=False)
    with pytest.raises(UnavailableError, match="in_memory=True"):
        disguise_task(task, "a").load()


def test_disguised_loader_leaves_no_data_behind() -> None:
    """The loader of the task keeps the data of a process; after a disguised one has read them it holds none."""
    plain = make_task()
    disguise_task(plain, "abc").load()
    assert isinstance(plain.load, Loader)
    assert plain.load._data is None


def test_disguise_is_no_way_of_preparing_data() -> None:
    """The table of preprocessing leaves it out."""
    tasks = {name: SimpleNamespace(name=name, models={"m": None}) for name in ("usps", "usps+disguised-a")}
    assert make_ablation_table(tasks, "usps") is None  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["usps", "mine"])
def test_no_process_holds_the_test_split_while_it_trains_in_disguise(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """While fit runs no object of this process is or holds a test split; what was trained is judged all the same."""
    found: list[list[object]] = []

    def list_held() -> list[object]:
        gc.collect()
        return [value for value in gc.get_objects() if issubclass(type(value), HeldOut | Dataset)]

    def fit(network: nn.Module, splits: OpenSplits, _: int, report: Report) -> None:
        found.append([value for value in list_held() if not any(value is other for other in before)])
        with torch.no_grad():
            network[1].bias += 1  # type: ignore[index, operator]

    task = make_task((16, 16)) if name == "mine" else get_task(name)
    monkeypatch.setitem(TASKS, "mine", task)
    make = lambda n_classes: nn.Sequential(nn.Flatten(), nn.Linear(256, n_classes))  # noqa: E731
    monkeypatch.setitem(MODELS, "net", ModelEntry("", "", "net", is_own=True, definition=Model(make, fit=fit)))
    cell = Cell(kind="train", task=f"{name}+disguised-abc", model="net")
    backends = {"onnxruntime": ""}
    request = TrainRequest(
        cell=cell, out=str(tmp_path), energy_window_s=0.1, backends=backends, n_pictured=0, is_timed=False
    )
    before = list_held()  # of other tests
    record = run_here(request, lambda *_: None)
    assert found == [[]]
    assert record.details["opened"] == []
    figure = record.figure("test_accuracy")
    assert figure
    assert figure.value is not None
