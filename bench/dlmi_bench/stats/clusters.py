"""Examples that come in groups, such as images of one patient: a group is one unit."""

import numpy as np
from numpy.typing import NDArray

from dlmi_bench.stats.estimates import Table


def sum_by_group(table: Table, groups: NDArray[np.integer]) -> Table:
    """Table of groups instead of examples, so that a group is one unit: (seed, group), with the same mean of each row.

    Each group has the mean of the table plus its examples' deviations from it, weighed by its size.

    Args:
        groups: Number of the group of each example, from 0 on.

    Source: W. G. Cochran, Sampling Techniques, 3rd edition (1977), section 9A.1: variance of a ratio over clusters.
    """
    n_groups, mean = int(groups.max()) + 1, table.mean()
    sums = np.stack([np.bincount(groups, row - mean, n_groups) for row in table])
    return np.asarray(mean + sums * n_groups / table.shape[1])


def compute_effective_n(is_right: NDArray[np.float64], groups: NDArray[np.integer]) -> float:
    """Number of independent examples that say as much as these, which come in groups; at most as many as there are.

    The sampling variance over groups is compared with that of independent examples, and the quantile of t over groups
    with that over examples. Where all are right or all wrong, a group counts as one example.

    Source: E. L. Korn, B. I. Graubard, Survey Methodology 24 (1998) 193-201.
    """
    from scipy.special import stdtrit

    n, n_groups, share = len(is_right), int(groups.max()) + 1, float(is_right.mean())
    if share in (0.0, 1.0) or n_groups < 2:
        return float(n_groups)
    (by_group,) = sum_by_group(is_right[None, :], groups)
    ratio = float(by_group.var(ddof=1)) / n_groups / (share * (1 - share) / n)
    penalty = float(stdtrit(n_groups - 1, 0.975) / stdtrit(max(1, n - 1), 0.975)) ** 2
    return max(1.0, float(n / max(1.0, ratio * penalty)))
