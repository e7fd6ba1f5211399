"""The task's data: training, validation and test images with their labels, subjects and origin.

Splits are by patient, always: no person has images on both sides of a border.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dlmi_bench.errors import UsageError
from dlmi_tasks.files.archives import Progress
from dlmi_tasks.spec import Arrays, Dataset, Groups, HeldOut, Splits, compute_hashes, take_traits
from dlmi_tasks.spect.cohort.cohort import CohortSpec
from dlmi_tasks.spect.cohort.synthesis import Count, Visit, load_cohort
from dlmi_tasks.spect.preprocess import Extracts, Preprocessing, make_images

NOTE = (
    "Synthetic. Anatomy: real label maps. Uptake: drawn from a published-scale model; stage 3+ levels and stage "
    "separations are set by us. Not evidence about patients."
)
SPLITS = ("train", "validation", "test")
SIZES = (180, 60, 600)  # patients
CLASS_NAMES = ("1", "2", "3+")


@dataclass(frozen=True)
class Scans(Arrays):
    """Images and labels with whose they are, and what was extracted from each volume on the way."""

    subjects: NDArray[np.str_]
    extracts: Extracts

    def __post_init__(self) -> None:
        object.__setattr__(self, "groups", self.subjects)

    def take(self, index: NDArray[np.intp]) -> "Scans":
        parts = self.images[index], self.labels[index], self.subjects[index], self.extracts.take(index)
        return Scans(*parts, traits=take_traits(self.traits, index))


@dataclass(frozen=True)
class SpectDataset(Dataset):
    """A Dataset with a validation split of its own, and scans that know their subjects."""

    train: Scans
    test: Scans
    validation: Scans
    preprocessing: Preprocessing
    class_names: tuple[str, ...]

    @property
    def sha256(self) -> dict[str, str]:
        both = compute_hashes(self.train, self.test), compute_hashes(self.validation, self.validation)
        renamed = {name.replace("train", "validation"): both[1][name] for name in ("train_images", "train_labels")}
        return both[0] | renamed

    def split(self, n_validation: int | None, index: int = 0) -> Splits:
        """Take the data's own validation split."""
        assert n_validation is None
        return Splits(self.train, self.validation, HeldOut(self.test))

    def describe(self) -> dict[str, object]:
        """Describe it as any data set, with its preprocessing."""
        return super().describe() | {"preprocessing": asdict(self.preprocessing)}

    @property
    def splits(self) -> dict[str, Scans]:
        return {name: getattr(self, name) for name in SPLITS}


@dataclass(frozen=True)
class SyntheticDataset(SpectDataset):
    """The synthetic cohort, and what it was drawn from."""

    spec: CohortSpec


def load_synthetic(
    spec: CohortSpec | None = None,
    *,
    sizes: tuple[int, int, int] = SIZES,
    preprocessing: Preprocessing | None = None,
    cache: Path | None = None,
    n_workers: int | None = None,
    on_progress: Progress | None = None,
    on_scan: Count | None = None,
) -> SyntheticDataset:
    """The synthetic cohort: made on the first call (a minute on two cores), read from the cache afterwards.

    Args:
        spec: What the patients are drawn from; None is the preset `course`.
        sizes: Patients for training, validation and test, in the order of their indices.
        n_workers: Processes; None takes each core this process may use.

    Raises:
        UsageError: a size below 3, which leaves a class empty.
        FetchError: the archive of the anatomies cannot be obtained.
    """
    spec, preprocessing = spec or CohortSpec(), preprocessing or Preprocessing()
    if min(sizes) < len(CLASS_NAMES):
        raise UsageError(f"sizes {sizes}: a split with fewer than 3 patients has an empty class", "use 3 or more each")
    visits, extracts = load_cohort(
        spec,
        sum(sizes),
        slices=preprocessing.slices,
        cache=cache,
        n_workers=n_workers,
        on_progress=on_progress,
        on_scan=on_scan,
    )
    scans = _label(visits, extracts, preprocessing)
    position = np.array([visit.patient.index for visit in visits])
    borders = np.cumsum((0, *sizes))
    train, validation, test = (
        scans.take(np.flatnonzero((position >= a) & (position < b))) for a, b in pairwise(borders)
    )
    return SyntheticDataset(
        name=f"spect-{spec.preset}",
        source=f"synthetic cohort, preset {spec.preset}, separation {spec.separation:g}, seed {spec.seed}, "
        f"{sum(sizes)} patients",
        train=train,
        test=test,
        is_synthetic=True,
        note=NOTE,
        validation=validation,
        preprocessing=preprocessing,
        class_names=CLASS_NAMES,
        spec=spec,
    )


def _label(visits: list[Visit], extracts: Extracts, preprocessing: Preprocessing) -> Scans:
    labels = np.array([visit.patient.stage - 1 for visit in visits], dtype=np.int64)
    subjects = np.array([visit.patient.subject for visit in visits])
    who = [visit.patient for visit in visits]
    traits = make_traits([f"site {p.site + 1}" for p in who], [p.sex for p in who], [p.age for p in who])
    return Scans(make_images(extracts, preprocessing), labels, subjects, extracts, traits=traits)


def make_traits(sites: Sequence[str], sexes: Sequence[str], ages: Sequence[float | None]) -> dict[str, Groups]:
    """Subgroups of scans by site, sex and age in decades; a column that says nothing is left out.

    Decades, because ages in years beside the results would say more of participants than subgroups need.
    """
    decades = ["" if age is None else f"{int(age) // 10 * 10}-{int(age) // 10 * 10 + 9}" for age in ages]
    columns = {"site": sites, "sex": sexes, "age": decades}
    return {name: np.array(words) for name, words in columns.items() if any(words)}


def summarise(scans: Scans, class_names: tuple[str, ...]) -> dict[str, object]:
    """Counts of one split, as plain data."""
    counts = np.bincount(scans.labels, minlength=len(class_names))
    return {
        "n_images": len(scans),
        "n_patients": len(np.unique(scans.subjects)),
        "n_by_class": dict(zip(class_names, counts.tolist(), strict=True)),
    }
