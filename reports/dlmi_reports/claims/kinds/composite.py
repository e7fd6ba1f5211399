"""Claim: several other claims hold together."""

from typing import Literal

from pydantic import Field

from dlmi_reports.claims.predicate import Predicate


class Composite(Predicate):
    """All of these claims hold. It needs no test of its own, because theirs are corrected together."""

    kind: Literal["composite"]
    all_of: tuple[str, ...] = Field(min_length=2)

    @property
    def parts(self) -> tuple[str, ...]:
        return self.all_of
