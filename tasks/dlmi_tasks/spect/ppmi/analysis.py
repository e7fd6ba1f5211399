"""The study's own binding ratios beside ours, for the scans that its table DaTScan_Analysis describes."""

import numpy as np
from numpy.typing import NDArray

from dlmi_tasks.spect.anatomy.anatomy import REGIONS
from dlmi_tasks.spect.ppmi.joining import Scan

Ratios = dict[tuple[str, str], tuple[float, ...]]  # (subject, event) -> by REGIONS
MIN_SCANS = 3  # a correlation of fewer says nothing


def compare_ratios(
    published: Ratios, scans: list[Scan], measured: NDArray[np.float32], sides: dict[str, str]
) -> dict[str, object] | None:
    """Compare our ratios with the published ones, by region and by side of the disease; None where no scan has both.

    Args:
        measured: One row for each scan, (n, 4).
        sides: Side of the body with the first symptoms, by subject.
    """
    rows = [i for i, scan in enumerate(scans) if (scan.image.subject, scan.event) in published]
    if not rows:
        return None
    theirs = np.array([published[scans[i].image.subject, scans[i].event] for i in rows])
    ours = measured[rows].astype(np.float64)
    return {
        "n_scans": len(rows),
        "by_region": {name: _compare(ours[:, i], theirs[:, i]) for i, name in enumerate(REGIONS)},
        "by_side": _compare_sides(ours, theirs, [sides.get(scans[i].image.subject, "") for i in rows]),
    }


def _compare_sides(ours: NDArray[np.float64], theirs: NDArray[np.float64], sides: list[str]) -> dict[str, object]:
    """Compare by hemisphere: that across from the first symptoms, and the other one.

    Where no table names the side it is that with the lower putamen by the mean of both measurements: by one of them
    alone its errors would choose.
    """
    putamen = (ours + theirs)[:, 2:]
    lower = np.where(putamen[:, 0] <= putamen[:, 1], 0, 1)
    affected = np.array([{"L": 1, "R": 0}.get(side, int(low)) for side, low in zip(sides, lower, strict=True)])
    n_named = sum(map(bool, sides))
    found: dict[str, object] = {"n_by_first_symptoms": n_named, "n_by_lower_putamen": len(sides) - n_named}
    rows = np.arange(len(sides))
    for hemisphere, column in (("affected", affected), ("other", 1 - affected)):
        for structure, first in (("caudate", 0), ("putamen", 2)):
            found[f"{hemisphere} {structure}"] = _compare(ours[rows, first + column], theirs[rows, first + column])
    return found


def _compare(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> dict[str, float | None]:
    """Means, and mean and standard deviation of ours less theirs; None where there are too few."""
    apart = ours - theirs
    is_enough = len(ours) >= MIN_SCANS and ours.std() > 0 and theirs.std() > 0
    return {
        "ours_mean": float(ours.mean()),
        "published_mean": float(theirs.mean()),
        "difference_mean": float(apart.mean()),
        "difference_sd": float(apart.std(ddof=1)) if len(ours) >= MIN_SCANS else None,
        "correlation": float(np.corrcoef(ours, theirs)[0, 1]) if is_enough else None,
    }
