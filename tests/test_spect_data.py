"""The synthetic data set as the suite gets it, and what is said about it."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dlmi_bench.errors import UsageError
from dlmi_tasks.spec import Dataset, compute_hashes
from dlmi_tasks.spect.cohort.cohort import CohortSpec
from dlmi_tasks.spect.cohort.montage import write_montage
from dlmi_tasks.spect.data import NOTE, SyntheticDataset, load_synthetic
from dlmi_tasks.spect.inspection import describe, load_spect
from dlmi_tasks.spect.learners import compute_accuracy, fit_logistic
from dlmi_tasks.spect.preprocess import Preprocessing

SMALL = (9, 3, 6)


@pytest.fixture(scope="module")
def small(spect_cache: Path) -> SyntheticDataset:
    return load_synthetic(sizes=SMALL, n_workers=1, cache=spect_cache)


def test_data_set_is_what_the_suite_expects(small: SyntheticDataset) -> None:
    """Images are (n, 1, 50, 50) float32, labels 0-2, splits by patient, marked synthetic with the full note."""
    assert isinstance(small, Dataset)
    assert small.is_synthetic
    assert small.note == NOTE
    assert "Not evidence about patients" in NOTE
    for scans, n in zip(small.splits.values(), SMALL, strict=True):
        assert scans.images.shape == (n, 1, 50, 50)
        assert scans.images.dtype == np.float32
        assert scans.labels.tolist() == [0, 1, 2] * (n // 3)
        assert np.isfinite(scans.images).all()
    subjects = np.concatenate([s.subjects for s in small.splits.values()])
    assert len(set(subjects)) == sum(SMALL)


def test_hashes_cover_all_three_splits(small: SyntheticDataset) -> None:
    """Six hashes, those of training and test as for any data set."""
    assert len(small.sha256) == 6
    assert compute_hashes(small.train, small.test).items() <= small.sha256.items()
    assert small.sha256["validation_images"] != small.sha256["train_images"]


def test_images_do_not_depend_on_the_size_of_the_cohort(small: SyntheticDataset, spect_cache: Path) -> None:
    """The first patients of a smaller cohort are, bit for bit, those of the larger."""
    fewer = load_synthetic(sizes=(3, 3, 3), n_workers=1, cache=spect_cache)
    np.testing.assert_array_equal(fewer.train.images, small.train.images[:3])
    np.testing.assert_array_equal(fewer.validation.images, small.train.images[3:6])


def test_preprocessing_changes_images_and_not_scans(small: SyntheticDataset, spect_cache: Path) -> None:
    """Another normalisation of the same slices needs no new scans and gives other images of the same subjects."""
    other = load_synthetic(
        sizes=SMALL, preprocessing=Preprocessing(normalisation="minmax"), n_workers=1, cache=spect_cache
    )
    np.testing.assert_array_equal(other.train.extracts.planes, small.train.extracts.planes)
    np.testing.assert_array_equal(other.train.subjects, small.train.subjects)
    assert other.train.images.min() >= 0
    assert other.train.images.max() <= 1


def test_repeat_visits_stay_in_their_split(spect_cache: Path) -> None:
    """With repeat visits a patient's scans are all in one split."""
    data = load_synthetic(CohortSpec(max_visits=2), sizes=(3, 3, 3), n_workers=1, cache=spect_cache)
    assert sum(map(len, data.splits.values())) > 9
    owners = [set(s.subjects) for s in data.splits.values()]
    assert [len(o) for o in owners] == [3, 3, 3]
    assert len(set.union(*owners)) == 9


def test_description_is_plain_data(small: SyntheticDataset, spect_cache: Path) -> None:
    """The description survives JSON and holds origin, counts, reference figures, manifest and audit."""
    found = json.loads(json.dumps(describe(small, has_audit=True, cache=spect_cache)))
    assert found["splits"]["train"]["n_by_class"] == {"1": 3, "2": 3, "3+": 3}
    assert found["reference"]["accuracy_uniform_chance"] == pytest.approx(1 / 3)
    assert found["reference"]["accuracy_ceiling_of_ratios"] == pytest.approx(0.81, abs=0.01)
    assert found["audit"]["is_clean"]
    assert found["signal_to_noise"]["image_snr_median"] > 0
    assert found["note"] == NOTE


def test_one_door_for_both_sources(ppmi_original: Path, spect_cache: Path) -> None:
    """A named folder is read as PPMI's; without one the cohort is synthetic; both describe themselves."""
    assert load_spect(sizes=SMALL, cache=spect_cache).name == "spect-course"
    data = load_spect(data_dir=ppmi_original, cache=spect_cache)
    found = json.loads(json.dumps(describe(data, cache=spect_cache)))
    assert found["name"] == "spect-folder"
    assert found["reference"]["accuracy_ceiling_of_ratios"] is None
    assert found["report"]["found"]["scans"] > 9


def test_import_is_light() -> None:
    """Importing the task loads none of torch, scipy, pandas, matplotlib, nibabel and pydicom."""
    modules = ", ".join(f"dlmi_tasks.spect.{name}" for name in ("inspection", "cohort.montage", "ppmi.writer"))
    code = f"import sys, {modules}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "scipy", "pandas", "matplotlib", "nibabel", "pydicom"} & set(done.stdout.split())


def test_split_without_a_class_is_refused() -> None:
    """Two patients cannot show three classes."""
    with pytest.raises(UsageError, match="empty class"):
        load_synthetic(sizes=(2, 3, 3))


def test_montage_is_drawn(spect_cache: Path, tmp_path: Path) -> None:
    """A sheet with controls and three stages is written as PNG."""
    write_montage(tmp_path / "m.png", n_columns=1, cache=spect_cache)
    assert (tmp_path / "m.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
@pytest.mark.parametrize(("preset", "low", "high"), [("course", 0.70, 0.80), ("realistic", 0.46, 0.60)])
def test_logistic_regression_on_the_default_cohort(preset: str, low: float, high: float) -> None:
    """Five-fold over all 840 scans, a linear learner on the crops lands where the reference did, below the ceiling."""
    data = load_synthetic(CohortSpec(preset))
    images = np.concatenate([s.images for s in data.splits.values()]).reshape(840, -1).astype(float)
    labels = np.concatenate([s.labels for s in data.splits.values()])
    folds = np.random.default_rng(0).permutation(840) % 5
    accuracies = [
        compute_accuracy(fit_logistic(images[folds != k], labels[folds != k]), images[folds == k], labels[folds == k])
        for k in range(5)
    ]
    assert low < np.mean(accuracies) < high
