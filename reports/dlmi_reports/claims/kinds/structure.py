"""Claim: the exported graph has given operators."""

from typing import Literal

from pydantic import Field

from dlmi_bench.instruments.onnx.contents import count_operators
from dlmi_bench.instruments.onnx.loading import load_graph
from dlmi_bench.stats.estimates import Exact
from dlmi_reports.claims.comparisons import Comparison, Finding, show_factor
from dlmi_reports.claims.evidence import Evidence
from dlmi_reports.claims.predicate import OnTask


class Structure(OnTask):
    """The exported graph has exactly these numbers of operators."""

    kind: Literal["structure"]
    operators: dict[str, int] = Field(min_length=1)
    test: Literal["exact"] = "exact"

    @property
    def needs_seeds(self) -> bool:
        return False

    def find(self, evidence: Evidence) -> Finding:
        found = count_operators(load_graph(evidence.find_artifact(self, "onnx")))
        counts = {name: found.get(name, 0) for name in self.operators}
        said, wanted = (", ".join(f"{n} {name}" for name, n in x.items()) for x in (counts, self.operators))
        label = f"graph of {self.model}: {said}; claimed: {wanted}"
        return Finding((Comparison(label, Exact(float(counts == self.operators)), 0.5, show_factor, ""),))
