"""Claim: probabilities differ from what comes true by less than a limit."""

import math
from statistics import fmean
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from dlmi_bench.metrics.calibration import find_judged
from dlmi_bench.metrics.predictions import Predictions
from dlmi_bench.stats.calibration import CalibrationError, estimate_calibration_error
from dlmi_bench.stats.estimates import Mean, VarianceSource, estimate_mean
from dlmi_bench.stats.sides import Between, Negative
from dlmi_reports.claims.comparisons import Comparison, Finding, show_percent
from dlmi_reports.claims.evidence import Evidence
from dlmi_reports.claims.predicate import OnTask
from dlmi_reports.results.answers import read_scores
from dlmi_reports.results.arrays import UnmeasuredError


class CalibratedWithin(OnTask):
    """The mean calibration error over seeds is less than `limit`, however much of it chance adds."""

    kind: Literal["calibrated_within"]
    metric: Literal["test_ece"] = "test_ece"
    limit: float = Field(gt=0, lt=1)
    test: Literal["bounds"] = "bounds"

    def find(self, evidence: Evidence) -> Finding:
        kept = read_scores(evidence.find_model(self))
        if len(kept) < 2:
            raise UnmeasuredError(f"{len(kept)} trainings of {self.model} kept scores: the spread needs at least two")
        found = [_estimate(*arrays) for arrays in kept]
        n = min(len(labels) for _, labels, _ in kept)
        label = f"calibration error of {self.model}, {len(found)} seeds"
        wanted = f", claimed: below {100 * self.limit:.4g} %"
        return Finding((Comparison(label, Negative(_combine(found, n)), -self.limit, _show, wanted),))


def _estimate(scores: NDArray[Any], labels: NDArray[Any], groups: NDArray[Any] | None) -> CalibrationError:
    names = tuple(map(str, range(scores.shape[1])))
    found = Predictions(scores.astype(float), labels.astype(np.int64), names, groups, "", {})
    if not np.isfinite(scores).all():
        raise UnmeasuredError("scores that are not finite are no probabilities")
    return estimate_calibration_error(*find_judged(found), found.units)


def _combine(found: list[CalibrationError], n: int) -> Between:
    """Bound the mean over seeds: chance adds at least nothing, and at most what calibrated probabilities show."""
    error = math.sqrt(fmean(one.error**2 for one in found))
    examples = VarianceSource("examples", error * math.sqrt(n), n)
    sides = ([one.plain - one.chance for one in found], [one.plain for one in found])
    means = (estimate_mean(values, "seeds") for values in sides)
    lower, upper = (Mean(mean.value, (*mean.sources, examples)) for mean in means)
    return Between(lower, upper)


def _show(value: float, lo: float, hi: float) -> str:
    """Write an error; a part below 0 is what chance took away."""
    return show_percent(*(max(0.0, -part) for part in (value, hi, lo)))
