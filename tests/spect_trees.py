"""Folders of scans as people have them: layouts, formats, tables and faults, all synthetic.

Each tree begins as a download of nine patients, three a stage, some with two scans, and one control with two.
"""

import csv
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pydicom

from dlmi_tasks.spect.cohort.synthesis import Visit
from dlmi_tasks.spect.cohort.template import Template
from dlmi_tasks.spect.ppmi.writer import write_cohort

COLLECTION, STAGES = "Reconstructed_DaTSCAN_collection.csv", "MDS-UPDRS_Part_III_05Jan2026.csv"
Rows = list[dict[str, str]]


@dataclass
class Kit:
    """What trees are built from."""

    original: Path
    visits: list[Visit]
    templates: list[Template]

    def copy(self, folder: Path) -> Path:
        return Path(shutil.copytree(self.original, folder, dirs_exist_ok=True))

    def write(self, folder: Path, layout: Any, file_format: Any) -> None:
        write_cohort(self.visits, self.templates, folder, layout=layout, file_format=file_format)


Build = Callable[[Kit, Path], None]


@dataclass(frozen=True)
class Tree:
    """A folder, and what has to come out of it.

    Attributes:
        n_missing: Scans of patients that are out, of all there are.
        reasons: Words of the reasons why scans are out.
        settings: Of `Options`.
    """

    build: Build
    n_missing: int = 0
    reasons: tuple[str, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)


TREES: dict[str, Tree] = {}


def tree(name: str, n_missing: int = 0, *reasons: str, **settings: Any) -> Callable[[Build], Build]:
    """Register a tree."""

    def add(build: Build) -> Build:
        TREES[name] = Tree(build, n_missing, reasons, settings)
        return build

    return add


def list_dicom(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.dcm"))


def find_first(folder: Path, subject: str = "10000") -> Path:
    return list_dicom(folder / "PPMI" / subject)[0]


def edit_table(path: Path, change: Callable[[Rows], Rows], **form: Any) -> None:
    """Change the rows of a table, and how it is written: `delimiter`, `encoding`, `to`."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = change(list(csv.DictReader(file)))
    path.unlink()
    target = path.with_name(form.get("to", path.name))
    with target.open("w", newline="", encoding=form.get("encoding", "utf-8")) as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=form.get("delimiter", ","))
        writer.writeheader()
        writer.writerows(rows)


def edit_dicom(path: Path, to: Path | None = None, **fields: Any) -> None:
    dataset = pydicom.dcmread(path)
    for name, value in fields.items():
        setattr(dataset, name, value)
    (to or path).parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(to or path)


def rename(folder: Path, change: Callable[[str], str]) -> None:
    for path in list_dicom(folder):
        path.rename(path.with_name(change(path.name)))


def keep(rows: Rows) -> Rows:
    return rows


# Layouts and formats

tree("current, DICOM")(lambda kit, to: kit.copy(to) and None)
for _layout, _format in (
    *(("older", "dicom"), ("current", "nifti"), ("flat", "nifti-gz"), ("visits", "nifti"), ("converted", "nifti-gz")),
    ("bids", "nifti-gz"),
    ("hospital", "dicom"),
    ("hospital", "nifti-gz"),
):
    tree(f"{_layout}, {_format}")(lambda kit, to, layout=_layout, form=_format: kit.write(to, layout, form))  # type: ignore[misc]


@tree("one level deeper")
def nest(kit: Kit, to: Path) -> None:
    kit.copy(to / "PPMI")


@tree("group folders above")
def group_folders(kit: Kit, to: Path) -> None:
    kit.copy(to)
    for subject in sorted((to / "PPMI").iterdir()):
        group = "control" if subject.name.startswith("8") else "PD"
        (to / group / "PPMI").mkdir(parents=True, exist_ok=True)
        subject.rename(to / group / "PPMI" / subject.name)


@tree("XML in a tree of its own")
def xml_apart(kit: Kit, to: Path) -> None:
    kit.copy(to)
    (to / "metadata" / "10000").mkdir(parents=True)
    (to / "metadata" / "10000" / "PPMI_10000_I1.xml").write_text("<x/>")


@tree("folder of links")
def links(kit: Kit, to: Path) -> None:
    to.mkdir(parents=True)
    for path in kit.original.iterdir():
        (to / path.name).symlink_to(path)


@tree("a loop of links")
def loop(kit: Kit, to: Path) -> None:
    kit.copy(to)
    (to / "PPMI" / "again").symlink_to(to)


@tree("links that lead nowhere", 0, "leads nowhere")
def dead_links(kit: Kit, to: Path) -> None:
    kit.copy(to)
    (to / "PPMI" / "10000" / "annexed.dcm").symlink_to("../.git/annex/objects/none")


for _name, _change in {
    "upper-case suffix": lambda name: name.replace(".dcm", ".DCM"),
    "suffix IMA": lambda name: name.replace(".dcm", ".IMA"),
    "no suffix": lambda name: name.removesuffix(".dcm"),
}.items():

    def _build(kit: Kit, to: Path, change: Callable[[str], str] = _change) -> None:
        kit.copy(to)
        rename(to, change)

    tree(_name)(_build)


@tree("names with backslashes")
def backslashes(kit: Kit, to: Path) -> None:
    kit.copy(to)
    for path in list_dicom(to):
        path.rename(to / str(path.relative_to(to)).replace("/", "\\"))
    shutil.rmtree(to / "PPMI")


@tree("what systems leave")
def leftovers(kit: Kit, to: Path) -> None:
    kit.copy(to)
    (to / "__MACOSX").mkdir()
    for name in ("__MACOSX/._a.dcm", ".DS_Store", "Thumbs.db", "DICOMDIR", "PPMI/._b.dcm", "PPMI/.DS_Store"):
        (to / name).write_bytes(b"\x00\x05\x16\x07")


@tree("an archive beside", 0, "an archive")
def archive_beside(kit: Kit, to: Path) -> None:
    kit.copy(to)
    (to / "rest.zip").write_bytes(b"PK\x03\x04")


@tree("archives alone", -1, "an archive")
def archives_alone(_: Kit, to: Path) -> None:
    to.mkdir(parents=True)
    for name in ("PPMI.zip.aa", "PPMI.zip.ab"):
        (to / name).write_bytes(b"PK\x03\x04")


# Identity


@tree("converted copies beside the originals")
def converted_copies(kit: Kit, to: Path) -> None:
    kit.copy(to)
    kit.write(to / "nifti", "converted", "nifti-gz")
    for path in (to / "nifti").glob("*.csv"):
        path.unlink()


@tree("SPM's copies beside")
def spm_copies(kit: Kit, to: Path) -> None:
    kit.write(to, "current", "nifti")
    for path in sorted(to.rglob("*.nii")):
        shutil.copy(path, path.with_name(f"Afin{path.name}"))


@tree("a scan twice, equal")
def equal_copies(kit: Kit, to: Path) -> None:
    kit.copy(to)
    path = find_first(to)
    again = to / "PPMI" / "10000" / "Reconstructed_DaTSCAN" / "2011-01-11_00_00_00.0" / path.parent.name / path.name
    again.parent.mkdir(parents=True)
    shutil.copy(path, again)


@tree("two files under one id", 1, "stands for 2 files")
def disputed(kit: Kit, to: Path) -> None:
    equal_copies(kit, to)
    edit_dicom(next(to.rglob("2011-01-11*/*/*.dcm")), PatientComments="another")


@tree("MR in the subjects' folders")
def mr_beside(kit: Kit, to: Path) -> None:
    kit.copy(to)
    source = find_first(to)
    for i in range(30):
        edit_dicom(source, to / "PPMI" / "10000" / "MPRAGE" / "2011-01-10" / "S1" / f"MR_{i:03}.dcm", Modality="MR")


@tree("raw projections", 0, "raw projections")
def projections(kit: Kit, to: Path) -> None:
    kit.copy(to)
    raw = to / "PPMI" / "10001" / "Raw_Data" / "2011-01-13_00_00_00.0" / "I77" / "PPMI_10001_NM_Raw_Data_I77.dcm"
    edit_dicom(find_first(to), raw, PatientID="10001", ImageType=["ORIGINAL", "PRIMARY", "TOMO", "EMISSION"])


@tree("PatientID of another", 1, "field PatientID is 10001, and its path says 10000")
def other_patient(kit: Kit, to: Path) -> None:
    kit.copy(to)
    edit_dicom(find_first(to), PatientID="10001")


@tree("masked dates")
def masked_dates(kit: Kit, to: Path) -> None:
    kit.copy(to)
    for number, path in enumerate(sorted(to.glob("PPMI/*/*/*"))):
        path.rename(path.with_name(f"9999-01-{number + 1:02}_00_00_00.0"))


@tree("another tracer", 1, "another tracer")
def tracer(kit: Kit, to: Path) -> None:
    kit.copy(to)
    agent = pydicom.Dataset()
    agent.Radiopharmaceutical = "99mTc-TRODAT-1"
    edit_dicom(find_first(to), RadiopharmaceuticalInformationSequence=[agent])


# Faults of images


@tree("a file cut short", 1, "PixelData")
def cut(kit: Kit, to: Path) -> None:
    kit.copy(to)
    path = find_first(to)
    path.write_bytes(path.read_bytes()[:-2000])


@tree("a constant image", 1, "constant")
def constant(kit: Kit, to: Path) -> None:
    kit.copy(to)
    edit_dicom(find_first(to), PixelData=bytes(2 * 91 * 109 * 91))


@tree("upside down without a word of it", 1, "resembles the reference")
def upside_down(kit: Kit, to: Path) -> None:
    kit.copy(to)
    path = find_first(to)
    pixels = pydicom.dcmread(path).pixel_array[::-1]
    edit_dicom(path, PixelData=np.ascontiguousarray(pixels).tobytes())


@tree("backwards by its slice vector")
def backwards(kit: Kit, to: Path) -> None:
    kit.copy(to)
    for path in list_dicom(to):
        pixels = pydicom.dcmread(path).pixel_array[::-1]
        edit_dicom(path, PixelData=np.ascontiguousarray(pixels).tobytes(), SliceVector=list(range(91, 0, -1)))


# Tables


@tree("tables alone", -1)
def tables_alone(kit: Kit, to: Path) -> None:
    kit.copy(to)
    shutil.rmtree(to / "PPMI")


@tree("no tables", -1, "no table says whether subject")
def no_tables(kit: Kit, to: Path) -> None:
    kit.copy(to)
    for path in to.glob("*.csv"):
        path.unlink()


@tree("no collection, status in a table", 0, "group HC: not asked about")
def status(kit: Kit, to: Path) -> None:
    kit.copy(to)
    (to / COLLECTION).unlink()
    people = {visit.patient.subject: 1 if visit.patient.stage else 2 for visit in kit.visits}
    lines = ["PATNO,COHORT", *(f"{subject},{cohort}" for subject, cohort in people.items())]
    (to / "Participant_Status_05Jan2026.csv").write_text("\n".join(lines))


@tree("no table of groups, patients assumed", 0, assumes_pd=True)
def assumed(kit: Kit, to: Path) -> None:
    kit.copy(to)
    (to / COLLECTION).unlink()


@tree("semicolons")
def semicolons(kit: Kit, to: Path) -> None:
    kit.copy(to)
    for name in (COLLECTION, STAGES):
        edit_table(to / name, keep, delimiter=";")


@tree("suffix CSV and a byte-order mark")
def marked(kit: Kit, to: Path) -> None:
    kit.copy(to)
    edit_table(to / STAGES, keep, encoding="utf-8-sig", to=STAGES.replace(".csv", ".CSV"))


@tree("code page 1252")
def code_page(kit: Kit, to: Path) -> None:
    kit.copy(to)
    edit_table(to / COLLECTION, lambda rows: [row | {"Note": "Universit\u00e9"} for row in rows], encoding="cp1252")


@tree("ids as a spreadsheet writes them")
def floats(kit: Kit, to: Path) -> None:
    def spell(rows: Rows, *names: str) -> Rows:
        return [row | {name: f"{row[name]}.0" for name in names} for row in rows]

    kit.copy(to)
    edit_table(to / STAGES, lambda rows: spell(rows, "PATNO", "NHY"))
    edit_table(to / COLLECTION, lambda rows: spell(rows, "Subject"))


@tree("two releases of the stages")
def releases(kit: Kit, to: Path) -> None:
    kit.copy(to)
    shutil.copy(to / STAGES, to / "old.csv")
    edit_table(to / "old.csv", lambda rows: [row | {"NHY": "1"} for row in rows], to=STAGES.replace("2026", "2020"))


@tree("tables that are none")
def stray(kit: Kit, to: Path) -> None:
    kit.copy(to)
    (to / "broken.csv").write_bytes(bytes(range(256)) * 8)
    (to / "notes.csv").write_text('"an open quote\nand nothing else')
    name = "MDS-UPDRS_Part_III_ON_OFF_Determination___Dosing_05Jan2026.csv"
    (to / name).write_text("PATNO,EVENT_ID,PDTRTMNT\n1,BL,0\n")
    (to / "empty.csv").write_text("")


@tree("later visits")
def later_visits(kit: Kit, to: Path) -> None:
    """Second scans ten years on: at month 48 the table of stages has another one."""
    kit.copy(to)
    is_later = {"Month 12": "Month 120", "Month 24": "Month 132", "Month 48": "Month 144"}
    codes = {"V04": "V17", "V06": "V18", "V10": "V19"}
    edit_table(to / COLLECTION, lambda rows: [r | {"Visit": is_later.get(r["Visit"], r["Visit"])} for r in rows])

    def add(rows: Rows) -> Rows:
        wrong = [r | {"NHY": "5", "PDSTATE": "OFF"} for r in rows if r["EVENT_ID"] in codes]
        return [r | {"EVENT_ID": codes.get(r["EVENT_ID"], r["EVENT_ID"])} for r in rows] + wrong

    edit_table(to / STAGES, add)


def _name_groups(kit: Kit, to: Path, *groups: str) -> None:
    kit.copy(to)
    subjects = sorted({visit.patient.subject for visit in kit.visits if visit.patient.stage})
    named = dict(zip(subjects, groups, strict=False))
    edit_table(to / COLLECTION, lambda rows: [r | {"Group": named.get(r["Subject"], r["Group"])} for r in rows])


@tree("groups that are no patients", 7, "group SWEDD", "group Prodromal", "group Phantom", "group Volunteer")
def groups(kit: Kit, to: Path) -> None:
    _name_groups(kit, to, "SWEDD", "Prodromal", "Phantom", "Volunteer")


@tree("an unknown visit", 1, "which is no visit of the study")
def unknown_visit(kit: Kit, to: Path) -> None:
    kit.copy(to)
    number = find_first(to).parent.name
    edit_table(
        to / COLLECTION, lambda rows: [r | {"Visit": "Sometime"} if r["Image Data ID"] == number else r for r in rows]
    )


@tree("a scan that is not acceptable", 1, "DATSCAN_IMAGE_ACCEPTABLE")
def unacceptable(kit: Kit, to: Path) -> None:
    kit.copy(to)
    header = "PATNO,EVENT_ID,DATSCAN_IMAGE_ACCEPTABLE"
    (to / "DaTScan_Acquisition_Metadata_05Jan2026.csv").write_text(f"{header}\n10000,SC,no\n10001,SC,yes\n")


@tree("a column twice", -1, "no row with a stage")
def doubled_column(kit: Kit, to: Path) -> None:
    kit.copy(to)
    text = (to / STAGES).read_text().replace("PDSTATE", "NHY", 1)
    (to / STAGES).write_text(text)


# Listings


def edit_listing(kit: Kit, folder: Path, change: Callable[[Rows], Rows], **form: Any) -> None:
    kit.write(folder, "hospital", "nifti")
    edit_table(folder / "images.csv", change, **form)


@tree("a listing with other names, semicolons and a workbook's numbers")
def listing_names(kit: Kit, to: Path) -> None:
    names = {"path": "File", "subject": "participant_id", "label": "Class", "site": "Centre"}

    def change(rows: Rows) -> Rows:
        return [{names.get(key, key): value for key, value in row.items()} for row in rows]

    edit_listing(kit, to, change, delimiter=";", to="list of scans.csv")


@tree("a listing that names what is not there, twice, and outside", 2, "listed, and no images", "with different fields")
def listing_faults(kit: Kit, to: Path) -> None:
    def change(rows: Rows) -> Rows:
        outside = rows[0] | {"path": "../elsewhere.nii"}
        twice = rows[1] | {"label": "2" if rows[1]["label"] == "1" else "1"}
        return [rows[0] | {"path": "scans/nobody.nii"}, outside, *rows[1:], twice]

    edit_listing(kit, to, change)


@tree("a listing without labels beside the study's tables")
def listing_bare(kit: Kit, to: Path) -> None:
    kit.write(to, "hospital", "dicom")
    edit_table(
        to / "images.csv", lambda rows: [{k: r[k] for k in ("path", "subject", "session", "group")} for r in rows]
    )
    shutil.copy(kit.original / STAGES, to / STAGES)


@tree("a listing deeper down", -1, "nothing in its path says")
def listing_deep(kit: Kit, to: Path) -> None:
    kit.write(to / "deeper", "hospital", "nifti")


def list_images(folder: Path) -> set[Path]:
    """Every file that is an image, by whatever name and through whatever links."""
    found = set()
    for parent, _, names in os.walk(folder.resolve()):
        for path in (Path(parent, name) for name in names):
            if path.is_file() and not path.name.startswith("._") and path.name != "DICOMDIR":
                with path.open("rb") as file:
                    is_dicom = file.read(132)[128:] == b"DICM"
                if is_dicom or path.name.endswith((".nii", ".nii.gz")):
                    found.add(path)
    return found
