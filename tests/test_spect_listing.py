"""Scans that the user lists: whose they are, what their classes are, how they are split, and as a task of one's own."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dlmi_bench as db
from dlmi_bench.errors import DataError, UsageError
from dlmi_tasks.spect.cohort.synthesis import Visit
from dlmi_tasks.spect.cohort.template import Template
from dlmi_tasks.spect.ppmi.dataset import load_ppmi
from dlmi_tasks.spect.ppmi.grouping import name_labels
from dlmi_tasks.spect.ppmi.options import Options
from dlmi_tasks.spect.ppmi.question import find_question
from dlmi_tasks.spect.ppmi.writer import write_cohort
from stand_ins import Command

Write = Callable[[str], Path]


@pytest.fixture
def write(ppmi_visits: list[Visit], templates: list[Template], tmp_path: Path) -> Write:
    def write_layout(layout: Any) -> Path:
        write_cohort(ppmi_visits, templates, tmp_path / layout, layout=layout, file_format="nifti")
        return tmp_path / layout

    return write_layout


def test_labels_are_the_classes(write: Write, spect_cache: Path, ppmi_visits: list[Visit]) -> None:
    """A listing decides whose a file is, its class and its site; images without a label are out, with the reason."""
    data = load_ppmi(write("hospital"), cache=spect_cache)
    stages = {visit.patient.subject: visit.patient.stage for visit in ppmi_visits}
    assert data.class_names == ("1", "2", "3+")
    for scans in data.splits.values():
        assert [stages[subject] - 1 for subject in scans.subjects] == scans.labels.tolist()
    assert data.question == "labels"
    assert data.summary["out"] == [{"n": 2, "reason": "label of the listing is missing"}]
    assert sum(data.report["in"]["by_site"].values()) == data.summary["n_scans"]  # type: ignore[index, call-overload]


def test_challenge_without_subjects(write: Write, spect_cache: Path) -> None:
    """A table of uid and class names files without folder and suffix; each is a patient of its own."""
    folder = write("challenge")
    question = find_question(folder, Options())
    assert (question.grouping.classes, question.grouping.is_ordinal) == (("0", "1"), True)
    with pytest.raises(DataError, match=r"class '0', by label of the listing, has 2 patients; 3 splits") as caught:
        load_ppmi(folder, cache=spect_cache)
    assert caught.value.remedy == "add scans of it"


def test_named_grouping_beats_labels(write: Write) -> None:
    """With a listing the default question is its labels; a named one asks what it names."""
    folder = write("hospital")
    assert find_question(folder, Options()).grouping.name == "labels"
    assert find_question(folder, Options("hc-pd")).grouping.classes == ("HC", "PD")
    assert find_question(None, Options("hc-pd")).grouping.name == "stage"


def test_listing_that_has_changed_is_read_again(write: Write) -> None:
    """As in a notebook: classes are those that the table has now."""
    folder = write("hospital")
    assert db.Task.from_spect(folder).class_names == ("1", "2", "3+")
    listing = folder / "images.csv"
    listing.write_text(listing.read_text().replace('"3+"', '"late"'))
    assert db.Task.from_spect(folder).class_names == ("1", "2", "late")


def test_order_of_labels() -> None:
    """Numbers are an order, 10 after 9; words are none."""
    assert name_labels(["10", "9", "9", ""]).classes == ("9", "10")
    assert name_labels(["10", "9"]).is_ordinal
    assert name_labels(["pd", "hc"]).classes == ("hc", "pd")
    assert not name_labels(["pd", "hc"]).is_ordinal


def test_folds_keep_patients_whole(write: Write, spect_cache: Path) -> None:
    """Over the folds of a repeat each scan is tested once, and no patient is on two sides."""
    options = Options(n_folds=3)
    data = load_ppmi(write("hospital"), options=options, cache=spect_cache)
    tested = []
    for index in range(3):
        splits = data.split(None, index)
        assert splits.test_index is not None
        assert splits.folds == {"n_folds": 3, "fold": index, "repeat": 0, "by": "group", "is_held_out_site": False}
        sides = [set(part.groups) for part in (splits.train, splits.validation, splits.test) if part.groups is not None]
        assert len(set.union(*sides)) == sum(map(len, sides))
        tested += splits.test_index.tolist()
    assert sorted(tested) == list(range(sum(map(len, data.splits.values()))))
    first, again = data.split(None, 0), data.split(None, 0)
    np.testing.assert_array_equal(first.validation.images, again.validation.images)
    np.testing.assert_array_equal(first.validation.images, data.validation.images)


def test_sites_are_held_out(write: Write, spect_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each training tests on one site; a scan without a site is an error that names it."""
    monkeypatch.setenv("DLMI_BENCH_CACHE", str(spect_cache))
    folder = write("hospital")
    listing = folder / "images.csv"
    rows = listing.read_text().splitlines()
    header, *body = rows
    subjects = sorted({line.split(",")[1] for line in body})
    at = {subject: f'"site {1 + i % 2}"' for i, subject in enumerate(subjects)}
    lines = [",".join([*f[:3], at[f[1]], *f[4:]]) for f in (line.split(",") for line in body)]
    listing.write_text("\n".join([header, *lines]))
    task = db.Task.from_spect(folder, name="ours", held_out_sites=True)
    assert (task.name, task.n_folds, task.class_names) == ("ours", 2, ("1", "2", "3+"))
    data = task.load()
    for index, site in enumerate(("site 1", "site 2")):
        test = data.split(None, index).test
        assert test.groups is not None
        assert {at[f'"{subject}"'] for subject in test.groups} == {f'"{site}"'}
    listing.write_text("\n".join([header, *[line.replace('"site 2"', '""') for line in lines]]))
    with pytest.raises(DataError, match="no table says at which site"):
        load_ppmi(folder, options=Options(holds_out_sites=True), cache=spect_cache)


@pytest.mark.parametrize(
    ("settings", "cause"),
    [
        ({"grouping": "stages"}, "grouping 'stages' does not exist"),
        ({"n_folds": 0}, "0 folds"),
        ({"n_folds": 3, "holds_out_sites": True}, "by patient and by site"),
    ],
)
def test_settings_that_make_no_sense(settings: dict[str, Any], cause: str) -> None:
    """Each is refused before a file is opened."""
    with pytest.raises(UsageError, match=cause):
        Options(**settings)


def test_command_shows_sites_and_folds(write: Write, spect_cache: Path, command: Command) -> None:
    """`data spect` counts sites, and with folds says what random ones would pretend."""
    where = {"DLMI_BENCH_CACHE": str(spect_cache)}
    done = command("data", "spect", "--data-dir", str(write("hospital")), "--folds", "3", "--json", **where)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["tasks"]["spect"]
    assert set(found["report"]["in"]["by_site"])
    folds = found["random_folds"]
    assert folds["inflation"] == pytest.approx(folds["accuracy_by_slice"] - folds["accuracy_by_patient"])
    done = command("data", "spect", "--folds", "3", **where)
    assert done.returncode == 2
    assert "--data-dir" in done.stderr
