"""What a result is: the one plain record that instruments fill and reports read.

The unit of a figure is the last word of its name (`latency_s`, `energy_j`, `peak_bytes`); seconds, joules, bytes
and fractions inside, always. `None` means not available and carries the reason; 0 means zero.
"""

import hashlib
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

SCHEMA_VERSION = 1

CellKind = Literal["train", "references", "counts", "memory", "latency", "energy", "imported"]
FigureKind = Literal["measured", "modelled", "counted", "derived"]
# What belongs to the identity of a figure: backend, batch, provider, precision, threads, options.
Conditions = dict[str, str | int | float | bool]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class Plain(BaseModel):
    """Frozen, and strict about unknown fields: a typing error in a file is found, not ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid")


# What stands behind this sign in a task's or a model's name is an arm: `vgg16-c+synthetic`, `spect+none-full`.
ARM = "+"


class Cell(Plain):
    """One point of the grid: what is done, to which model, on which task, with which seed."""

    kind: CellKind
    task: str
    model: str
    seed_index: int = 0

    @property
    def key(self) -> str:
        return f"{self.kind}/{self.task}/{self.model}/{self.seed_index}"

    @property
    def seed(self) -> int:
        """Seed in [0, 2**31), hashed from the identity, so that none is chosen by hand.

        No two cells share one but the arms of a comparison, which are paired by it.
        """
        task, model = (name.partition(ARM)[0] for name in (self.task, self.model))
        digest = hashlib.sha256(f"{task}/{model}/{self.seed_index}".encode()).digest()
        return int.from_bytes(digest[:4], "big") >> 1


class Figure(Plain):
    """One number and everything needed to trust it.

    `lo`, `hi` bound the value in the sense that `interval` names. `n` counts what was sampled (processes, examples,
    repeats). `conditions` are part of the figure's identity: change one and it is another figure.
    """

    name: str
    value: Finite | None
    kind: FigureKind
    source: str
    method: str = ""
    n: int = 1
    lo: Finite | None = None
    hi: Finite | None = None
    interval: str = ""
    conditions: dict[str, str | int | float | bool] = {}
    notes: tuple[str, ...] = ()
    samples: tuple[Finite, ...] = ()
    reason: str = ""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.value is None and not self.reason:
            raise ValueError(f"figure {self.name} has neither a value nor a reason")
        if self.lo is not None and self.hi is not None and self.lo > self.hi:
            raise ValueError(f"figure {self.name}: lo {self.lo} > hi {self.hi}")
        return self


class Artifact(Plain):
    """A file of the content-addressed store."""

    role: str
    sha256: str
    size_bytes: int
    suffix: str


class Record(Plain):
    """A measured cell: its figures, the files it made and where all of it comes from.

    `failures` says what went wrong where some figures could not be had: such a cell is not done and is tried again.
    """

    schema_version: int = SCHEMA_VERSION
    cell: Cell
    figures: tuple[Figure, ...]
    failures: tuple[str, ...] = ()
    artifacts: tuple[Artifact, ...] = ()
    provenance: dict[str, JsonValue] = {}
    details: dict[str, JsonValue] = {}

    def figure(self, name: str, **conditions: Any) -> Figure | None:
        """The first figure of that name that meets all of `conditions`."""
        for figure in self.figures:
            if figure.name == name and all(figure.conditions.get(k) == v for k, v in conditions.items()):
                return figure
        return None

    def artifact(self, role: str) -> Artifact:
        """The artifact of that role; KeyError where there is none."""
        for artifact in self.artifacts:
            if artifact.role == role:
                return artifact
        raise KeyError(f"cell {self.cell.key} has no artifact {role!r}")


def unavailable(name: str, reason: str, **conditions: str | int | float | bool) -> Figure:
    """A figure that could not be had, with the reason."""
    return Figure(name=name, value=None, kind="measured", source="none", n=0, conditions=conditions, reason=reason)
