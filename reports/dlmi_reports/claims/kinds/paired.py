"""Claim: an arm improves on its control, over the same seeds."""

import math
from dataclasses import replace
from typing import Literal, Self, get_args

from pydantic import Field, model_validator

from dlmi_bench.records import Figure
from dlmi_bench.stats.estimates import Estimate, Exact, estimate_mean
from dlmi_reports.claims.comparisons import Comparison, Finding, show_log
from dlmi_reports.claims.evidence import Evidence
from dlmi_reports.claims.kinds.arms import Arms, Snr
from dlmi_reports.results.arrays import UnmeasuredError

SAME = 1e-4  # smaller log ratios are rounding errors of float32: the images are the same


class Paired(Arms):
    """An arm is better than its control by more than `margin`, or by more than `factor`."""

    kind: Literal["paired"]
    margin: float = Field(0.0, ge=0, lt=1)
    factor: float = Field(1.0, gt=0)
    test: Literal["two-way", "paired-t"] | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        fitting = "two-way" if self.effect == "mean" else "paired-t"
        if self.test not in (None, fitting):
            raise ValueError(f"effect {self.effect} is tested by {fitting}")
        return self

    @property
    def needs_seeds(self) -> bool:
        return not self.metric.endswith("_snr")

    def find(self, evidence: Evidence) -> Finding:
        found = [self._compare_noise(evidence)] if self.metric in get_args(Snr) else self.compare(evidence)
        if self.effect == "mean":
            limit, wanted = self.margin, f", claimed: above {100 * self.margin:.4g} points"
        else:
            limit, wanted = math.log(self.factor), f", claimed: above {self.factor:g} x"
        return Finding(tuple(replace(c, threshold=limit, wanted=wanted) for c in found))

    def _compare_noise(self, evidence: Evidence) -> Comparison:
        tasks = self.task, self.control[1]
        gain = estimate_gain(*(evidence.find_of_task(task, self.metric) for task in tasks))
        label = f"{self.metric.replace('_', ' ')}, {' over '.join(tasks)}"
        return Comparison(label, gain, 0.0, show_log, "", exactly=": the same for every image")


def estimate_gain(arm: Figure, control: Figure) -> Estimate:
    """Mean log ratio over images; for the pooled figure, the jackknife's, from the figures without each image.

    Raises:
        UnmeasuredError: other images, or ratios without a logarithm.

    Source: M. H. Quenouille, Biometrika 43 (1956) 353-360, for the jackknife.
    """
    pairs = [*zip(arm.samples, control.samples, strict=False), (arm.value or 0.0, control.value or 0.0)]
    if len(arm.samples) != len(control.samples) or min(map(min, pairs)) <= 0:
        raise UnmeasuredError(
            f"{arm.name}: different images, or no signal in some", "run both on the same data with --fresh"
        )
    *logs, whole = [math.log(x / y) for x, y in pairs]
    if max(map(abs, logs)) < SAME:
        return Exact(0.0)
    if arm.name == "pooled_snr":
        logs = [len(logs) * whole - (len(logs) - 1) * without for without in logs]
    return estimate_mean(logs, "images")
