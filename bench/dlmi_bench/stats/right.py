"""Right and wrong answers of many seeds to many examples, a bit each: estimates as of a table, by whole numbers."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dlmi_bench.stats.estimates import SEEDS, Mean, Table, VarianceSource, make_source

NOISE = "seeds x examples"


class Right:
    """A table of 1 and 0 by seed and example, in a bit each.

    Attributes:
        by_seed: Right answers of each seed, (seed,).
        by_example: Seeds that answered each example right, (example,).
    """

    def __init__(self, table: NDArray[np.bool_]) -> None:
        self.shape = table.shape
        self.packed = np.packbits(table, axis=1)
        self.by_seed, self.by_example = table.sum(1), table.sum(0)

    def unpack(self) -> Table:
        """Return the table, (seed, example)."""
        return np.unpackbits(self.packed, axis=1, count=self.shape[1]).astype(float)

    def take(self, n_seeds: int) -> "Right":
        """Return the answers of the first seeds."""
        return Right(np.unpackbits(self.packed[:n_seeds], axis=1, count=self.shape[1]).astype(bool))

    @property
    def mean(self) -> float:
        return float(self.by_seed.sum() / math.prod(self.shape))

    @property
    def noise(self) -> VarianceSource:
        return _make_noise(self.shape, int(self.by_seed.sum()), self.by_seed, self.by_example)


def estimate_right_difference(first: Right, second: Right, *, is_paired: bool) -> Mean:
    """Difference of two mean accuracies, first less second: that of `estimate_difference` of the two tables."""
    n_seeds, n_examples = first.shape
    shift = first.by_example / n_seeds - second.by_example / second.shape[0]
    examples = make_source(np.concatenate([shift, [1.0, -1.0]]), "examples")
    if is_paired:
        sources, noise = _compare_paired(first, second)
    else:
        several = [side for side in (first, second) if side.shape[0] > 1]
        sources = [make_source(side.by_seed / n_examples, SEEDS) for side in several]
        noise = tuple(side.noise for side in several)
    return Mean(first.mean - second.mean, (*sources, examples), noise)


def _compare_paired(first: Right, second: Right) -> tuple[Sequence[VarianceSource], tuple[VarianceSource, ...]]:
    """Variation of the difference over seeds, and the noise that it shares with that over examples."""
    if first.shape[0] < 2:
        return [], ()
    by_seed, by_example = first.by_seed - second.by_seed, first.by_example - second.by_example
    n_different = int(np.bitwise_count(first.packed ^ second.packed).sum())
    noise = _make_noise(first.shape, n_different, by_seed, by_example)
    return [make_source(by_seed / first.shape[1], SEEDS)], (noise,)


def _make_noise(
    shape: tuple[int, ...], squares: int, by_seed: NDArray[np.integer], by_example: NDArray[np.integer]
) -> VarianceSource:
    """Variance left in a table of whole numbers without the means of its rows and of its columns.

    Args:
        squares: Sum of the squares of the table.
        by_seed, by_example: Sums of its rows and of its columns.
    """
    n_seeds, n_examples = shape
    rows, columns = (sum(int(v) ** 2 for v in sums) for sums in (by_seed, by_example))
    # The sum of squares without the means, times the number of cells: whole, so that nothing cancels by rounding.
    left = n_seeds * n_examples * squares - n_seeds * rows - n_examples * columns + int(by_seed.sum()) ** 2
    variance = left / (n_seeds * n_examples * max(1, (n_seeds - 1) * (n_examples - 1)))
    return VarianceSource(NOISE, math.sqrt(variance), n_seeds * n_examples)
