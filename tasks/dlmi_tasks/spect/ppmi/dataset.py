"""A folder of scans as a data set: found, joined with what tables say, read, preprocessed and split by patient.

One bad file never loses the others. The report says what is in, and what was left out and why.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from dlmi_bench.errors import DataError
from dlmi_tasks.files.archives import Progress
from dlmi_tasks.spec import SPLIT_SEED
from dlmi_tasks.spect.anatomy.anatomy import load_regions
from dlmi_tasks.spect.cohort.synthesis import Count
from dlmi_tasks.spect.data import Scans, SpectDataset
from dlmi_tasks.spect.ppmi.analysis import compare_ratios
from dlmi_tasks.spect.ppmi.download import Download, count_reasons, inspect_download
from dlmi_tasks.spect.ppmi.layout import EXPECTED
from dlmi_tasks.spect.ppmi.options import Options
from dlmi_tasks.spect.ppmi.prepared import Preparation
from dlmi_tasks.spect.preprocess import Extracts, Preprocessing, join_extracts, make_images
from dlmi_tasks.spect.splits import FRACTIONS, split_patients
from dlmi_tasks.spect.tables.records import Problem
from dlmi_tasks.spect.volumes.guard import load_reference

NOTE = (
    "Images and stages from the folder given by the user, in PPMI's layout. They stay on this machine and fall under "
    "the terms on which they were obtained."
)
ADD_STAGES = "add the study's table of stages, MDS-UPDRS_Part_III_<date>.csv (columns PATNO and NHY), beside the images"
N_REASONS = 3  # in an error, the most frequent ones
SHOW = "`dlmi-bench data spect --data-dir {}` shows what was found, and why the rest is out"


@dataclass(frozen=True)
class PpmiDataset(SpectDataset):
    """A data set from files, with the report of how it came about."""

    report: dict[str, object] = field(default_factory=dict)
    summary: dict[str, object] = field(default_factory=dict)
    question: str = ""  # what is asked of the scans, where it is not the course's three stages

    def describe(self) -> dict[str, object]:
        """Describe it as any data set, with how many are in, and how many are out and why."""
        return super().describe() | {"question": self.question, "scans": self.summary}


def load_ppmi(
    folder: Path,
    *,
    options: Options | None = None,
    preprocessing: Preprocessing | None = None,
    fractions: tuple[float, float, float] = FRACTIONS,
    seed: int = SPLIT_SEED,
    cache: Path | None = None,
    on_progress: Progress | None = None,
    on_scan: Count | None = None,
) -> PpmiDataset:
    """Read a PPMI download.

    Args:
        folder: Holds images and tables at any depth.
        fractions: Shares of the patients for training, validation and test.

    Raises:
        DataError: no scan can be used, or a class has too few patients for the splits.
        FetchError: the archive with the reference regions cannot be obtained.
    """
    preprocessing = preprocessing or Preprocessing()
    download = inspect_download(folder, options or Options())
    download, extracts = read_scans(download, preprocessing, cache, on_progress=on_progress, on_scan=on_scan)
    return make_dataset(download, extracts, preprocessing, fractions=fractions, seed=seed)


def read_scans(
    download: Download,
    preprocessing: Preprocessing,
    cache: Path | None = None,
    *,
    has_slices: bool = False,
    on_progress: Progress | None = None,
    on_scan: Count | None = None,
) -> tuple[Download, list[Extracts]]:
    """Read the voxels of all scans that are in: those of the download that is returned could be read.

    Args:
        has_slices: Whether the audit's single slices are wanted.
    """
    regions = load_regions(cache, on_progress)
    registers = download.options.registers
    preparation = Preparation(preprocessing.slices, regions, load_reference(cache), registers, has_slices, cache)
    extracts, problems = [], []
    for i, scan in enumerate(download.used, 1):
        try:
            extracts.append(preparation.prepare(scan.image.path))
        except DataError as error:
            problems.append(Problem(str(scan.image.path), error.cause.removeprefix(f"{scan.image.path}: ")))
        if on_scan:
            on_scan(i, len(download.joined.used))
    return replace(download, unreadable=tuple(problems)), extracts


def make_dataset(
    download: Download,
    extracts: list[Extracts],
    preprocessing: Preprocessing,
    *,
    fractions: tuple[float, float, float] = FRACTIONS,
    seed: int = SPLIT_SEED,
) -> PpmiDataset:
    """Put the scans of a download, whose extracts are given in their order, into splits.

    The extracts are taken out of their list, since those of thousands of scans would not fit twice.

    Raises:
        DataError: no scan can be used, or a class has too few patients for the splits.
    """
    used = download.used
    if not used:
        cause = f"{download.folder}: no scan can be used: {_list_reasons(download)}"
        lacks_stages = download.grouping.field == "stage" and not download.tables.stages
        raise DataError(cause, ADD_STAGES if lacks_stages else SHOW.format(download.folder))
    names = download.grouping.classes
    labels = np.array([scan.label for scan in used], dtype=np.int64)
    subjects = np.array([scan.image.subject for scan in used])
    measured = np.concatenate([found.ratios for found in extracts])
    try:
        parts = split_patients(subjects, labels, names, fractions=fractions, seed=seed)
    except DataError as error:
        others = [name for name in download.list_groupings(len(fractions)) if name != download.options.grouping]
        remedy = f"add scans of it, or try --grouping {' or '.join(others)}" if others else "add scans of it"
        raise DataError(error.cause, remedy) from None
    kept = dict(enumerate(extracts))
    extracts.clear()
    splits = []
    for part in parts:
        joined = join_extracts([kept.pop(int(i)) for i in part])
        splits.append(Scans(make_images(joined, preprocessing), labels[part], subjects[part], joined))
    train, validation, test = splits
    ratios = {lab: compare_ratios(theirs, used, measured) for lab, theirs in download.tables.ratios.items()}
    return PpmiDataset(
        name="spect-ppmi",
        source=f"folder {download.folder}",
        train=train,
        test=test,
        is_synthetic=False,
        note=NOTE,
        validation=validation,
        preprocessing=preprocessing,
        class_names=names,
        question="" if download.options.grouping == Options().grouping else download.options.grouping,
        summary=download.summarise(),
        report=download.describe() | {"published_ratios": {lab: found for lab, found in ratios.items() if found}},
    )


def _list_reasons(download: Download) -> str:
    """List the most frequent reasons, in one line."""
    if not download.gathered.images and not download.left_out:
        return f"no DICOM or NIfTI file below it; {EXPECTED}"
    reasons = count_reasons(download.left_out, download.folder)
    said = "; ".join(f"{found['n']} x {found['reason']} ({found['example']})" for found in reasons[:N_REASONS])
    return said if len(reasons) <= N_REASONS else f"{said}; and {len(reasons) - N_REASONS} more reasons"
