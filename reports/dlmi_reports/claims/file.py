"""Files of claims."""

from collections.abc import Iterable
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from dlmi_bench.errors import list_choices, suggest
from dlmi_bench.records import ARM, Plain
from dlmi_bench.toml import load_toml
from dlmi_reports.claims.kinds import Claim

NAME = "claims.toml"  # in a folder of results, the claims about them
OWN_CLAIMS = Path(__file__).with_name(NAME)


class Family(Plain):
    """Claims that answer one question and are corrected together.

    Attributes:
        alpha: Probability that any SUPPORTED or REFUTED in the family is wrong; the file's where it is None.
    """

    id: str = Field("", pattern=r"^[a-z0-9][a-z0-9.+-]*$")
    title: str = ""
    alpha: float | None = Field(None, gt=0, lt=1)


ONE_FAMILY = Family.model_construct(id="", title="", alpha=None)  # of a file that names none


class ClaimFile(Plain):
    """Claims, and how they are corrected.

    Attributes:
        alpha: Probability that any SUPPORTED or any REFUTED of a family is wrong.
        looks: Numbers of seeds at which the claims are judged while seeds are added; none where all seeds were planned.
        family: Families, in the order in which they are shown; without any all claims are one.
    """

    alpha: float = Field(0.05, gt=0, lt=1)
    looks: tuple[int, ...] = ()
    family: tuple[Family, ...] = ()
    claim: tuple[Claim, ...]

    @property
    def families(self) -> tuple[Family, ...]:
        """The families, or one for all claims."""
        return self.family or (ONE_FAMILY,)

    def get_alpha(self, family: str) -> float:
        """Return the level of a family."""
        return next(f.alpha or self.alpha for f in self.families if f.id == family)

    def unite(self) -> "ClaimFile":
        """Return the same claims as one family, corrected together."""
        claims = tuple(claim.model_copy(update={"family": ""}) for claim in self.claim)
        return self.model_copy(update={"family": (), "claim": claims})

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.claim:
            raise ValueError("a file without a claim")
        if any(n < 1 for n in self.looks) or list(self.looks) != sorted(set(self.looks)):
            raise ValueError(f"looks: {list(self.looks)}: numbers of seeds that grow, for instance [5, 10, 20]")
        known: dict[str, Claim] = {}
        for claim in self.claim:
            if claim.id in known:
                raise ValueError(f"two claims are called {claim.id}")
            known[claim.id] = claim
        for claim in self.claim:
            self._check_family(claim)
            for field, name in claim.list_references():
                if name not in known or name == claim.id:
                    near = suggest(name, [other for other in known if other != claim.id])
                    raise ValueError(f"claim {claim.id}: {field}: no other claim is called {name}; {near}".rstrip("; "))
                if field == "all_of" and known[name].parts:
                    raise ValueError(f"claim {claim.id}: all_of: {name} is itself made of other claims")
        return self

    def _check_family(self, claim: Claim) -> None:
        names = [family.id for family in self.families]
        if len(set(names)) < len(names):
            raise ValueError("two families have the same id")
        if claim.family not in names:
            said = list_choices(claim.family, names) if self.family else "the file has no [[family]]"
            raise ValueError(f"claim {claim.id}: family: no {claim.family!r}; {said}")
        if claim.alpha is not None and claim.alpha > (alpha := self.get_alpha(claim.family)):
            whose = f"family {claim.family}'s" if self.family else "file's"
            raise ValueError(f"claim {claim.id}: alpha {claim.alpha} is laxer than the {whose} {alpha}")


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
