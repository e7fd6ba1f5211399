"""Compare retrained recipes, whose accuracy varies both with the seed and with the test examples."""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, stdtrit

from dlmi_bench.gating.accuracy.difference import CONFIDENCE, AccuracyDifference
from dlmi_bench.stats.intervals import compute_satterthwaite

N_RESAMPLES = 2000
RESAMPLING_SEED = 0  # the same data must get the same verdict


def compute_recipe_difference(baseline: NDArray[np.bool_], candidate: NDArray[np.bool_]) -> AccuracyDifference:
    """Compute the difference of mean accuracies, with bounds from a bootstrap over seeds and over examples.

    Seeds of the two sides are resampled independently (equal seeds of two recipes share nothing), examples jointly, as
    both sides saw the same ones. A replicate adds the two deviations. Noise of one seed on one example is in both,
    which widens the bounds; resampling the full table would count it three times. Two corrections for few seeds:
    deviations over S seeds are scaled by sqrt(S / (S - 1)), and the percentiles move out from the normal to the t
    quantile, with the degrees of freedom of the summed variances.

    Args:
        baseline: Correctness of each prediction, (seed, example), at least two seeds.
        candidate: The same for the candidate: the same examples in the same order, any seeds.

    Source: A. B. Owen, Annals of Applied Statistics 1 (2007) 386-411 (two ways); J. N. K. Rao, C. F. J. Wu, JASA 83
    (1988) 231-241 (scaling); T. C. Hesterberg, American Statistician 69 (2015) 371-386 (expanded percentiles);
    F. E. Satterthwaite, Biometrics Bulletin 2 (1946) 110-114 (degrees of freedom).
    """
    shift = candidate.mean(0) - baseline.mean(0)
    # From whole counts: rounding must not depend on the order of examples or of sides.
    value = float(candidate.sum() / candidate.size - baseline.sum() / baseline.size)
    ways = [np.sort(candidate.mean(1)), np.sort(-baseline.mean(1)), np.sort(shift)]
    # Swapped sides must get the mirrored bounds, to the last bit: draw for the orientation that gains.
    lo, hi = _bootstrap(ways) if value >= 0 else _mirror(_bootstrap([-w[::-1] for w in (ways[1], ways[0], ways[2])]))
    return AccuracyDifference(
        value=value,
        lo=min(value, value + lo),
        hi=max(value, value + hi),
        psi=float(np.square(ways[2]).mean()),
        n_examples=len(shift),
    )


def _bootstrap(ways: list[NDArray[np.float64]]) -> tuple[float, float]:
    """Bounds of the summed deviation of the means of `ways`, each resampled on its own."""
    rng = np.random.default_rng(RESAMPLING_SEED)
    total = sum(_resample(way, rng) for way in ways)
    freedom = compute_satterthwaite([float(w.var(ddof=1)) / len(w) for w in ways], [len(w) for w in ways])
    share = ndtr(-stdtrit(freedom, CONFIDENCE))
    lo, hi = np.quantile(total, [share, 1 - share])
    return float(lo), float(hi)


def _resample(values: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Deviations of resampled means from the mean, (resample,), scaled to the variance of a sample mean."""
    distinct, counts = np.unique(values, return_counts=True)
    n = len(values)
    drawn = rng.multinomial(n, counts / n, size=N_RESAMPLES)
    return (drawn @ distinct / n - values.mean()) * math.sqrt(n / (n - 1))


def _mirror(bounds: tuple[float, float]) -> tuple[float, float]:
    return -bounds[1], -bounds[0]
