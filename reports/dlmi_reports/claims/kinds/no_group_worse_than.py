"""Claim: no subgroup of the test examples is answered much worse than all others."""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from dlmi_bench.metrics.subgroups import N_FEWEST
from dlmi_bench.stats.estimates import Mean, estimate_accuracy
from dlmi_bench.store.artifacts import TRAIT
from dlmi_reports.claims.comparisons import Comparison, Finding, show_points
from dlmi_reports.claims.evidence import Evidence
from dlmi_reports.claims.predicate import OnTask
from dlmi_reports.results.answers import Examples
from dlmi_reports.results.arrays import UnmeasuredError, find_array


class NoGroupWorseThan(OnTask):
    """The accuracy in every subgroup of a `column` is less than `margin` below that of all other examples."""

    kind: Literal["no_group_worse_than"]
    column: str = Field(pattern=r"^[A-Za-z0-9_-]{1,60}$")
    metric: Literal["test_accuracy"] = "test_accuracy"
    margin: float = Field(ge=0, lt=1)
    test: Literal["two-way"] = "two-way"

    def find(self, evidence: Evidence) -> Finding:
        examples = evidence.read_examples(self, self.metric)
        words = self._read_column(evidence, len(examples.labels))
        names, sizes = np.unique(words, return_counts=True)
        small = [str(name) for name, n in zip(names, sizes, strict=True) if min(n, len(words) - n) < N_FEWEST]
        kept = [str(name) for name in names if str(name) not in small]
        if not kept:
            raise UnmeasuredError(f"no two subgroups by {self.column} have {N_FEWEST} test examples each")
        notes = (f"too small to compare, under {N_FEWEST} examples: {', '.join(small)}",) if small else ()
        return Finding(tuple(self._compare(examples, words == name, name) for name in kept), notes)

    def _read_column(self, evidence: Evidence, n: int) -> NDArray[Any]:
        results = evidence.find_model(self)
        names = results.trainings[0].provenance.get("traits")
        try:
            index = names.index(self.column) if isinstance(names, list) else -1
            words = find_array(results.trainings[0], f"{TRAIT}{index}", results)
        except (UnmeasuredError, ValueError):
            cause = f"the run of {self.model} kept no column {self.column!r} of its test examples"
            raise UnmeasuredError(cause, "judge subgroups with dlmi_bench.metrics.compare_subgroups") from None
        if words.shape != (n,):
            raise UnmeasuredError(f"the column {self.column!r} has {len(words)} rows for {n} test examples")
        return words.astype(str)

    def _compare(self, examples: Examples, is_in: NDArray[Any], name: str) -> Comparison:
        own, rest = (estimate_accuracy(examples.pool(kept).table) for kept in (is_in, ~is_in))
        estimate = Mean(own.value - rest.value, (*own.sources, *rest.sources), (*own.twice, *rest.twice))
        label = f"accuracy of {self.model}, {self.column} {name} minus all others"
        return Comparison(label, estimate, -self.margin, show_points, f", margin {100 * self.margin:.4g} points")
