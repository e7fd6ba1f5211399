"""Claim: a count is the smallest of a set."""

from typing import Literal

from pydantic import Field

from dlmi_bench.stats.estimates import Exact
from dlmi_reports.claims.comparisons import Comparison, Finding, say_counts, show_factor
from dlmi_reports.claims.evidence import Evidence
from dlmi_reports.claims.predicate import Count, OnTask


class Ordered(OnTask):
    """The model has a smaller count than each of `against`."""

    kind: Literal["ordered"]
    against: tuple[str, ...] = Field(min_length=1)
    metric: Count = "n_parameters"
    test: Literal["exact"] = "exact"

    @property
    def needs_seeds(self) -> bool:
        return False

    def find(self, evidence: Evidence) -> Finding:
        found = {name: evidence.find_count(self, self.metric, name) for name in (self.model, *self.against)}
        least = min(value for name, value in found.items() if name != self.model)
        label = say_counts(self.metric, found)
        return Finding((Comparison(label, Exact(least - found[self.model]), 0.0, show_factor, ""),))
