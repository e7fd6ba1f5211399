"""Splits by patient, stratified by class: a patient with several scans is dealt once, by the highest class."""

import numpy as np
from numpy.typing import NDArray

from dlmi_bench.errors import DataError, UsageError
from dlmi_tasks.spec import SPLIT_SEED

FRACTIONS = (0.6, 0.2, 0.2)  # training, validation, test


def split_patients(
    subjects: NDArray[np.str_],
    labels: NDArray[np.int64],
    class_names: tuple[str, ...],
    *,
    fractions: tuple[float, float, float] = FRACTIONS,
    seed: int = SPLIT_SEED,
) -> tuple[NDArray[np.intp], ...]:
    """Positions of the scans of each split, in order: training, validation, test.

    Args:
        subjects: Whose scan it is, (n,).
        labels: Class of the scan, (n,).

    Raises:
        DataError: a class has too few patients to be in every split.
    """
    if min(fractions) <= 0 or abs(sum(fractions) - 1) > 1e-9:
        raise UsageError(f"fractions {fractions} do not add up to 1", "give three positive shares")
    people, person = np.unique(subjects, return_inverse=True)
    strata = np.full(len(people), -1)
    np.maximum.at(strata, person, labels)
    split = np.empty(len(people), dtype=np.intp)
    rng = np.random.default_rng(seed)
    for label, name in enumerate(class_names):
        members = rng.permutation(np.flatnonzero(strata == label))
        split[members] = _deal(len(members), fractions, name)
    return tuple(np.flatnonzero(split[person] == part) for part in range(len(fractions)))


def _deal(n: int, fractions: tuple[float, ...], name: str) -> NDArray[np.intp]:
    """Split of each of n patients, with at least one patient in every split."""
    if n < len(fractions):
        raise DataError(
            f"class {name!r} (field NHY) has {n} patients, {len(fractions)} splits need one each",
            "add images of that class, or choose another grouping of the stages",
        )
    borders = np.round(np.cumsum(fractions)[:-1] * n).astype(int)
    borders = np.clip(borders, np.arange(1, len(fractions)), n - np.arange(len(fractions) - 1, 0, -1))
    return np.searchsorted(borders, np.arange(n), side="right")
