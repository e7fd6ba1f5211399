"""Write synthetic scans the way PPMI hands out real ones, so that one loader reads both.

Every file says that it is synthetic. Nothing in it refers to a person.
"""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Literal

import numpy as np

from dlmi_tasks.spect.cohort.imaging import Counts, image_patient
from dlmi_tasks.spect.cohort.population import CONTROL, VISIT_YEARS
from dlmi_tasks.spect.cohort.synthesis import Visit
from dlmi_tasks.spect.cohort.template import Template
from dlmi_tasks.spect.data import CLASS_NAMES
from dlmi_tasks.spect.ppmi.layout import (
    COLLECTION_COLUMNS,
    DESCRIPTION,
    LISTING_COLUMNS,
    MODALITY,
    NM_STORAGE,
    SEARCH_COLUMNS,
    STAGE_COLUMNS,
)

Layout = Literal["current", "older", "flat", "visits", "converted", "bids", "hospital", "challenge"]
Format = Literal["dicom", "nifti", "nifti-gz"]

SUFFIXES: dict[Format, str] = {"dicom": ".dcm", "nifti": ".nii", "nifti-gz": ".nii.gz"}
VISIT_NAMES = ("Screening", "Month 12", "Month 24", "Month 48")
COLLECTION_FILE, SEARCH_FILE = "Reconstructed_DaTSCAN_collection.csv", "idaSearch.csv"
STAGE_FILE: dict[str, str] = {"older": "MDS_UPDRS_Part_III__Post_Dose_.csv"}
STAGE_FILE_NOW = "MDS-UPDRS_Part_III_05Jan2026.csv"
EVENTS = ("SC", "V04", "V06", "V10")
FIRST_DATE = date(2011, 1, 10)
NIFTI_AFFINE = np.array([[-2.0, 0, 0, 90], [0, 2, 0, -126], [0, 0, 2, -72], [0, 0, 0, 1]])


@dataclass(frozen=True)
class Scan:
    """A visit with the names that PPMI would give it."""

    visit: Visit
    number: int
    suffix: str = ".dcm"

    @property
    def image_id(self) -> str:
        return f"I{1_000_000 + self.number}"

    @property
    def uid(self) -> str:
        return f"case{self.number:05}"

    @property
    def day(self) -> date:
        start = FIRST_DATE + timedelta(days=3 * (self.visit.patient.index % 600))
        return start + timedelta(days=round(365.25 * VISIT_YEARS[self.visit.number]))

    @property
    def event(self) -> str:
        return EVENTS[self.visit.number]

    @property
    def age(self) -> float:
        return self.visit.patient.age + VISIT_YEARS[self.visit.number]


def write_cohort(
    visits: list[Visit],
    templates: list[Template],
    folder: Path,
    *,
    layout: Layout = "current",
    file_format: Format = "dicom",
) -> list[Path]:
    """Write images and tables under `folder`; returns the paths of the images, in the order of `visits`.

    Args:
        layout: `current` has a folder per image and the collection table; `older` a folder per series and the search
            export; `flat` names like <subject>_I<image>, `visits` the same in folders of visits, `converted` names as
            dcm2niix gives them, `bids` a tree of subjects and sessions; `hospital` a table images.csv that lists files,
            and `challenge` one that labels names of files.
        file_format: One multi-frame NM DICOM per scan, or one NIfTI, plain or compressed.
    """
    scans = [Scan(visit, number, SUFFIXES[file_format]) for number, visit in enumerate(visits)]
    paths = []
    for scan in scans:
        path = folder / _make_path(scan, layout)
        path.parent.mkdir(parents=True, exist_ok=True)
        volume = image_patient(scan.visit.patient, templates, visit=scan.visit.number)
        if file_format == "dicom":
            write_dicom(path, volume, scan)
        else:
            write_nifti(path, volume)
        paths.append(path)
    write_tables(scans, folder, layout)
    return paths


def _make_path(scan: Scan, layout: Layout) -> Path:
    suffix = scan.suffix
    subject, stamp = scan.visit.patient.subject, f"{scan.day:%Y%m%d}103000"
    short = f"{subject}_{scan.image_id}{suffix}"
    session = "BL" if scan.event == "SC" else scan.event
    others = {
        "flat": Path(short),
        "visits": Path(scan.event, short),
        "converted": Path(f"{scan.image_id}_{DESCRIPTION}_{stamp}_1{suffix}"),
        "hospital": Path("scans", f"{scan.number:04}{suffix}"),
        "challenge": Path("train", f"{scan.uid}{suffix}"),
        "bids": Path(
            f"sub-PPMI{subject}", f"ses-{session}", "spect", f"sub-PPMI{subject}_ses-{session}_DaTSCAN{suffix}"
        ),
    }
    return others.get(layout) or _make_download_path(scan, layout)


def _make_download_path(scan: Scan, layout: Layout) -> Path:
    """Path as the image archive unpacks it."""
    subject = scan.visit.patient.subject
    moment = f"{scan.day.isoformat()}_10_30_00.0"
    inner = scan.image_id if layout == "current" else f"S{200_000 + scan.number}"
    name = f"PPMI_{subject}_NM_{DESCRIPTION}_Br_{scan.day:%Y%m%d}103000_{scan.number}_{scan.image_id}{scan.suffix}"
    return Path("PPMI", subject, DESCRIPTION, moment, inner, name)


def write_nifti(path: Path, volume: Counts) -> None:
    """(slice, row, column) as (x, y, z): x to the patient's left, y forward, z up."""
    import nibabel

    nibabel.save(nibabel.nifti1.Nifti1Image(volume.transpose(2, 1, 0)[:, ::-1], NIFTI_AFFINE), path)


def write_dicom(path: Path, volume: Counts, scan: Scan) -> None:
    """One multi-frame NM object, explicit little endian."""
    from pydicom.uid import generate_uid

    names = [
        f"synthetic {scan.visit.patient.subject} {scan.image_id} {level}" for level in ("study", "series", "image")
    ]
    study, series, image = (generate_uid(entropy_srcs=[name]) for name in names)
    dataset = _make_header(scan, volume.shape, image)
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study, series
    dataset.PixelData = volume.astype("<u2").tobytes()
    dataset.save_as(path, enforce_file_format=True)


def _make_header(scan: Scan, shape: tuple[int, ...], uid: str) -> Any:
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import UID, ExplicitVRLittleEndian

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = UID(NM_STORAGE), UID(uid)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = Dataset()
    dataset.file_meta = meta
    for keyword, value in (_describe_scan(scan, uid) | _describe_pixels(shape)).items():
        setattr(dataset, keyword, value)
    return dataset


def _describe_scan(scan: Scan, uid: str) -> dict[str, object]:
    return {
        "SOPClassUID": NM_STORAGE,
        "SOPInstanceUID": uid,
        "Modality": MODALITY,
        "PatientID": scan.visit.patient.subject,
        "PatientName": f"SYNTHETIC^{scan.visit.patient.subject}",
        "PatientComments": "SYNTHETIC - not a patient",
        "Manufacturer": "SYNTHETIC",
        "SeriesDescription": DESCRIPTION.replace("_", " "),
        "StudyDate": f"{scan.day:%Y%m%d}",
        "SeriesDate": f"{scan.day:%Y%m%d}",
        "AcquisitionDate": f"{scan.day:%Y%m%d}",
        "ImageType": ["DERIVED", "PRIMARY", "RECON TOMO", "EMISSION"],
    }


def _describe_pixels(shape: tuple[int, ...]) -> dict[str, object]:
    from pydicom.tag import Tag

    n_slices, n_rows, n_columns = shape
    return {
        "NumberOfFrames": n_slices,
        "NumberOfSlices": n_slices,
        "SliceVector": list(range(1, n_slices + 1)),
        "FrameIncrementPointer": Tag(0x0054, 0x0080),
        "Rows": n_rows,
        "Columns": n_columns,
        "PixelSpacing": [2, 2],
        "SliceThickness": 2,
        "SpacingBetweenSlices": 2,
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": 0,
    }


def write_tables(scans: list[Scan], folder: Path, layout: Layout) -> None:
    if layout == "hospital":
        _write_csv(folder / "images.csv", LISTING_COLUMNS, map(_make_listing_row, scans))
        return
    if layout == "challenge":
        rows = ((scan.uid, int(scan.visit.patient.stage != CONTROL)) for scan in scans)
        _write_csv(folder / "train_labels.csv", ("uid", "is_pathologic"), rows)
        return
    if layout == "older":
        _write_csv(folder / SEARCH_FILE, SEARCH_COLUMNS, map(_make_search_row, scans))
    else:
        _write_csv(folder / COLLECTION_FILE, COLLECTION_COLUMNS, map(_make_collection_row, scans))
    stages = folder / STAGE_FILE.get(layout, STAGE_FILE_NOW)
    _write_csv(stages, STAGE_COLUMNS, (row for scan in scans for row in _make_stage_rows(scan)))


def _write_csv(path: Path, columns: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL)
        writer.writerow(columns)
        writer.writerows(rows)


def _make_collection_row(scan: Scan) -> tuple[object, ...]:
    patient, day = scan.visit.patient, scan.day
    moment = f"{day.month}/{day.day}/{day.year}"
    who = (scan.image_id, patient.subject, _name_group(scan), patient.sex, round(scan.age))
    what = (VISIT_NAMES[scan.visit.number], "SPECT", DESCRIPTION.replace("_", " "), "Pre-processed")
    return (*who, *what, moment, "DCM", moment)


def _make_listing_row(scan: Scan) -> tuple[object, ...]:
    """Files by number, stages as words; a control has none."""
    patient = scan.visit.patient
    label = "" if patient.stage == CONTROL else CLASS_NAMES[patient.stage - 1]
    path = _make_path(scan, "hospital").as_posix()
    who = (path, patient.subject, label, f"site {patient.site + 1}", scan.event)
    return (*who, _name_group(scan), patient.sex, round(scan.age))


def _make_search_row(scan: Scan) -> tuple[object, ...]:
    day, image_id = scan.day, scan.image_id.removeprefix("I")
    who = (scan.visit.patient.subject, _name_group(scan), VISIT_NAMES[scan.visit.number])
    return (*who, f"{day.month}/{day.day}/{day.year}", "SPECT", DESCRIPTION.replace("_", " "), "", image_id)


def _name_group(scan: Scan) -> str:
    return "Control" if scan.visit.patient.stage == CONTROL else "PD"


def _make_stage_rows(scan: Scan) -> list[tuple[object, ...]]:
    """An OFF row with the stage and, after baseline, an ON row that reads better; a first scan's is at baseline."""
    patient, month = scan.visit.patient, f"{scan.day:%m/%Y}"
    if scan.visit.number == 0:
        return [(patient.subject, "BL", "NUPDRS3", month, "", patient.stage)]
    after_dose = max(patient.stage - 1, 0)
    return [
        (patient.subject, scan.event, "NUPDRS3A", month, "ON", after_dose),
        (patient.subject, scan.event, "NUPDRS3", month, "OFF", patient.stage),
    ]
