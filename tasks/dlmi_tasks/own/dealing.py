"""Examples dealt to the parts of a split: stratified by class, with whole groups."""

import numpy as np
from numpy.typing import NDArray

from dlmi_tasks.spec import Groups, Labels

Counts = NDArray[np.float64]  # (part, class), and the sum over the classes in the last column
TINY = 1e-9  # of an example


def deal(labels: Labels, groups: Groups | None, shares: NDArray[np.float64], rng: np.random.Generator) -> Labels:
    """Part of each example, (n,), so that each part gets its share of each class as nearly as whole groups allow.

    Groups of several examples come first, large ones before small ones: each goes where the chi-squared distance from
    the exact shares grows least. Single examples then fill what is missing.
    """
    n_classes = int(labels.max()) + 1
    _, unit = np.unique(np.arange(len(labels)) if groups is None else groups, return_inverse=True)
    sizes = np.bincount(unit)
    target = np.outer(shares, _count(labels, n_classes))
    filled, part = np.zeros_like(target), np.full(len(labels), -1, dtype=np.int64)
    is_single = sizes[unit] == 1
    _deal_groups(labels, unit, rng.permutation(np.flatnonzero(sizes > 1)), target, filled, part)
    carry = np.zeros(len(shares))
    for label in range(n_classes):
        members = rng.permutation(np.flatnonzero(is_single & (labels == label)))
        counts, carry = _fill(target[:, label] - filled[:, label], len(members), filled[:, label] == 0, carry)
        part[members] = np.repeat(np.arange(len(shares)), counts)
    return part


def _deal_groups(
    labels: Labels, unit: NDArray[np.intp], order: NDArray[np.intp], target: Counts, filled: Counts, part: Labels
) -> None:
    """Deal the groups in `order`, those of about the same size as it says; writes into `filled` and `part`."""
    sizes = np.bincount(unit)
    members = np.split(np.argsort(unit, kind="stable"), np.cumsum(sizes)[:-1])
    left = _count(labels, target.shape[1] - 1)
    for group in order[np.argsort(-np.log2(sizes[order]).astype(int), kind="stable")]:
        counts = _count(labels[members[group]], len(left) - 1)
        growth = (counts * (counts + 2 * (filled - target)) / np.maximum(target, TINY)).sum(1)
        # A part that still lacks a class comes first once the class is about to run out.
        is_last = left <= counts * (filled == 0).sum(0)
        urgent = ((filled == 0) & (counts > 0) & is_last).sum(1)
        chosen = int(np.lexsort((growth, -urgent))[0])
        part[members[group]] = chosen
        filled[chosen] += counts
        left -= counts


def _count(labels: Labels, n_classes: int) -> NDArray[np.intp]:
    """Examples of each class, and of all."""
    return np.append(np.bincount(labels, minlength=n_classes), len(labels))


def _fill(
    deficit: NDArray[np.float64], n: int, is_empty: NDArray[np.bool_], carry: NDArray[np.float64]
) -> tuple[Labels, NDArray[np.float64]]:
    """Whole numbers that add up to `n`, in proportion to `deficit`; the rounding error is carried to the next class."""
    wanted = np.maximum(deficit, 0) + TINY
    wanted *= n / wanted.sum()
    counts = np.floor(wanted).astype(np.int64)
    error = wanted - counts + carry
    counts[np.argsort(-error, kind="stable")[: n - counts.sum()]] += 1
    if n >= len(counts):
        for part in np.flatnonzero(is_empty & (counts == 0)):
            counts[counts.argmax()] -= 1
            counts[part] = 1
    return counts, carry + wanted - counts
