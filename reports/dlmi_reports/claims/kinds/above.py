"""Claim: the mean accuracy lies above a limit."""

from typing import Literal, Self

from pydantic import model_validator

from dlmi_bench.stats.estimates import estimate_accuracy
from dlmi_reports.claims.comparisons import Comparison, Finding, say, show_percent
from dlmi_reports.claims.evidence import Evidence
from dlmi_reports.claims.predicate import Accuracy, OnTask


class Above(OnTask):
    """The mean over seeds lies above `value`, or above the accuracy of an `observer` of the task, taken as exact."""

    kind: Literal["above"]
    metric: Accuracy = "test_accuracy"
    value: float | None = None
    observer: str = ""
    test: Literal["two-way"] = "two-way"

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.value is None) != bool(self.observer):
            raise ValueError("give either value or observer")
        return self

    def find(self, evidence: Evidence) -> Finding:
        answers = evidence.read_table(self, self.metric)
        limit = evidence.find_observer(self.task, self.observer) if self.value is None else self.value
        name = f" ({self.observer})" if self.observer else ""
        label = f"{say(self.metric)} of {self.model}, {len(answers.table)} seeds"
        wanted = f", claimed: above {100 * limit:.4g} %{name}"
        return Finding((Comparison(label, estimate_accuracy(answers.table), limit, show_percent, wanted),))
