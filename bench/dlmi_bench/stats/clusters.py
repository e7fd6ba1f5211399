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
