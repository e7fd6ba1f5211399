"""Splits by patient, the manifest that proves it, and the audit that finds what crosses all the same."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dlmi_bench.errors import DataError
from dlmi_tasks.audit import count_exact, find_near
from dlmi_tasks.own.examples import Examples
from dlmi_tasks.own.options import DEFAULTS
from dlmi_tasks.own.plan import make_plan
from dlmi_tasks.spec import Groups, Labels
from dlmi_tasks.spect.audit import audit_leakage, measure_inflation
from dlmi_tasks.spect.data import CLASS_NAMES, NOTE, Scans, SpectDataset
from dlmi_tasks.spect.manifest import check_splits, hash_subject, load_key, make_manifest
from dlmi_tasks.spect.ppmi.dataset import TEST_SHARE, VALIDATION_SHARE
from dlmi_tasks.spect.preprocess import Extracts, Preprocessing


def make_scans(rng: np.random.Generator, subjects: list[str], own: float = 0.0) -> Scans:
    """Noise images; `own` gives each patient a pattern that all slices share, unrelated to the class."""
    n = len(subjects)
    labels = np.array([int(s) % 3 for s in subjects])
    patterns = {s: np.random.default_rng(int(s)).normal(size=(50, 50)) for s in subjects}
    slices = np.array([[own * patterns[s] + rng.normal(size=(50, 50)) for _ in range(5)] for s in subjects])
    images = rng.normal(size=(n, 1, 50, 50)).astype(np.float32)
    extracts = Extracts(
        planes=np.zeros((n, 1, 1), np.float32),
        slices=slices.astype(np.float32),
        stack=np.zeros((n, 0, 50, 50), np.float32),
        occipital=np.ones(n, np.float32),
        ratios=np.ones((n, 4), np.float32),
    )
    return Scans(images, labels, np.array(subjects), extracts)


def make_data(own: float = 0.0, n: int = 30) -> SpectDataset:
    rng = np.random.default_rng(0)
    train, validation, test = (make_scans(rng, [str(100 * k + i) for i in range(n)], own) for k in (1, 2, 3))
    return SpectDataset("x", "made up", train, test, True, NOTE, validation, Preprocessing(), CLASS_NAMES)


def split_patients(subjects: Groups, labels: Labels) -> tuple[NDArray[np.intp], ...]:
    """The splits of a folder of scans, one part held out."""
    examples = Examples("x", "", "", (1, 50, 50), labels, CLASS_NAMES, groups=subjects)
    return make_plan(examples, {**DEFAULTS, "test_share": TEST_SHARE, "validation_share": VALIDATION_SHARE}).cut()


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 2)), min_size=1, max_size=120))
@settings(max_examples=50, deadline=None)
def test_no_patient_is_ever_in_two_splits(scans: list[tuple[int, int]]) -> None:
    """Whatever scans there are, each is in exactly one split, and so is each patient."""
    scans = scans + [(100 + 10 * c + i, c) for c in range(3) for i in range(3)]
    subjects, labels = np.array([str(s) for s, _ in scans]), np.array([c for _, c in scans])
    parts = split_patients(subjects, labels)
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(scans)))
    owners = [set(subjects[part]) for part in parts]
    assert len(set.union(*owners)) == sum(map(len, owners))
    assert all(owners)


def test_splits_are_stratified_and_repeatable() -> None:
    """Of 50 patients a class, 30, 10 and 10 go to the splits, the same ones each time."""
    subjects, labels = np.array([f"{i:03}" for i in range(150)]), np.repeat([0, 1, 2], 50)
    parts = split_patients(subjects, labels)
    assert [np.bincount(labels[part]).tolist() for part in parts] == [[30] * 3, [10] * 3, [10] * 3]
    again = split_patients(subjects, labels)
    assert all((a == b).all() for a, b in zip(parts, again, strict=True))


def test_small_splits() -> None:
    """Three patients of a class give one to each split."""
    subjects, labels = np.array(list("abcdefghi")), np.repeat([0, 1, 2], 3)
    assert [len(part) for part in split_patients(subjects, labels)] == [3, 3, 3]


def test_manifest_hides_who_and_proves_disjoint() -> None:
    """No subject number is in the manifest, its lists are complete, and the shared counts are zero."""
    data = make_data()
    manifest = make_manifest(data, b"secret")
    assert manifest["n_subjects_shared"] == {"train/validation": 0, "train/test": 0, "validation/test": 0}
    assert [len(ids) for ids in manifest["splits"].values()] == [30, 30, 30]
    assert hash_subject("100", b"secret") in manifest["splits"]["train"]
    assert hash_subject("100", b"secret") != hash_subject("100", b"other")
    assert not any(subject in str(manifest["splits"]).split("'") for subject in data.train.subjects)


def test_crossing_subject_breaks_the_manifest() -> None:
    """A patient in two splits, or twice in one list, is an error that names where."""
    data = make_data()
    crossing = replace(data, test=replace(data.test, subjects=np.append(data.test.subjects[1:], "100")))
    with pytest.raises(DataError, match="train/test"):
        make_manifest(crossing, b"secret")
    with pytest.raises(DataError, match="twice in validation"):
        check_splits("x", {"train": ["a"], "validation": ["b", "b"], "test": []})


def test_key_is_made_once_per_machine(tmp_path: Path) -> None:
    """The secret stays the same on a machine and differs on the next."""
    assert load_key(tmp_path / "a") == load_key(tmp_path / "a")
    assert load_key(tmp_path / "a") != load_key(tmp_path / "b")


def test_damaged_key_is_made_again(tmp_path: Path) -> None:
    """A key that is too short to be secret, or too long to be ours, is replaced by one that stays."""
    for damaged in (b"", b"short", bytes(33)):
        (tmp_path / "spect-subject-key").write_bytes(damaged)
        assert len(load_key(tmp_path)) == 32
        assert load_key(tmp_path) == load_key(tmp_path)


def test_key_without_a_cache(tmp_path: Path) -> None:
    """Where no lock can be taken the key is read; where no file can be made it is used without being kept."""
    key = load_key(tmp_path)
    (tmp_path / "spect-subject-key.lock").unlink()
    (tmp_path / "spect-subject-key.lock").mkdir()
    assert load_key(tmp_path) == key
    (tmp_path / "file").write_text("")
    with pytest.warns(RuntimeWarning, match="spect-subject-key: not kept"):
        assert len(load_key(tmp_path / "file")) == 32


@pytest.mark.slow
def test_audit_of_clean_data() -> None:
    """Independent noise shares nothing, and random slices gain nothing over patients kept whole."""
    audit = audit_leakage(make_data())
    assert audit["is_clean"]
    assert set(audit["n_exact_duplicates"].values()) == set(audit["n_near_duplicates"].values()) == {0}
    assert abs(audit["control"]["inflation"]) < 0.12


def test_audit_finds_exact_near_and_shared() -> None:
    """A copied image is exact and near, a rescaled noisy copy is near, a shared patient is counted."""
    data = make_data()
    images = data.test.images.copy()
    images[0] = data.train.images[3]
    images[1] = 5 * data.train.images[4] + 2 + 0.01 * images[1]
    subjects = np.append(data.test.subjects[1:], data.train.subjects[0])
    audit = audit_leakage(replace(data, test=replace(data.test, images=images, subjects=subjects)))
    assert audit["n_exact_duplicates"] == {"train/validation": 0, "train/test": 1, "validation/test": 0}
    assert audit["n_near_duplicates"]["train/test"] == 2
    assert audit["n_subjects_shared"]["train/test"] == 1
    assert not audit["is_clean"]


def test_near_pairs_are_named() -> None:
    """The positions of a near pair are given, and a constant image is like nothing."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 3, 1, 8, 8)).astype(np.float32)
    b[2] = -3 * a[1]
    b[0] = 2 * a[1] + 1
    b[1] = 0
    pairs, closest = find_near(a, b)
    assert pairs is not None
    assert pairs.tolist() == [[1, 0]]
    assert closest == pytest.approx(1.0)


def test_exact_duplicates_are_counted_in_the_second() -> None:
    """Each copy in the second split counts."""
    data = make_data()
    twice = replace(data.test, images=data.train.images[[5] * 30])
    assert count_exact(data.train, twice) == 30
    assert count_exact(data.train, data.test) == 0


def test_control_arm_shows_the_inflation() -> None:
    """Where slices of a patient look alike and no class can be seen, slice-wise splits read 1 and honest ones .33."""
    control = measure_inflation(make_data(own=3.0))
    assert control["accuracy_by_slice"] > 0.95
    assert control["accuracy_by_patient"] < 0.5
    assert control["inflation"] == control["accuracy_by_slice"] - control["accuracy_by_patient"]
    assert (control["n_patients"], control["n_images"]) == (90, 450)
