"""The SPECT task: its arms, its splits, what stands beside its models."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from dlmi_bench.records import Cell
from dlmi_tasks import SPECT_ARMS, TASKS, get_task
from dlmi_tasks.spec import Distortion
from dlmi_tasks.spect.cohort.cohort import CohortSpec, find_patient, sample_patient
from dlmi_tasks.spect.data import load_synthetic
from dlmi_tasks.spect.observer import observe
from dlmi_tasks.spect.preprocess import Preprocessing
from dlmi_tasks.training.distortion import distort


def test_references_need_the_data_alone(spect_cache: Path) -> None:
    """Chance, majority, four numbers, pixels and the ceiling; too few scans for a covariance is said, not guessed."""
    data = load_synthetic(CohortSpec(), sizes=(6, 3, 9), cache=spect_cache, n_workers=1)
    splits = data.split(None)
    assert (len(splits.train), len(splits.validation)) == (6, 3)
    assert data.source.endswith("18 patients")
    assert splits.validation is data.validation
    describe = get_task("spect").references
    assert describe is not None
    figures = describe(data)
    found = {f.conditions.get("observer", f.name): f for f in figures if "balanced" not in f.name}
    assert found["uniform chance"].value == pytest.approx(1 / 3)
    assert found["the course's baseline"].value == 0.25
    assert found["majority class"].value == pytest.approx(1 / 3)
    assert found["ceiling of the ratios"].value == pytest.approx(0.81, abs=0.01)
    assert "too few" in found["LDA on measured ratios"].reason
    assert found["logistic regression on pixels"].n == 9
    assert found["image_snr"].value is not None
    assert found["image_snr"].value > 1


def test_how_hard_the_patients_of_a_split_are() -> None:
    """The ideal observer alone is right about 54 of the 60 validation patients and 78.8 % of the 600 for testing."""
    spec = CohortSpec()
    for indices, expected in ((range(180, 240), 54 / 60), (range(240, 840), 0.788)):
        patients = [sample_patient(spec, index) for index in indices]
        stages = np.array([patient.stage for patient in patients])
        assert np.mean(observe(patients) == stages - 1) == pytest.approx(expected, abs=1e-3)
        assert [find_patient(spec, p.subject) for p in patients[:2]] == patients[:2]


def test_arms_of_a_comparison_share_their_seed() -> None:
    """Another preprocessing or another start, same seed; another model or index, another seed."""
    base = Cell(kind="train", task="spect", model="vgg16-c", seed_index=3)
    arms = [("spect+none-full", "vgg16-c"), ("spect+single", "vgg16-c"), ("spect", "vgg16-c+synthetic")]
    assert {Cell(kind="train", task=t, model=m, seed_index=3).seed for t, m in arms} == {base.seed}
    others = [base.model_copy(update=change) for change in ({"seed_index": 4}, {"model": "vit-c"}, {"task": "usps"})]
    assert len({base.seed, *(cell.seed for cell in others)}) == 4


@pytest.mark.parametrize("name", TASKS)
def test_every_task_is_whole(name: str) -> None:
    """Each registered name resolves to a task of that name with a recipe for any model."""
    task = get_task(name)
    assert task.name == name
    assert task.recipe("no-such-model+arm") == task.recipes["*"]
    assert task.n_classes == len(task.class_names)


def test_arms_cover_the_grid_once() -> None:
    """Five normalisations by two extents, less the task itself, and two choices of slices; whole ones are 109 x 91."""
    assert len(set(SPECT_ARMS)) == 9 + 2
    assert get_task("spect+hottest").input_shape == (1, 50, 50)
    assert get_task("spect+none-full").input_shape == (1, 109, 91)
    assert get_task("spect+channels").input_shape == (14, 50, 50)
    assert get_task("spect+volume").input_shape == (1, 14, 50, 50)
    assert get_task("spect").input_shape == get_task("spect+zscore-crop").input_shape == (1, 50, 50)


@pytest.mark.parametrize("slices", ["single", "hottest", "channels", "volume"])
def test_arms_of_slices_differ_in_nothing_else(slices: str) -> None:
    """The choice of slices is the arm's, normalisation and crop are those of the task itself."""
    load = get_task(f"spect+{slices}").load
    assert isinstance(load, partial)
    assert load.args[:2] == ("course", Preprocessing(slices=slices))


def test_mirrored_images_are_mirror_images() -> None:
    """With no other distortion, each image comes out as it was or left to right, and both occur."""
    ranges = Distortion(0.0, scale=0.0, shear=0.0, shift_pixels=0.0, background=None, is_mirrored=True)
    images = torch.rand(40, 1, 6, 6)
    out = distort(images, ranges, torch.Generator().manual_seed(0))
    same = torch.isclose(out, images, atol=1e-5).flatten(1).all(1)
    mirrored = torch.isclose(out, images.flip(3), atol=1e-5).flatten(1).all(1)
    assert (same ^ mirrored).all()
    assert 8 < int(same.sum()) < 32


def test_borders_are_repeated_where_there_is_no_background() -> None:
    """A constant image stays constant under any map."""
    ranges = Distortion(0.5, scale=0.3, shear=0.3, shift_pixels=3.0, background=None)
    images = torch.full((5, 1, 12, 12), 2.5)
    assert torch.allclose(distort(images, ranges, torch.Generator().manual_seed(0)), images)
