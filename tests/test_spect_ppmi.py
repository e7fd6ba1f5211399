"""A whole PPMI download: every layout reads the same, and every kind of damage is reported without losing the rest."""

import csv
import json
import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from dlmi_bench.errors import DataError, UsageError
from dlmi_tasks.spect.cohort.synthesis import Visit
from dlmi_tasks.spect.cohort.template import Template
from dlmi_tasks.spect.ppmi import prepared
from dlmi_tasks.spect.ppmi.dataset import PpmiDataset, load_ppmi
from dlmi_tasks.spect.ppmi.layout import SEARCH_COLUMNS
from dlmi_tasks.spect.ppmi.options import Options
from dlmi_tasks.spect.ppmi.writer import write_cohort
from dlmi_tasks.spect.preprocess import Preprocessing
from dlmi_tasks.spect.volumes import read as volumes
from stand_ins import Command

STAGES = "MDS-UPDRS_Part_III_05Jan2026.csv"
COLLECTION = "Reconstructed_DaTSCAN_collection.csv"
Load = Callable[..., PpmiDataset]


@pytest.fixture
def ppmi(ppmi_original: Path, tmp_path: Path) -> Path:
    """The download with tables that a test may break; the images are links, so copy one before breaking it."""

    def copy(source: str, target: str) -> None:
        (os.link if source.endswith(".dcm") else shutil.copy)(source, target)

    return Path(shutil.copytree(ppmi_original, tmp_path / "download", copy_function=copy))


@pytest.fixture
def load(spect_cache: Path) -> Load:
    return partial(load_ppmi, cache=spect_cache)


def get_reasons(data: PpmiDataset) -> str:
    left_out = data.report["left_out"]
    return "\n".join(f"{item['where']}: {item['reason']}" for item in left_out)


def edit_rows(path: Path, change: Callable[[list[dict[str, str]]], list[dict[str, str]]]) -> None:
    with path.open(newline="") as file:
        rows = change(list(csv.DictReader(file)))
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def find_images(folder: Path, subject: int) -> list[Path]:
    return sorted((folder / "PPMI" / str(subject)).rglob("*.dcm"))


def test_download_is_read_whole(ppmi_original: Path, ppmi_visits: list[Visit], load: Load) -> None:
    """Every patient's scan is used once, with the stage it was made with; the control is left out and said to be."""
    data = load(ppmi_original)
    patients = [v for v in ppmi_visits if v.patient.stage]
    assert data.report["found"]["scans"] == len(ppmi_visits)
    assert data.report["in"]["scans"] == len(patients)
    stages = {v.patient.subject: v.patient.stage for v in patients}
    for scans in data.splits.values():
        assert [stages[s] - 1 for s in scans.subjects] == scans.labels.tolist()
        assert sorted(set(scans.labels)) == [0, 1, 2]
    assert not data.is_synthetic
    (out,) = data.report["out"]
    assert (out["n"], out["reason"]) == (2, "group HC: not asked about by the grouping 'stage'")
    assert data.report["in"]["stages_joined"] == {"baseline for screening": 9, "visit": len(patients) - 9}
    assert data.report["in"]["subjects_by_class"] == {"1": 3, "2": 3, "3+": 3}
    summary = data.describe()["scans"]
    assert summary["n_scans"] == len(patients)
    assert summary["out"] == [{"n": 2, "reason": out["reason"]}]
    assert not any(visit.patient.subject in json.dumps(summary) for visit in ppmi_visits)


@pytest.mark.parametrize(
    ("layout", "file_format"), [("older", "dicom"), ("current", "nifti"), ("older", "nifti"), ("current", "nifti-gz")]
)
def test_layouts_and_formats_read_the_same(
    ppmi_original: Path,
    ppmi_visits: list[Visit],
    templates: list[Template],
    tmp_path: Path,
    layout: Any,
    file_format: Any,
    load: Load,
) -> None:
    """The same nine scans in each layout and format give the same images, bit for bit."""
    first = [v for v in ppmi_visits if v.number == 0 and v.patient.stage]
    write_cohort(first, templates, tmp_path, layout=layout, file_format=file_format)
    expected, found = load(ppmi_original), load(tmp_path)
    assert found.report["in"]["scans"] == 9
    assert found.report["left_out"] == []
    known = [pair for scans in expected.splits.values() for pair in zip(scans.subjects, scans.images, strict=True)]
    for scans in found.splits.values():
        for subject, image in zip(scans.subjects, scans.images, strict=True):
            assert any((image == other).all() for whose, other in known if whose == subject)


def test_one_level_deeper(ppmi: Path, ppmi_original: Path, load: Load) -> None:
    """An archive unpacked as PPMI/PPMI reads the same."""
    shutil.move(ppmi / "PPMI", ppmi / "inner")
    (ppmi / "PPMI").mkdir()
    shutil.move(ppmi / "inner", ppmi / "PPMI" / "PPMI")
    assert load(ppmi).sha256 == load(ppmi_original).sha256


def test_xml_beside_and_alone(ppmi: Path, ppmi_original: Path, load: Load) -> None:
    """XML beside the images or in folders of its own changes nothing; it is counted."""
    (find_images(ppmi, 10000)[0].parent / "meta.xml").write_text("<x/>")
    bare = ppmi / "PPMI" / "10001" / "Reconstructed_DaTSCAN" / "2015-01-01_00_00_00.0" / "I77"
    bare.mkdir(parents=True)
    (bare / "meta.xml").write_text("<x/>")
    data = load(ppmi)
    assert data.sha256 == load(ppmi_original).sha256
    assert data.report["found"]["xml"] == 2


def test_published_ratios_stand_beside_ours(ppmi: Path, load: Load) -> None:
    """Means, difference and correlation by region, of the scans in DaTScan_Analysis; what is no number is named."""
    plain = load(ppmi)
    assert plain.report["published_ratios"] == {}
    ours: dict[str, Any] = {}  # of each patient the first scan, which is the one at screening
    for scans in plain.splits.values():
        for subject, ratios in zip(scans.subjects, scans.extracts.ratios, strict=True):
            ours.setdefault(str(subject), ratios)
    lines = ["PATNO,EVENT_ID,DATSCAN_CAUDATE_R,DATSCAN_CAUDATE_L,DATSCAN_PUTAMEN_R,DATSCAN_PUTAMEN_L"]
    for subject, (caudate_l, caudate_r, putamen_l, putamen_r) in ours.items():
        lines.append(f"{subject},SC,{caudate_r + 1},{caudate_l},{2 * putamen_r},{putamen_l}")
    lines += ["10000,V04,x,1,1,1", "10001,V06,,,,"]
    (ppmi / "DaTScan_Analysis_05Jan2026.csv").write_text("\n".join(lines))
    report = load(ppmi).report
    (found,) = report["published_ratios"].values()
    assert found["n_scans"] == len(ours) == 9
    regions = found["by_region"]
    assert regions["caudate_L"]["difference_mean"] == pytest.approx(0, abs=1e-6)
    assert regions["caudate_R"]["difference_mean"] == pytest.approx(-1, abs=1e-6)
    assert regions["caudate_R"]["difference_sd"] == pytest.approx(0, abs=1e-6)
    assert regions["putamen_R"]["published_mean"] == pytest.approx(2 * regions["putamen_R"]["ours_mean"], rel=1e-6)
    assert regions["putamen_R"]["correlation"] == pytest.approx(1, abs=1e-9)
    (problem,) = report["notes"]
    assert problem["example"].endswith(f"line {len(lines) - 1}")
    assert "expected numbers" in problem["reason"]


def break_truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:500_000])


def make_projections(path: Path) -> None:
    dataset = pydicom.dcmread(path)
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "TOMO", "EMISSION"]
    dataset.save_as(path)


def break_constant(path: Path) -> None:
    dataset = pydicom.dcmread(path)
    dataset.PixelData = bytes(len(dataset.PixelData))
    dataset.save_as(path)


def break_huge(path: Path) -> None:
    dataset = pydicom.dcmread(path)
    dataset.RescaleSlope = "1e35"
    dataset.save_as(path)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (break_truncate, "PixelData cannot be read"),
        (make_projections, "raw projections"),
        (break_constant, "PixelData is constant (0)"),
        (break_huge, "PixelData has values too large"),
    ],
)
def test_one_bad_file_never_loses_the_others(
    ppmi: Path, damage: Callable[[Path], None], reason: str, load: Load
) -> None:
    """A damaged scan is left out by name and reason; the eight other patients stay."""
    before = load(ppmi).report["in"]["scans"]
    extra = find_images(ppmi, 10000)[0]
    second = ppmi / "PPMI" / "10009" / "Reconstructed_DaTSCAN" / "2012-01-01_00_00_00.0" / "I55" / "x_I55.dcm"
    second.parent.mkdir(parents=True)
    dataset = pydicom.dcmread(extra)
    dataset.PatientID = "10009"
    dataset.save_as(second)
    damage(second)
    with (ppmi / STAGES).open("a") as file:
        file.write('"10009","BL","NUPDRS3","01/2012","","2"\n')
    with (ppmi / "Participant_Status_05Jan2026.csv").open("w") as file:
        file.write("PATNO,COHORT\n10009,1\n")
    data = load(ppmi)
    assert data.report["in"]["scans"] == before
    assert reason in get_reasons(data)
    assert str(second) in get_reasons(data)


def test_empty_reference_region(ppmi: Path, load: Load) -> None:
    """A head that is not where the template has it is left out with that reason."""
    copy = ppmi / "PPMI" / "10003" / "Reconstructed_DaTSCAN" / "2013-01-01_00_00_00.0" / "I56" / "x_I56.dcm"
    copy.parent.mkdir(parents=True)
    shutil.copy(find_images(ppmi, 10003)[0], copy)
    dataset = pydicom.dcmread(copy)
    pixels = np.zeros((91, 109, 91), dtype="<u2")
    pixels[:10, :10, :10] = 9
    dataset.PixelData = pixels.tobytes()
    dataset.save_as(copy)
    edit_rows(ppmi / STAGES, lambda rows: [*rows, {**rows[0], "PATNO": "10003", "INFODT": "01/2013", "NHY": "1"}])
    assert "the volume resembles the reference head by 0.000" in get_reasons(load(ppmi))


@pytest.mark.parametrize("lacks", ["NHY", "table"])
def test_no_stages(ppmi: Path, load: Load, lacks: str) -> None:
    """Without a table that has stages there are no labels: the message says which table to add."""
    edit_rows(ppmi / STAGES, lambda rows: [{k: v for k, v in row.items() if k != lacks} for row in rows])
    if lacks == "table":
        (ppmi / STAGES).unlink()
    with pytest.raises(DataError, match=r"(?s)16 x no row with a stage.*add the study's table of stages"):
        load(ppmi)


def test_collection_without_visits_joins_by_date(ppmi: Path, load: Load) -> None:
    """A table of images that lacks a column is used for what it has."""
    edit_rows(ppmi / COLLECTION, lambda rows: [{k: v for k, v in row.items() if k != "Visit"} for row in rows])
    report = load(ppmi).report
    assert report["in"]["stages_joined"] == {"nearest date": report["in"]["scans"]}


def test_without_the_collection_images_join_by_date(ppmi: Path, load: Load) -> None:
    """The path gives subject and day; with no table of images the nearest stage is taken, and said to be."""
    (ppmi / COLLECTION).unlink()
    found = load(ppmi, options=Options(assumes_pd=True)).report["in"]
    assert found["stages_joined"] == {"nearest date": found["scans"]}


def test_search_export_with_bare_ids(ppmi: Path, load: Load) -> None:
    """The search export, whose ids lack the leading I, joins as the collection table does."""

    def convert(rows: list[dict[str, str]]) -> list[dict[str, str]]:
        return [
            dict.fromkeys(SEARCH_COLUMNS, "")
            | {"Subject ID": row["Subject"], "Research Group": row["Group"], "Visit": row["Visit"]}
            | {"Study Date": row["Acq Date"], "Image ID": row["Image Data ID"].removeprefix("I")}
            for row in rows
        ]

    expected = load(ppmi).report["in"]["stages_joined"]
    edit_rows(ppmi / COLLECTION, convert)
    assert load(ppmi).report["in"]["stages_joined"] == expected


def test_empty_class(ppmi: Path, load: Load) -> None:
    """A class without patients is an error that names field and class, not a split without it."""
    edit_rows(ppmi / STAGES, lambda rows: [row for row in rows if row["NHY"] != "3"])
    with pytest.raises(DataError, match=r"class '3\+', by stage \(field NHY\), has 0 patients"):
        load(ppmi)


def test_nothing_joined(ppmi: Path, load: Load) -> None:
    """If every stage is missing the error says so."""
    edit_rows(ppmi / STAGES, lambda rows: [{**row, "NHY": "101"} for row in rows])
    with pytest.raises(DataError, match="no scan can be used: 16 x no row with a stage"):
        load(ppmi)


def test_duplicate_image_id(ppmi: Path, load: Load) -> None:
    """An equal copy counts once; two different files under one id are both left out."""
    original = next(found[0] for n in range(9) if len(found := find_images(ppmi, 10000 + n)) == 2)
    again = original.parents[2] / "2011-01-11_00_00_00.0" / original.parent.name / original.name
    again.parent.mkdir(parents=True)
    shutil.copy(original, again)
    used = load(ppmi).report["in"]["scans"]
    dataset = pydicom.dcmread(again)
    dataset.PatientComments = "another file"
    dataset.save_as(again)
    data = load(ppmi)
    assert f"image id {original.parent.name} stands for 2 files" in get_reasons(data)
    assert data.report["in"]["scans"] == used - 1


def test_patient_with_two_stages(ppmi: Path, ppmi_visits: list[Visit], load: Load) -> None:
    """A patient whose scans have different stages keeps both labels in one split, and the report says so."""
    twice = next(v.patient for v in ppmi_visits if v.number == 1 and v.patient.stage == 2)

    def change(rows: list[dict[str, str]]) -> list[dict[str, str]]:
        is_later = [row["PATNO"] == twice.subject and row["EVENT_ID"] == "V04" for row in rows]
        return [{**row, "NHY": "1"} if later else row for row, later in zip(rows, is_later, strict=True)]

    edit_rows(ppmi / STAGES, change)
    data = load(ppmi)
    (note,) = data.report["notes"]
    assert note["example"] == f"PATNO {twice.subject}"
    assert "scans at stages 1 and 2; all in one split" in note["reason"]
    (labels,) = (s.labels[s.subjects == twice.subject] for s in data.splits.values() if twice.subject in s.subjects)
    assert sorted(labels) == [0, 1]


def test_other_groupings_and_preprocessings(ppmi_original: Path, load: Load) -> None:
    """Classes early, middle, late and another image can be asked for; an unknown grouping is refused."""
    data = load(ppmi_original, options=Options("phase"), preprocessing=Preprocessing("hottest", "max", None))
    assert data.class_names == ("early", "middle", "late")
    assert data.train.images.shape[1:] == (1, 109, 91)
    with pytest.raises(UsageError, match="grouping 'x'"):
        load(ppmi_original, options=Options("x"))


def test_not_a_download(tmp_path: Path, load: Load) -> None:
    """A folder without images, or none at all, is an error with the expected layout."""
    with pytest.raises(DataError, match="not a folder"):
        load(tmp_path / "none")
    with pytest.raises(DataError, match=r"(?s)no DICOM or NIfTI file.*expected PPMI/<subject>"):
        load(tmp_path)


def test_command_shows_what_was_found_and_then_fails(command: Command, ppmi: Path, spect_cache: Path) -> None:
    """Also where no data set can be made: the inspection on standard output, the cause with a remedy on the other."""
    where = {"DLMI_BENCH_CACHE": str(spect_cache)}
    edit_rows(ppmi / STAGES, lambda rows: [row for row in rows if row["NHY"] != "3"])
    done = command("data", "spect", "--data-dir", str(ppmi), **where)
    assert done.returncode == 1
    assert "out\n" in done.stdout
    assert "class '3+', by stage (field NHY), has 0 patients" in done.stderr
    assert "try --grouping 1-2+" in done.stderr
    done = command("data", "spect", "--data-dir", str(ppmi), "--grouping", "1-2+", "--json", **where)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["tasks"]["spect"]
    assert found["report"]["grouping"] == "1-2+"
    assert len(found["report"]["left_out"]) == sum(out["n"] for out in found["report"]["out"])


def test_prepared_scans_are_kept_by_content(ppmi: Path, load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second load reads no volume; a file that has changed is read again."""
    expected = load(ppmi).sha256
    read: list[Path] = []

    def read_volume(path: Path, **settings: Any) -> Any:
        read.append(path)
        return volumes.read_volume(path, **settings)

    monkeypatch.setattr(prepared, "read_volume", read_volume)
    assert load(ppmi).sha256 == expected
    assert read == []
    first = find_images(ppmi, 10000)[0]
    copy = first.read_bytes()
    first.unlink()  # a link to the original
    first.write_bytes(copy)
    dataset = pydicom.dcmread(first)
    dataset.PatientComments = "another header"
    dataset.save_as(first)
    assert load(ppmi).sha256 == expected
    assert read == [first]
