"""Finding the scans of a folder: what a file is, whose it is, and which of several files of one scan counts."""

import os
import shutil
from datetime import date
from pathlib import Path

import pydicom
import pytest

from dlmi_bench.errors import DataError
from dlmi_tasks.spect.ppmi.gather import gather
from dlmi_tasks.spect.ppmi.headers import Header, read_header
from dlmi_tasks.spect.ppmi.identity import ImageFile, choose_files, identify
from dlmi_tasks.spect.tables.records import Problem, Tables
from dlmi_tasks.spect.tables.values import IOFLUPANE, parse_tracer
from dlmi_tasks.spect.walk import walk
from stand_ins import plant

NM = Header(modality="NM", subject="3001")
CURRENT = "PPMI/3001/Reconstructed_DaTSCAN/2011-03-02_10_00_00.0/I9/PPMI_3001_NM_Reconstructed_DaTSCAN_Br_2_1_S8_I9.dcm"
MASKED = CURRENT.replace("_Br_2_", "_Br_20110302100000_").replace("2011-03", "9999-03")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (CURRENT, ("3001", "9", date(2011, 3, 2), "")),
        (f"Images/PPMI_Images_SWEDD/PPMI/{CURRENT}", ("3001", "9", date(2011, 3, 2), "")),
        (CURRENT.replace("/I9/", "/S8/"), ("3001", "9", date(2011, 3, 2), "")),
        (CURRENT.replace("/", "\\"), ("3001", "9", date(2011, 3, 2), "")),
        (CURRENT.replace("2011-03", "9999-03"), ("3001", "9", None, "")),
        (MASKED, ("3001", "9", date(2011, 3, 2), "")),
        ("3001_I9.nii.gz", ("3001", "9", None, "")),
        ("V04/3001_I9.nii.gz", ("3001", "9", None, "V04")),
        ("sub-PPMI3001/ses-BL/spect/sub-PPMI3001_ses-BL_DaTSCAN.nii.gz", ("3001", "", None, "BL")),
        ("I9_Reconstructed_DaTSCAN_20110302100000_1.nii.gz", ("3001", "9", date(2011, 3, 2), "")),  # subject by table
        ("AfinPPMI_3001_NM_Reconstructed_DaTSCAN_I9.nii", ("3001", "9", None, "")),
    ],
)  # fmt: skip
def test_layouts_name_subject_image_day_and_visit(path: str, expected: tuple[object, ...]) -> None:
    header = None if ".nii" in path else NM
    found = identify(Path("/data") / path, header, {"9": "3001"})
    assert isinstance(found, ImageFile), found
    assert (found.subject, found.image_id, found.day, found.session) == expected


@pytest.mark.parametrize(
    ("path", "header", "reason"),
    [
        (CURRENT, Header(modality="NM", subject="3002"), "field PatientID is 3002, and its path says 3001"),
        ("x/y.dcm", Header(modality="NM", subject="JD"), "name no subject"),
        ("sub-PPMI3001/anat/sub-PPMI3001_T1w.nii.gz", None, "nothing in its path says that it is a DaT-SPECT"),
        (CURRENT, Header("NM", "3001", "", ("ORIGINAL", "PRIMARY", "TOMO", "EMISSION")), "raw projections"),
    ],
)
def test_nobody_s_scan_says_why(path: str, header: Header | None, reason: str) -> None:
    found = identify(Path("/data") / path, header, {})
    assert isinstance(found, Problem)
    assert reason in found.reason


def make(path: Path, content: bytes, image_id: str = "9", subject: str = "3001") -> ImageFile:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return ImageFile(path, subject, image_id, None)


def test_one_image_id_is_one_scan(tmp_path: Path) -> None:
    """The DICOM counts, then what was converted from it, then what SPM made; copies are no problem."""
    names = ("AfinPPMI_3001_I9.nii", "PPMI_3001_I9.nii.gz", "x_I9.dcm", "y_I9.dcm")
    files = [make(tmp_path / name, b"same") for name in names]
    assert choose_files(files[:1])[0] == files[:1]
    assert choose_files(files[:2])[0] == [files[1]]
    assert choose_files(files) == ([files[2]], [], 3)


def test_what_is_in_dispute_is_left_out(tmp_path: Path) -> None:
    """Two DICOMs that differ under one id, and one id under two subjects: nobody knows which is right."""
    files = [make(tmp_path / name, content) for name, content in (("a.dcm", b"1"), ("b.dcm", b"2"))]
    kept, problems, _ = choose_files(files)
    assert (kept, len(problems)) == ([], 2)
    assert "image id I9 stands for 2 files" in problems[0].reason
    two = [files[0], make(tmp_path / "c.nii", b"1", subject="3002")]
    assert choose_files(two)[0] == []


def test_walk_sorts_by_kind(tmp_path: Path) -> None:
    """Images by name or by their first bytes, tables, archives, what systems leave; loops end, dead links are said."""
    plant(tmp_path, dict.fromkeys(("a/b.DCM", "a/c.nii.gz", "t.CSV", "u.xlsx", "all.zip", "all.zip.aa", "m.xml"), "x"))
    plant(tmp_path, dict.fromkeys((".DS_Store", "a/._b.DCM", "__MACOSX/._z.dcm", "readme.txt"), "x"))
    (tmp_path / "a" / "bare").write_bytes(bytes(128) + b"DICM")
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    (tmp_path / "dead.dcm").symlink_to(tmp_path / "nowhere")
    found = walk(tmp_path)
    assert [path.name for path in found.images] == ["b.DCM", "bare", "c.nii.gz"]
    assert [path.name for path in found.tables] == ["t.CSV", "u.xlsx"]
    assert [path.name for path in found.archives] == ["all.zip", "all.zip.aa"]
    assert found.n_leftovers == 2
    assert found.others == {".txt": 1}
    said = {Path(problem.where).name: problem.reason for problem in found.problems}
    assert said == {"loop": "a link to a folder that was read already", "dead.dcm": "a link that leads nowhere"}
    with pytest.raises(DataError, match="not a folder"):
        walk(tmp_path / "none")


def test_folder_of_links_is_followed(ppmi_original: Path, tmp_path: Path) -> None:
    """As on shared storage: each subject's folder is a link."""
    (tmp_path / "PPMI").mkdir()
    for folder in (ppmi_original / "PPMI").iterdir():
        (tmp_path / "PPMI" / folder.name).symlink_to(folder)
    names = sorted(path.name for path in walk(ppmi_original).images)
    assert sorted(path.name for path in walk(tmp_path).images) == names


def test_header_is_read_without_the_voxels(ppmi_original: Path, tmp_path: Path) -> None:
    """The header of a file that is cut after it is read too; a file without the prefix is named."""
    (first, *_) = walk(ppmi_original).images
    whole = read_header(first)
    assert (whole.modality, whole.description) == ("NM", "Reconstructed DaTSCAN")
    assert not whole.is_projection
    cut = tmp_path / "cut.dcm"
    cut.write_bytes(first.read_bytes()[: 1 << 16])
    assert read_header(cut) == whole
    cut.write_bytes(b"no DICOM at all")
    with pytest.raises(DataError, match="not a DICOM file"):
        read_header(cut)


def test_slices_of_another_modality_are_passed_over(ppmi_original: Path, tmp_path: Path) -> None:
    """A folder with many is known by its ends; one scan of ours among few of theirs is found."""
    (first, *_) = walk(ppmi_original).images
    dataset = pydicom.dcmread(first)
    dataset.Modality, dataset.PixelData = "MR", b""
    for folder, n in (("many", 30), ("few", 3)):
        (tmp_path / folder).mkdir()
        for i in range(n):
            dataset.save_as(tmp_path / folder / f"{i:03}.dcm")
    shutil.copy(first, tmp_path / "few" / first.name)
    os.truncate(tmp_path / "many" / "015.dcm", 200)  # is not opened
    found = gather(walk(tmp_path).images, Tables())
    assert found.elsewhere == {"MR": 33}
    assert [image.path.name for image in found.images] == [first.name]
    assert found.problems == []


@pytest.mark.parametrize(
    ("tracer", "expected"),
    [
        *(("", True), ("I-123 Ioflupane", True), ("DaTSCAN", True), ("123I-FP-CIT", True), ("I-123", True)),
        *(("99mTc-TRODAT-1", False), ("123I-beta-CIT", False)),
    ],
)
def test_other_tracers_are_told_apart(tracer: str, expected: bool) -> None:
    """The isotope alone may be ioflupane; a name of another tracer with it is not."""
    assert (parse_tracer(tracer) == IOFLUPANE) is expected
