"""Files of claims."""

from collections.abc import Iterable
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from dlmi_bench.errors import suggest
from dlmi_bench.records import ARM, Plain
from dlmi_bench.toml import load_toml
from dlmi_reports.claims.kinds import Claim

NAME = "claims.toml"  # in a folder of results, the claims about them
OWN_CLAIMS = Path(__file__).with_name(NAME)


class ClaimFile(Plain):
    """A family of claims, corrected together.

    Attributes:
        alpha: Probability that any SUPPORTED or any REFUTED in the file is wrong.
    """

    alpha: float = Field(0.05, gt=0, lt=1)
    claim: tuple[Claim, ...]

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.claim:
            raise ValueError("a file without a claim")
        known: dict[str, Claim] = {}
        for claim in self.claim:
            if claim.id in known:
                raise ValueError(f"two claims are called {claim.id}")
            known[claim.id] = claim
        for claim in self.claim:
            for field, name in claim.list_references():
                if name not in known or name == claim.id:
                    near = suggest(name, [other for other in known if other != claim.id])
                    raise ValueError(f"claim {claim.id}: {field}: no other claim is called {name}; {near}".rstrip("; "))
                if field == "all_of" and known[name].parts:
                    raise ValueError(f"claim {claim.id}: all_of: {name} is itself made of other claims")
            if claim.alpha is not None and claim.alpha > self.alpha:
                raise ValueError(f"claim {claim.id}: alpha {claim.alpha} is laxer than the file's {self.alpha}")
        return self


def find_claims(folder: Path) -> Path | None:
    """Find the claims that a folder of results holds; None if it holds none."""
    path = folder / NAME
    return path if path.is_file() else None


def select_claims(file: ClaimFile, tasks: Iterable[str]) -> ClaimFile:
    """Keep the claims about one of `tasks` or its arms, the composite ones with a part that is, and what they name."""
    known = {name.partition(ARM)[0] for name in tasks}
    by_id = {claim.id: claim for claim in file.claim}

    def is_about(claim: Claim) -> bool:
        tasks = [name for c in (claim, *(by_id[part] for part in claim.parts)) for name in c.list_population("task")]
        return not known.isdisjoint(name.partition(ARM)[0] for name in tasks)

    asked = [claim.id for claim in file.claim if is_about(claim)]
    for name in asked:  # grows while it is read
        asked += [other for _, other in by_id[name].list_references() if other not in asked]
    return file.model_copy(update={"claim": tuple(claim for claim in file.claim if claim.id in asked)})


def load_claims(path: Path | None = None) -> ClaimFile:
    """Load the course's claims, or those of a file.

    Raises:
        UsageError: names the file, every field that is wrong and its line.
    """
    return load_toml(path or OWN_CLAIMS, ClaimFile)
