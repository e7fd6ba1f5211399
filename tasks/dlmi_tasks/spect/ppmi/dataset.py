"""PPMI's own files as a data set: found, joined with their stages, read, preprocessed and split by patient.

One bad file never loses the others. The report says what was left out and why.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from dlmi_bench.errors import DataError, UsageError
from dlmi_tasks.files.archives import Progress
from dlmi_tasks.spec import SPLIT_SEED
from dlmi_tasks.spect.anatomy.anatomy import Regions, load_regions
from dlmi_tasks.spect.anatomy.grid import Volume
from dlmi_tasks.spect.cohort.synthesis import Count
from dlmi_tasks.spect.data import Scans, SpectDataset
from dlmi_tasks.spect.ppmi.analysis import compare_ratios
from dlmi_tasks.spect.ppmi.files import find_images
from dlmi_tasks.spect.ppmi.layout import Problem
from dlmi_tasks.spect.ppmi.matching import GROUPINGS, Match, match_images
from dlmi_tasks.spect.ppmi.tables import load_tables
from dlmi_tasks.spect.ppmi.volumes import load_volume
from dlmi_tasks.spect.preprocess import Extracts, Preprocessing, extract, join_extracts, make_images
from dlmi_tasks.spect.splits import FRACTIONS, split_patients

REMEDY = "use images that are registered to the study's template"
NOTE = (
    "Images and stages from the folder given by the user, in PPMI's layout. They stay on this machine and fall under "
    "the terms on which they were obtained."
)


@dataclass(frozen=True)
class PpmiDataset(SpectDataset):
    """A data set from files, with the report of how it came about."""

    report: dict[str, object] = field(default_factory=dict)


def load_ppmi(
    folder: Path,
    *,
    grouping: str = "stage",
    preprocessing: Preprocessing | None = None,
    fractions: tuple[float, float, float] = FRACTIONS,
    seed: int = SPLIT_SEED,
    cache: Path | None = None,
    on_progress: Progress | None = None,
    on_scan: Count | None = None,
) -> PpmiDataset:
    """Read a PPMI download.

    Args:
        folder: Holds the images, current or older layout, and at any depth the tables.
        grouping: Name in GROUPINGS: classes 1 | 2 | 3+ or early | middle | late.
        fractions: Shares of the patients for training, validation and test.

    Raises:
        DataError: no image or no table of stages, a table lacks a column, or a class is empty.
        FetchError: the archive with the reference regions cannot be obtained.
    """
    if grouping not in GROUPINGS:
        raise UsageError(f"grouping {grouping!r} does not exist", f"use one of {', '.join(GROUPINGS)}")
    preprocessing = preprocessing or Preprocessing()
    images, misplaced = find_images(folder)
    tables = load_tables(folder)
    matching = match_images(images, tables, grouping)
    regions = load_regions(cache, on_progress)
    matches, extracts, unreadable = _read_all(matching.matches, preprocessing.slices, regions, on_scan)
    scans = _label(matches, extracts, preprocessing, folder)
    report = {
        "folder": str(folder),
        "grouping": grouping,
        "n_images_found": len(images),
        "n_images_used": len(matches),
        "n_stages_missing": tables.n_missing_stages,
        "join": matching.describe(),
        "left_out": [{"where": p.where, "reason": p.reason} for p in (*misplaced, *unreadable)],
        "table_problems": [{"where": p.where, "reason": p.reason} for p in tables.problems],
        "published_ratios": compare_ratios(tables.ratios, matches, scans.extracts.ratios),
    }
    names = tuple(GROUPINGS[grouping])
    parts = split_patients(scans.subjects, scans.labels, names, fractions=fractions, seed=seed)
    train, validation, test = (scans.take(part) for part in parts)
    return PpmiDataset(
        name="spect-ppmi",
        source=f"folder {folder}",
        train=train,
        test=test,
        is_synthetic=False,
        note=NOTE,
        validation=validation,
        preprocessing=preprocessing,
        class_names=names,
        report=report,
    )


def _read_all(
    matches: list[Match], slices: str, regions: Regions, on_scan: Count | None
) -> tuple[list[Match], list[Extracts], list[Problem]]:
    """Extracts of the volumes that can be read, one volume in memory at a time."""
    used, extracts, problems = [], [], []
    for i, match in enumerate(matches, 1):
        try:
            volume = load_volume(match.image.path)
            with np.errstate(all="ignore"):  # what overflows is refused
                _check_reference(match.image.path, volume, regions)
                found = extract([volume], slices, regions)
            _check_finite(match.image.path, found)
        except DataError as error:
            problems.append(Problem(str(match.image.path), error.cause.removeprefix(f"{match.image.path}: ")))
        else:
            used.append(match)
            extracts.append(found)
        if on_scan:
            on_scan(i, len(matches))
    return used, extracts, problems


def _check_reference(path: Path, volume: Volume, regions: Regions) -> None:
    """Check that the reference region has uptake. Without it there is no ratio: the head is elsewhere."""
    reference = float(volume[regions.occipital].mean())
    if reference <= 0:
        raise DataError(
            f"{path}: field PixelData has mean {reference:g} in the occipital reference region",
            REMEDY,
        )


def _check_finite(path: Path, found: Extracts) -> None:
    if not all(np.isfinite(values).all() for values in vars(found).values()):
        raise DataError(f"{path}: field PixelData has values too large or too small for a ratio", REMEDY)


def _label(matches: list[Match], extracts: list[Extracts], preprocessing: Preprocessing, folder: Path) -> Scans:
    if not matches:
        raise DataError(
            f"{folder}: no image could be read and joined with a stage (field NHY)",
            "see `join` and `left_out` of the inspection of this folder for the reason of each",
        )
    joined = join_extracts(extracts)
    labels = np.array([match.label for match in matches], dtype=np.int64)
    subjects = np.array([match.image.subject for match in matches])
    return Scans(make_images(joined, preprocessing), labels, subjects, joined)
