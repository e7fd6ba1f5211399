"""Claim: no class is recognised much worse than by others."""

from typing import Literal

import numpy as np
from pydantic import Field

from dlmi_bench.stats.estimates import estimate_difference
from dlmi_reports.claims.comparisons import Comparison, Finding, show_points
from dlmi_reports.claims.evidence import Evidence
from dlmi_reports.claims.predicate import OnTask


class NoClassLost(OnTask):
    """The recall of every class is less than `margin` below that of each of `against`."""

    kind: Literal["no_class_lost"]
    against: tuple[str, ...] = Field(min_length=1)
    metric: Literal["test_accuracy"] = "test_accuracy"
    margin: float = Field(ge=0, lt=1)
    test: Literal["two-way"] = "two-way"

    def find(self, evidence: Evidence) -> Finding:
        return Finding(tuple(found for other in self.against for found in self._compare(evidence, other)))

    def _compare(self, evidence: Evidence, other: str) -> list[Comparison]:
        own, its = evidence.read_examples(self, self.metric), evidence.read_examples(self, self.metric, other)
        own.pool().check_same_examples(its.pool())
        names = next((r.details.get("class_names", []) for r in evidence.find_model(self).trainings), [])
        found = []
        for index in np.unique(own.labels).tolist():
            first, second = (side.pool(own.labels == index) for side in (own, its))
            estimate = estimate_difference(first.table, second.table, is_paired=own.seeds == its.seeds)
            name = names[index] if index < len(names) else str(index)
            label = f"recall of {name}, {self.model} minus {other}"
            wanted = f", margin {100 * self.margin:.4g} points"
            found.append(Comparison(label, estimate, -self.margin, show_points, wanted))
        return found
