"""Claim: an arm changes a figure by less than a limit, over the same seeds."""

import math
from dataclasses import replace
from typing import Literal, Self

from pydantic import Field, model_validator

from dlmi_bench.stats.equivalence import Within
from dlmi_reports.claims.comparisons import Finding
from dlmi_reports.claims.evidence import Evidence
from dlmi_reports.claims.kinds.arms import Arms, ToTarget
from dlmi_reports.claims.predicate import Accuracy


class Bounded(Arms):
    """An arm differs from its control by less than `margin`, or by less than `factor`, either way."""

    kind: Literal["bounded"]
    metric: Literal[Accuracy, ToTarget, "validation_loss"] = "test_accuracy"
    margin: float | None = Field(None, gt=0, lt=1)
    factor: float | None = Field(None, gt=1)
    test: Literal["two one-sided"] = "two one-sided"

    @model_validator(mode="after")
    def _check(self) -> Self:
        named, other = ("margin", "factor") if self.effect == "mean" else ("factor", "margin")
        if getattr(self, named) is None or getattr(self, other) is not None:
            raise ValueError(f"effect {self.effect} takes {named}, and no {other}")
        return self

    def find(self, evidence: Evidence) -> Finding:
        if self.margin is not None:
            limit, wanted = self.margin, f", margin {100 * self.margin:.4g} either way"
        else:
            assert self.factor is not None
            limit, wanted = math.log(self.factor), f", claimed: within {self.factor:g} x either way"
        found = self.compare(evidence)
        return Finding(tuple(replace(c, estimate=Within(c.estimate), threshold=limit, wanted=wanted) for c in found))
