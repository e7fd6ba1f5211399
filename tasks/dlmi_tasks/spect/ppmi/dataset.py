"""A folder of scans as a data set: found, joined with what tables say, read, preprocessed and split by patient.

One bad file never loses the others. The report says what is in, and what was left out and why.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from dlmi_bench.errors import DataError
from dlmi_tasks.files.archives import Progress
from dlmi_tasks.own.examples import Examples
from dlmi_tasks.own.options import DEFAULTS
from dlmi_tasks.own.options import Options as PlanOptions
from dlmi_tasks.own.plan import Index, Plan, make_plan
from dlmi_tasks.spec import Arrays, Groups, HeldOut, Splits, take_traits
from dlmi_tasks.spect.anatomy.anatomy import load_regions
from dlmi_tasks.spect.cohort.synthesis import Count
from dlmi_tasks.spect.data import SPLITS, Scans, SpectDataset, make_traits
from dlmi_tasks.spect.ppmi.analysis import compare_ratios
from dlmi_tasks.spect.ppmi.download import Download, count_reasons, inspect_download
from dlmi_tasks.spect.ppmi.grouping import COURSE
from dlmi_tasks.spect.ppmi.joining import Scan
from dlmi_tasks.spect.ppmi.layout import EXPECTED
from dlmi_tasks.spect.ppmi.options import Options
from dlmi_tasks.spect.ppmi.prepared import Preparation
from dlmi_tasks.spect.preprocess import Extracts, Preprocessing, join_extracts, make_images
from dlmi_tasks.spect.tables.records import Problem
from dlmi_tasks.spect.volumes.guard import load_reference

NOTE = (
    "Images and classes from the folder given by the user. They stay on this machine and fall under the terms on which "
    "they were obtained."
)
ADD_STAGES = "add the study's table of stages, MDS-UPDRS_Part_III_<date>.csv (columns PATNO and NHY), beside the images"
TEST_SHARE, VALIDATION_SHARE = 0.2, 0.25  # of all, and of the others
N_REASONS = 3  # in an error, the most frequent ones
SHOW = "`dlmi-bench data spect --data-dir {}` shows what was found, and why the rest is out"


@dataclass(frozen=True)
class PpmiDataset(SpectDataset):
    """A data set from files, with the report of how it came about.

    Attributes:
        plan: How scans are split; a training of folds has splits of its own.
        everything: All scans, where there are folds.
        question: What is asked of the scans, where it is not the course's three stages.
    """

    plan: Plan | None = None
    everything: Arrays | None = None
    report: dict[str, object] = field(default_factory=dict)
    summary: dict[str, object] = field(default_factory=dict)
    question: str = ""

    def split(self, n_validation: int | None, index: int = 0) -> Splits:
        """Splits of training number `index`, which are those of the data where there are no folds."""
        if self.plan is None or self.everything is None:
            return super().split(n_validation, index)
        cut, place = self.plan.cut(index), self.plan.place(index)
        train, validation, test = (self.everything.take(part) for part in cut)
        return Splits(train, validation, HeldOut(test), test_index=cut.test.astype(np.int64), folds=place)

    def describe(self) -> dict[str, object]:
        """Describe it as any data set, with how many are in, and how many are out and why."""
        return super().describe() | {"question": self.question, "scans": self.summary}


def load_ppmi(
    folder: Path,
    *,
    options: Options | None = None,
    preprocessing: Preprocessing | None = None,
    cache: Path | None = None,
    on_progress: Progress | None = None,
    on_scan: Count | None = None,
) -> PpmiDataset:
    """Read a folder of scans.

    Args:
        folder: Holds images and tables at any depth.

    Raises:
        DataError: no scan can be used, or a class has too few patients for the splits.
        FetchError: the archive with the reference regions cannot be obtained.
    """
    preprocessing = preprocessing or Preprocessing()
    download = inspect_download(folder, options or Options())
    download, extracts = read_scans(download, preprocessing, cache, on_progress=on_progress, on_scan=on_scan)
    return make_dataset(download, extracts, preprocessing)


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


def make_dataset(download: Download, extracts: list[Extracts], preprocessing: Preprocessing) -> PpmiDataset:
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
    plan = plan_splits(download, used, preprocessing.input_shape)
    measured = np.concatenate([found.ratios for found in extracts])
    kept = dict(enumerate(extracts))
    extracts.clear()
    traits = make_traits([s.site for s in used], [s.sex for s in used], [s.age for s in used])
    splits = [_take(kept, part, plan.examples, preprocessing, traits) for part in plan.cut()]
    train, validation, test = splits
    ratios = {
        lab: compare_ratios(theirs, used, measured, download.tables.sides)
        for lab, theirs in download.tables.ratios.items()
    }
    return PpmiDataset(
        name="spect-folder",
        source=f"folder {download.folder.resolve().name}",
        train=train,
        test=test,
        is_synthetic=False,
        note=NOTE,
        validation=validation,
        preprocessing=preprocessing,
        class_names=plan.examples.class_names,
        plan=plan,
        everything=_join_splits(splits, plan) if plan.n_folds > 1 else None,
        question="" if download.grouping is COURSE else download.grouping.name,
        summary=download.summarise(),
        report=download.describe() | {"published_ratios": {lab: found for lab, found in ratios.items() if found}},
    )


def plan_splits(download: Download, used: list[Scan], shape: tuple[int, ...]) -> Plan:
    """Plan splits by patient, stratified by class: one part held out, folds, or sites held out.

    Raises:
        DataError: a class has too few patients, a patient was scanned at two sites, or a scan has no site.
    """
    options, names = download.options, download.grouping.classes
    sites = np.array([scan.site for scan in used])
    if options.holds_out_sites and not sites.all():
        where = used[int(np.argmin(sites != ""))].image.path
        raise DataError(f"{where}: no table says at which site it was taken", "add a column site, or use --folds")
    _check_classes(download, used)
    examples = Examples(
        where=str(download.folder),
        source="",
        note="",
        shape=shape,
        labels=np.array([scan.label for scan in used], dtype=np.int64),
        class_names=names,
        groups=np.array([scan.image.subject for scan in used]),
        sites=sites if options.holds_out_sites else None,
    )
    settings: PlanOptions = {
        **DEFAULTS,
        "n_folds": options.n_folds,
        "held_out_sites": options.holds_out_sites,
        "test_share": TEST_SHARE,
        "validation_share": VALIDATION_SHARE,
    }
    plan = make_plan(examples, settings)
    plan.cut()
    return plan


def _check_classes(download: Download, used: list[Scan]) -> None:
    """Check that there are classes to tell apart, with enough patients each."""
    names = download.grouping.classes
    if len(names) < 2:  # nothing to tell apart
        cause = f"{download.folder}: the grouping {download.grouping.name!r} has {len(names)} classes"
        raise DataError(cause, "label two classes or more")
    patients = {(scan.image.subject, scan.label) for scan in used}
    counts = {name: sum(label == i for _, label in patients) for i, name in enumerate(names)}
    fewest = min(counts, key=lambda name: counts[name])
    if counts[fewest] < len(SPLITS):
        others = [name for name in download.list_groupings(len(SPLITS)) if name != download.grouping.name]
        remedy = f"add scans of it, or try --grouping {' or '.join(others)}" if others else "add scans of it"
        cause = f"class {fewest!r}, by {download.grouping.needs}, has {counts[fewest]} patients"
        raise DataError(f"{cause}; {len(SPLITS)} splits need one each", remedy)


def _take(
    kept: dict[int, Extracts],
    part: Index,
    examples: Examples,
    preprocessing: Preprocessing,
    traits: dict[str, Groups],
) -> Scans:
    """Take the scans of a split out of those that are kept, so that none is in memory twice."""
    assert examples.groups is not None
    joined = join_extracts([kept.pop(int(i)) for i in part])
    images, own = make_images(joined, preprocessing), take_traits(traits, part)
    return Scans(images, examples.labels[part], examples.groups[part], joined, traits=own)


def _join_splits(splits: list[Scans], plan: Plan) -> Arrays:
    """Join the splits of training 0 to all scans, in their order."""
    order = np.argsort(np.concatenate(plan.cut()))
    images = np.concatenate([scans.images for scans in splits])[order]
    names = {name for scans in splits for name in scans.traits}
    traits = {name: np.concatenate([scans.traits[name] for scans in splits])[order] for name in sorted(names)}
    return Arrays(images, plan.examples.labels, groups=plan.examples.groups, traits=traits)


def _list_reasons(download: Download) -> str:
    """List the most frequent reasons, in one line."""
    if not download.gathered.images and not download.left_out:
        return f"no DICOM or NIfTI file below it; {EXPECTED}"
    reasons = count_reasons(download.left_out, download.folder)
    said = "; ".join(f"{found['n']} x {found['reason']} ({found['example']})" for found in reasons[:N_REASONS])
    return said if len(reasons) <= N_REASONS else f"{said}; and {len(reasons) - N_REASONS} more reasons"
