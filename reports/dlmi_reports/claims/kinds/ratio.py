"""Claim: a cost is smaller than that of others by a factor."""

import math
from dataclasses import replace
from typing import Literal, get_args

from pydantic import Field

from dlmi_bench.stats.estimates import Exact
from dlmi_reports.claims.comparisons import Comparison, Finding, say, say_counts, show_factor, show_log
from dlmi_reports.claims.evidence import Evidence
from dlmi_reports.claims.kinds.non_inferior import compare_accuracy
from dlmi_reports.claims.predicate import Conditions, Count
from dlmi_reports.claims.ratios import TIMED, compare_reported, estimate_ratio, pair_processes, pair_seeds_by_kind
from dlmi_reports.results.arrays import UnmeasuredError
from dlmi_reports.results.machines import find_kind

Inference = Literal["latency_s", "inference_energy_j"]
Measured = Literal["latency_s", "training_s", "time_to_target_s", "inference_energy_j", "training_energy_j"]


class Ratio(Conditions):
    """Smaller (faster) than each of `against` by more than `factor`.

    `comparable_within` excludes those of `against` whose test accuracy is shown to be higher by more than it.
    """

    kind: Literal["ratio"]
    against: tuple[str, ...] = Field(min_length=1)
    metric: Measured | Count
    factor: float = Field(1.0, gt=0)
    comparable_within: float | None = Field(None, ge=0, lt=1)
    test: Literal["paired-t"] = "paired-t"

    @property
    def needs_seeds(self) -> bool:
        return self.comparable_within is not None

    def find(self, evidence: Evidence) -> Finding:
        comparisons, notes = [], []
        for other in self.against:
            is_comparable = True
            if self.comparable_within is not None:
                accuracy = compare_accuracy(self, evidence, other, "test_accuracy", self.comparable_within)
                lo, hi = accuracy.estimate.compute_interval(evidence.alpha)
                if hi < -self.comparable_within:
                    notes.append(f"{other} is excluded: it is more accurate ({accuracy.describe(evidence.alpha)})")
                    continue
                is_comparable = lo > -self.comparable_within
                if not is_comparable:
                    said = accuracy.describe(evidence.alpha)
                    notes.append(f"it is open whether {other} has a comparable accuracy ({said})")
            comparisons += self._compare_cost(evidence, other, may_refute=is_comparable)
        if not comparisons:
            raise UnmeasuredError(f"none has a comparable accuracy: {'; '.join(notes)}", "name others in `against`")
        return Finding(tuple(comparisons), tuple(notes))

    def _compare_cost(self, evidence: Evidence, other: str, *, may_refute: bool) -> list[Comparison]:
        """Compare the cost with another model's, once for each kind of machine that both have it on."""
        wanted = f", claimed: above {self.factor:g} x"
        if self.metric in get_args(Count):
            counts = {name: evidence.find_count(self, self.metric, name) for name in (self.model, other)}
            if not counts[self.model]:
                raise UnmeasuredError(f"{self.metric} of {self.model} is 0, so it has no ratio", "use kind ordered")
            ratio = Exact(counts[other] / counts[self.model])
            return [Comparison(say_counts(self.metric, counts), ratio, self.factor, show_factor, wanted, may_refute)]
        label = f"{say(self.metric)}, {other} over {self.model}"
        if self.metric in get_args(Inference) and (found := compare_reported(self, evidence, self.metric, other)):
            return [Comparison(label, found, math.log(self.factor), show_log, wanted, may_refute)]
        if self.metric in get_args(Inference):
            kind = find_kind(evidence.find_figure(self, self.metric)[1]) or ""
            pairs, what = {kind: pair_processes(self, evidence, self.metric, other)}, "processes"
        else:
            first, second = evidence.find_model(self), evidence.find_model(self, other)
            pairs, what = pair_seeds_by_kind(first, second, self.metric), TIMED
        made = Comparison(label, Exact(0.0), math.log(self.factor), show_log, wanted, may_refute)
        return [
            replace(made, estimate=estimate_ratio(values, what), kind=evidence.name_kind(kind))
            for kind, values in pairs.items()
        ]
