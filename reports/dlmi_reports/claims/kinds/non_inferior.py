"""Claim: the accuracy is at most a margin worse than that of others."""

from typing import Literal

from pydantic import Field

from dlmi_reports.claims.comparisons import Comparison, Finding, say, show_points
from dlmi_reports.claims.evidence import Evidence
from dlmi_reports.claims.predicate import Accuracy, Area, OnTask


class NonInferior(OnTask):
    """Less than `margin` worse than each of `against`; for a generalisation gap, less than `margin` larger."""

    kind: Literal["non_inferior"]
    against: tuple[str, ...] = Field(min_length=1)
    metric: Accuracy = "test_accuracy"
    margin: float = Field(ge=0, lt=1)
    test: Literal["two-way"] = "two-way"

    @property
    def difference(self) -> tuple[str, ...]:
        return (self.metric, self.task, self.model, *self.against) if len(self.against) == 1 else ()

    def find(self, evidence: Evidence) -> Finding:
        found = (compare_accuracy(self, evidence, other, self.metric, self.margin) for other in self.against)
        return Finding(tuple(found))


def compare_accuracy(
    claim: OnTask, evidence: Evidence, other: str, metric: Accuracy | Area, margin: float
) -> Comparison:
    """Compare the model's accuracy minus the other's with `margin`; of a gap, the other's minus the model's."""
    own, its = evidence.read_table(claim, metric), evidence.read_table(claim, metric, other)
    is_gap = metric == "generalisation_gap"
    first, second = (its, own) if is_gap else (own, its)
    names = (other, claim.model) if is_gap else (claim.model, other)
    label = f"{say(metric)}, {names[0]} minus {names[1]}"
    return Comparison(label, first.subtract(second), -margin, show_points, f", margin {100 * margin:.4g} points")
