"""Record of a result: instruments fill it, reports read it.

The unit of a figure is the last word of its name (`latency_s`, `energy_j`, `peak_bytes`); seconds, joules, bytes
and fractions inside, always. `None` means not available and carries the reason; 0 means zero.
"""

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from math import inf
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    PlainSerializer,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)
from typing_extensions import TypedDict  # pydantic reads typing's own from Python 3.12 on only

SCHEMA_VERSION: Literal[1] = 1

CellKind = Literal["train", "references", "counts", "memory", "latency", "energy", "firmware", "tuning", "imported"]
FigureKind = Literal["measured", "modelled", "counted", "derived", "native", "simulated"]
# What belongs to the identity of a figure: backend, batch, provider, precision, threads, options.
Conditions = dict[str, str | int | float | bool]
Finite = Annotated[float, Field(allow_inf_nan=False)]
# Strings of files that become paths or keys: none of them can lead anywhere or be taken for two words.
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Suffix = Literal[".safetensors", ".onnx", ".npy", ".json", ".bin", ".packed"]
Role = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]{0,99}$")]
Name = Annotated[str, StringConstraints(pattern=r"^[^/\\\x00-\x1f\x7f]+$", max_length=300)]
ModelName = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]+$", max_length=300)]


class Plain(BaseModel):
    """Frozen, and strict about unknown fields: a typing error in a file is found, not ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid")


# Reason of the durations and energies that a training beside others does not give.
UNTIMED = "trained beside others, so not timed"
# What stands behind this sign in a task's or a model's name is an arm: `vgg16-c+synthetic`, `spect+none-full`.
ARM = "+"
# What stands between a task's name and the nonce of a referee; see dlmi_tasks/disguise.py.
DISGUISE = f"{ARM}disguised-"


class Cell(Plain):
    """One point of the grid: what is done, to which model, on which task, with which seed."""

    kind: CellKind
    task: Name
    model: ModelName
    seed_index: int = Field(0, ge=0, lt=1_000_000)

    @property
    def key(self) -> str:
        return f"{self.kind}/{self.task}/{self.model}/{self.seed_index}"

    @property
    def is_disguised(self) -> bool:
        """Tell whether a referee drew how the data of the task are disguised."""
        return DISGUISE in self.task

    @property
    def seed(self) -> int:
        """Seed in [0, 2**31), hashed from the identity, so that none is chosen by hand.

        No two cells share one but those that are paired by it: the arms of a comparison, and the trials of a recipe,
        which all have one that no training has. A task in disguise is no arm: nobody knows its seeds beforehand.
        """
        task, model = (name.partition(ARM)[0] for name in (self.task, self.model))
        task = self.task if self.is_disguised else task
        index = "tuning" if self.kind == "tuning" else self.seed_index
        digest = hashlib.sha256(f"{task}/{model}/{index}".encode()).digest()
        return int.from_bytes(digest[:4], "big") >> 1


class Mark(StrEnum):
    """Severity of a note, in the order in which marks are shown."""

    CUT = "cut"
    CLUSTERED = "clustered"
    MIXED = "mixed"
    NOISY = "noisy"
    VACUOUS = "vacuous"
    THROTTLED = "throttled"
    INVALID = "INVALID"


@dataclass(frozen=True)
class Note:
    """Remark of an instrument about its own figure; files keep it as "mark: text"."""

    mark: Mark | None
    text: str

    @classmethod
    def parse(cls, value: "str | Note") -> "Note":
        """Note from its text in a file; a first word that is no mark belongs to the text."""
        if isinstance(value, Note):
            return value
        word, colon, text = value.partition(": ")
        return cls(Mark(word), text) if colon and word in set(Mark) else cls(None, value)

    def __str__(self) -> str:
        return self.text if self.mark is None else f"{self.mark}: {self.text}"


NoteText = Annotated[
    Note, BeforeValidator(Note.parse), PlainSerializer(str, return_type=str), WithJsonSchema({"type": "string"})
]


@dataclass(frozen=True)
class Benchmark:
    """Identity of what is timed: one model on one runtime, with a batch size and a number of threads."""

    model: str
    backend: str
    batch: int
    n_threads: int = 1

    @property
    def key(self) -> str:
        """Key of its rounds and single calls in the record of its model: `details["rounds_s"][key]`."""
        return f"{self.backend}, batch {self.batch}, threads {self.n_threads}"


# What a figure can be, by the end of its name.
BOUNDS = {"accuracy": (0.0, 1.0), "_s": (0.0, inf), "_bytes": (0.0, inf)}


@lru_cache(1024)
def _find_bounds(name: str) -> tuple[float, float]:
    return next((bounds for end, bounds in BOUNDS.items() if name.endswith(end)), (-inf, inf))


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
    n: int = Field(1, ge=0)
    lo: Finite | None = None
    hi: Finite | None = None
    interval: str = ""
    conditions: dict[str, str | int | float | bool] = {}
    notes: tuple[NoteText, ...] = ()
    samples: tuple[Finite, ...] = ()
    reason: str = ""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.value is None and not self.reason:
            raise ValueError(f"figure {self.name} has neither a value nor a reason")
        if self.lo is not None and self.hi is not None and self.lo > self.hi:
            raise ValueError(f"figure {self.name}: lo {self.lo} > hi {self.hi}")
        least, most = _find_bounds(self.name)
        if self.value is not None and not least <= self.value <= most:
            raise ValueError(f"figure {self.name}: {self.value} is not within {least:g} to {most:g}")
        return self


class Artifact(Plain):
    """A file of the content-addressed store."""

    role: Role
    sha256: Sha256
    size_bytes: int = Field(ge=0)
    suffix: Suffix


class Details(TypedDict, total=False):
    """Raw results beside the figures, which reports draw and pair; a record may hold more.

    `rounds_s` and `singles_s` are by benchmark, process and call [s]; `curve` has an entry for each evaluation.
    `opened` lists what a training before a referee opened.
    """

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]

    session: str
    rounds_s: dict[str, list[list[Finite]]]
    singles_s: dict[str, list[list[Finite]]]
    processes: dict[str, list[dict[str, JsonValue]]]
    curve: list[dict[str, int | float | None]]
    repeats_are_identical: bool | None
    class_names: list[str]
    confusion: list[list[int]]
    pictures: list[dict[str, JsonValue]]
    judged: dict[str, str]
    opened: list[str]


class Record(Plain):
    """A measured cell: its figures, the files it made and where all of it comes from.

    `failures` says what went wrong where figures are missing: such a cell is not done and is tried again.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    cell: Cell
    figures: tuple[Figure, ...]
    failures: tuple[str, ...] = ()
    artifacts: tuple[Artifact, ...] = ()
    provenance: dict[str, JsonValue] = {}
    details: Details = {}

    def figure(self, name: str, **conditions: Any) -> Figure | None:
        """The first figure of that name that meets all of `conditions`."""
        for figure in self.figures:
            if figure.name == name and all(figure.conditions.get(k) == v for k, v in conditions.items()):
                return figure
        return None

    @property
    def is_timed(self) -> bool:
        """False for a training that ran beside others, which gives accuracies alone."""
        return self.figure("shared_training_s") is None

    @property
    def machine_id(self) -> str | None:
        """Identity of the machine that it was measured on; None where the record does not say."""
        found = self.provenance.get("machine_id")
        return found if isinstance(found, str) else None

    def artifact(self, role: str) -> Artifact:
        """The artifact of that role; KeyError where there is none."""
        for artifact in self.artifacts:
            if artifact.role == role:
                return artifact
        raise KeyError(f"cell {self.cell.key} has no artifact {role!r}")


def unavailable(name: str, reason: str, **conditions: str | int | float | bool) -> Figure:
    """Make a figure that is not available, with the reason."""
    return Figure(name=name, value=None, kind="measured", source="none", n=0, conditions=conditions, reason=reason)


def list_marks(*figures: Figure | None) -> list[Mark]:
    """Marks to show beside a value that rests on `figures`; discarded rounds are told in the notes only."""
    found = {note.mark for figure in figures if figure for note in figure.notes}
    return [mark for mark in Mark if mark in found and mark is not Mark.THROTTLED]
