"""Claim: the area under the ROC curve is at most a margin worse than that of others."""

from typing import Literal

from pydantic import Field

from dlmi_reports.claims.comparisons import Finding
from dlmi_reports.claims.evidence import Evidence
from dlmi_reports.claims.kinds.non_inferior import compare_accuracy
from dlmi_reports.claims.predicate import OnTask


class AucNonInferior(OnTask):
    """Less than `margin` worse than each of `against`, by DeLong's variance over examples and that over seeds."""

    kind: Literal["auc_non_inferior"]
    against: tuple[str, ...] = Field(min_length=1)
    metric: Literal["test_auc"] = "test_auc"
    margin: float = Field(ge=0, lt=1)
    test: Literal["two-way"] = "two-way"

    @property
    def difference(self) -> tuple[str, ...]:
        return (self.metric, self.task, self.model, *self.against) if len(self.against) == 1 else ()

    def find(self, evidence: Evidence) -> Finding:
        found = (compare_accuracy(self, evidence, other, self.metric, self.margin) for other in self.against)
        return Finding(tuple(found))
