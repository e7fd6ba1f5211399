"""Claim: the mean accuracy lies above a limit."""

from typing import Literal, Self

from pydantic import model_validator

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
        label = f"{say(self.metric)} of {self.model}, {_count(len(answers.table))}"
        wanted = f", claimed: above {100 * limit:.4g} %{name}"
        return Finding((Comparison(label, answers.estimate(), limit, show_percent, wanted),))


def _count(n_seeds: int) -> str:
    return f"{n_seeds} {'seed' if n_seeds == 1 else 'seeds'}"
