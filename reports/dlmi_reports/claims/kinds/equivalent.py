"""Claim: the accuracy is that of others, within a margin either way."""

from dataclasses import replace
from typing import Literal

from pydantic import Field

from dlmi_bench.stats.equivalence import Within
from dlmi_reports.claims.comparisons import Comparison, Finding
from dlmi_reports.claims.evidence import Evidence
from dlmi_reports.claims.kinds.non_inferior import compare_accuracy
from dlmi_reports.claims.predicate import Accuracy, OnTask


class Equivalent(OnTask):
    """Less than `margin` away from each of `against`, either way."""

    kind: Literal["equivalent"]
    against: tuple[str, ...] = Field(min_length=1)
    metric: Accuracy = "test_accuracy"
    margin: float = Field(gt=0, lt=1)
    test: Literal["two one-sided"] = "two one-sided"

    @property
    def difference(self) -> tuple[str, ...]:
        return (self.metric, self.task, self.model, *self.against) if len(self.against) == 1 else ()

    def find(self, evidence: Evidence) -> Finding:
        return Finding(tuple(self._compare(evidence, other) for other in self.against))

    def _compare(self, evidence: Evidence, other: str) -> Comparison:
        found = compare_accuracy(self, evidence, other, self.metric, self.margin)
        wanted = f", margin {100 * self.margin:.4g} either way"
        return replace(found, estimate=Within(found.estimate), threshold=self.margin, wanted=wanted)
