"""Claim: the image of a net for a microcontroller has room in given bytes."""

from typing import Literal, Self

from pydantic import Field, model_validator

from dlmi_bench.stats.estimates import Exact
from dlmi_bench.units import format_count
from dlmi_reports.claims.comparisons import Comparison, Finding, show_factor
from dlmi_reports.claims.evidence import Evidence
from dlmi_reports.claims.predicate import Conditions


class Fits(Conditions):
    """Flash and RAM of the image for a target are at most this many bytes; both are counted, so the test is exact."""

    kind: Literal["fits"]
    target: str = "cortex-m0plus"
    flash_bytes: int | None = Field(None, gt=0)
    ram_bytes: int | None = Field(None, gt=0)
    test: Literal["exact"] = "exact"

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.flash_bytes is None and self.ram_bytes is None:
            raise ValueError("give flash_bytes, ram_bytes or both")
        return self

    @property
    def needs_seeds(self) -> bool:
        return False

    @property
    def command(self) -> str:
        return f"dlmi-bench run --suite firmware --task {self.task} --model {self.model}"

    def list_conditions(self) -> dict[str, str | int]:
        return {"target": self.target}

    def find(self, evidence: Evidence) -> Finding:
        limits = {"flash_bytes": self.flash_bytes, "ram_bytes": self.ram_bytes}
        asked = {name: limit for name, limit in limits.items() if limit is not None}
        return Finding(tuple(self._compare(evidence, name, limit) for name, limit in asked.items()))

    def _compare(self, evidence: Evidence, name: str, limit: int) -> Comparison:
        figure, _ = evidence.find_figure(self, name)
        assert figure.value is not None
        what = {"flash_bytes": "flash", "ram_bytes": "RAM"}[name]
        said = f"{format_count(figure.value)} bytes of {what}; claimed: at most {format_count(limit)}"
        label = f"image of {self.model} for {self.target}: {said}"
        return Comparison(label, Exact(float(figure.value <= limit)), 0.5, show_factor, "")
