"""Fluctuation of the validation loss within a training, from one evaluation to the next."""

import math
from itertools import pairwise
from statistics import fmean

from dlmi_bench.records import Record
from dlmi_reports.claims.ratios import check_trained_here, pair_values
from dlmi_reports.results.arrays import UnmeasuredError
from dlmi_reports.results.model import ModelResults

NAME = "fluctuation of the validation loss"
MIN_EVALUATIONS = 4


def pair_fluctuations(first: ModelResults, second: ModelResults) -> list[float]:
    """Log ratios, second over first, by seed; infinite where one side diverged, and none where both did.

    Raises:
        UnmeasuredError: fewer than two pairs, or a training without a curve to judge by.
    """
    check_trained_here(NAME, first, second)
    own, its = ({r.cell.seed_index: read_fluctuation(r) for r in results.trainings} for results in (first, second))
    return pair_values(own, its, NAME)


def read_fluctuation(record: Record) -> float:
    """Fluctuation without the first tenth of the evaluations; infinite of a training whose loss is not finite there.

    Raises:
        UnmeasuredError: too few evaluations, none of the loss, or a loss that does not change.
    """
    curve, where = record.details.get("curve", []), f"{NAME}: {record.cell.key}"
    if len(curve) < MIN_EVALUATIONS:
        cause = f"{where}: {len(curve)} evaluations, {MIN_EVALUATIONS} are needed"
        raise UnmeasuredError(cause, "evaluate more often, or train for longer")
    kept = curve[-(-len(curve) // 10) :]  # without the first descent, which is no fluctuation
    if not all("validation_loss" in evaluation for evaluation in kept):
        raise UnmeasuredError(f"{where}: its curve has no validation loss", "run again with --fresh")
    losses = [loss for evaluation in kept if (loss := evaluation["validation_loss"]) is not None]
    if len(losses) < len(kept) or not all(map(math.isfinite, losses)):
        return math.inf
    if min(losses) <= 0 or min(losses) == max(losses):
        raise UnmeasuredError(f"{where}: the loss reaches 0, or does not change", "claim another figure")
    return compute_fluctuation(losses)


def compute_fluctuation(losses: list[float]) -> float:
    """Relative fluctuation around a slow trend: mean absolute successive difference of log losses, times sqrt(pi) / 2.

    Of independent normal errors it estimates the standard deviation, and a trend hardly adds to it. The root mean
    square would do so too, but a single jump would decide it: it needs half as many seeds again.

    Source: A. R. Kamat, Biometrika 40 (1953) 116-127.
    """
    logs = [math.log(loss) for loss in losses]
    return math.sqrt(math.pi) / 2 * fmean(abs(b - a) for a, b in pairwise(logs))
