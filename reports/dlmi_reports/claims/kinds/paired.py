"""Claim: an arm improves on its control, over the same seeds."""

import math
from typing import Literal, Self

from pydantic import Field, model_validator

from dlmi_bench.records import Figure
from dlmi_bench.stats.estimates import Estimate, Exact, estimate_difference, estimate_mean, estimate_sd_ratio
from dlmi_reports.claims.comparisons import Comparison, Finding, say, show_factor, show_log, show_points
from dlmi_reports.claims.evidence import Evidence
from dlmi_reports.claims.predicate import Accuracy, OnTask
from dlmi_reports.claims.ratios import estimate_ratio, pair_seeds
from dlmi_reports.results.answers import UnmeasuredError

SNRS = ("image_snr", "pooled_snr")
SAME = 1e-4  # smaller log ratios are rounding errors of float32: the images are the same


class Paired(OnTask):
    """An arm compared with its control, over the same seeds.

    `effect` is the mean (higher by more than `margin`), the stability (the control's standard deviation over seeds is
    more than `factor` times the arm's), or a ratio (the arm's time is smaller, or its signal-to-noise ratio larger, by
    more than `factor`).
    """

    kind: Literal["paired"]
    control_model: str = ""
    control_task: str = ""
    metric: Literal[Accuracy, "time_to_target_s", "image_snr", "pooled_snr"] = "test_accuracy"
    effect: Literal["mean", "stability", "ratio"] = "mean"
    margin: float = Field(0.0, ge=0, lt=1)
    factor: float = Field(1.0, gt=0)
    test: Literal["two-way", "pitman-morgan", "paired-t"] | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.control_model and not self.control_task:
            raise ValueError("give control_model, control_task or both")
        if (self.metric in ("time_to_target_s", *SNRS)) != (self.effect == "ratio"):
            raise ValueError(f"effect {self.effect} does not fit metric {self.metric}")
        fitting = {"mean": "two-way", "stability": "pitman-morgan", "ratio": "paired-t"}[self.effect]
        if self.test not in (None, fitting):
            raise ValueError(f"effect {self.effect} is tested by {fitting}")
        return self

    def find(self, evidence: Evidence) -> Finding:
        control = self.control_model or self.model, self.control_task or self.task
        names = f"{self.model} on {self.task}", " on ".join(control)
        difference, quotient = " minus ".join(names), " over ".join(reversed(names))
        wanted, limit = f", claimed: above {self.factor:g} x", math.log(self.factor)
        if self.metric in SNRS:
            gain = estimate_gain(*(evidence.find_of_task(task, self.metric) for task in (self.task, control[1])))
            label = f"{self.metric.replace('_', ' ')}, {self.task} over {control[1]}"
            found = Comparison(label, gain, limit, show_log, wanted, exactly=": the same for every image")
            return Finding((found,))
        if self.effect == "ratio":
            values = pair_seeds(evidence.find_model(self), evidence.find_model(self, *control), self.metric)
            label = f"{say(self.metric)}, {quotient}"
            return Finding((Comparison(label, estimate_ratio(values, "seeds"), limit, show_log, wanted),))
        own, its = evidence.read_table(self, self.metric), evidence.read_table(self, self.metric, *control)
        if self.effect == "mean":
            own.check_same_examples(its)
            estimate = estimate_difference(own.table, its.table, is_paired=own.seeds == its.seeds)
            wanted = f", claimed: above {100 * self.margin:.4g} points"
            return Finding(
                (Comparison(f"{say(self.metric)}, {difference}", estimate, self.margin, show_points, wanted),)
            )
        try:
            ratio = estimate_sd_ratio(own.table.mean(1).tolist(), its.table.mean(1).tolist())
        except ValueError as error:
            raise UnmeasuredError(f"stability: {error}") from None
        label = f"standard deviation of {say(self.metric)} over {ratio.n} seeds, {quotient}"
        return Finding((Comparison(label, ratio, self.factor, show_factor, wanted),))


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
