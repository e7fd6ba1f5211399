"""Claim: most trainings reach a validation accuracy."""

from typing import Literal

from pydantic import Field

from dlmi_bench.stats.estimates import Share
from dlmi_bench.units import format_share
from dlmi_reports.claims.comparisons import Comparison, Finding, show_share
from dlmi_reports.claims.evidence import Evidence
from dlmi_reports.claims.predicate import OnTask
from dlmi_reports.results.arrays import UnmeasuredError
from dlmi_reports.results.model import has_reached
from dlmi_reports.results.provenance import read_provenance

SHARE = Field(gt=0, lt=1)


class Reaches(OnTask):
    """More than `share` of all trainings reach the validation accuracy `target`."""

    kind: Literal["reaches"]
    target: float = SHARE
    share: float = SHARE
    test: Literal["wilson"] = "wilson"

    def find(self, evidence: Evidence) -> Finding:
        results = evidence.find_model(self)
        reached = []
        for record in results.trainings:
            goal = read_provenance(record).goal
            if goal is None:
                raise UnmeasuredError("the task states no target", "state one in the task, or drop the claim")
            if goal != self.target:
                raise UnmeasuredError(
                    f"the runs of {self.model} had a target other than {format_share(self.target)}", "correct the claim"
                )
            reached.append(has_reached(record))
        if not reached:
            raise UnmeasuredError(f"no training of {self.model}")
        share = Share(sum(reached), len(reached), "seeds")
        label = f"{sum(reached)} of {len(reached)} seeds reached {format_share(self.target)}"
        wanted = f", claimed: above {format_share(self.share)}"
        return Finding((Comparison(label, share, self.share, show_share, wanted),))
