"""The study's own binding ratios beside ours, for the scans that its table DaTScan_Analysis describes."""

import numpy as np
from numpy.typing import NDArray

from dlmi_tasks.spect.anatomy.anatomy import REGIONS
from dlmi_tasks.spect.ppmi.joining import Scan

Ratios = dict[tuple[str, str], tuple[float, ...]]  # (subject, event) -> by REGIONS
MIN_SCANS = 3  # a correlation of fewer says nothing


def compare_ratios(published: Ratios, scans: list[Scan], measured: NDArray[np.float32]) -> dict[str, object] | None:
    """Compare our ratios with the published ones, by region; None where no scan has both.

    Args:
        measured: One row for each scan, (n, 4).
    """
    rows = [i for i, scan in enumerate(scans) if (scan.image.subject, scan.event) in published]
    if not rows:
        return None
    theirs = np.array([published[scans[i].image.subject, scans[i].event] for i in rows])
    ours = measured[rows].astype(np.float64)
    return {
        "n_scans": len(rows),
        "by_region": {name: _compare(ours[:, i], theirs[:, i]) for i, name in enumerate(REGIONS)},
    }


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
