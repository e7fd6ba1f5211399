"""Claims as data: the fields of every claim. Each kind adds its own fields and its own test in claims/kinds/."""

from abc import abstractmethod
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from dlmi_bench.records import Plain

if TYPE_CHECKING:
    from dlmi_reports.claims.comparisons import Finding
    from dlmi_reports.claims.evidence import Evidence

N_SEEDS = 5  # in the command that is suggested for a claim without results

Accuracy = Literal["test_accuracy", "test_balanced_accuracy", "validation_accuracy", "generalisation_gap"]
Area = Literal["test_auc"]
Count = Literal["n_parameters", "n_trainable_parameters", "macs", "size_bytes", "n_nonzero", "packed_bytes"]


class Predicate(Plain):
    """Fields that all claims share.

    Attributes:
        id: Short name, unique in its file.
        sentence: The claim in words; the report prints it as a statement where the claim is supported.
        source: Where the sentence comes from.
        task: Task on which it is checked.
        data: Only real, only synthetic data, or either.
        family: Family that it is corrected with; empty where the file has none.
        role: Primary claims answer their family's question and share most of its level; secondary ones explain.
        alpha: Stricter level than the family's, for this claim alone.
        nearest: Claim that says what holds if this one is refuted.
        beside: Claim to read instead if this one cannot be measured.
    """

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9.+-]*$")
    sentence: str = Field(min_length=1)
    source: str = Field(min_length=1)
    task: str = ""
    data: Literal["any", "real", "synthetic"] = "any"
    family: str = ""
    role: Literal["primary", "secondary"] = "primary"
    alpha: float | None = Field(None, gt=0, lt=1)
    nearest: str = ""
    beside: str = ""

    @property
    def parts(self) -> tuple[str, ...]:
        """Claims that this one is made of; a claim with parts has no test of its own."""
        return ()

    @property
    def needs_meter(self) -> bool:
        """Tell whether only a machine that measures joules can judge it."""
        return str(getattr(self, "metric", "")).endswith("_j")

    def list_population(self, what: Literal["task", "model"]) -> list[str]:
        """Tasks or models that the claim is about, each once."""
        fields = {"task": ("task", "control_task"), "model": ("model", "control_model", "against")}[what]
        given = [getattr(self, field, "") or () for field in fields]
        return list(dict.fromkeys(name for g in given for name in ((g,) if isinstance(g, str) else g)))

    @property
    def command(self) -> str:
        """Command that measures the claim."""
        words = [f"--{what} {name}" for what in ("task", "model") for name in self.list_population(what)]
        return " ".join(["dlmi-bench run", *words, f"--seeds {N_SEEDS}"])

    def list_references(self) -> list[tuple[str, str]]:
        """List pairs (field, id) of the other claims that this one names."""
        named = [("nearest", self.nearest), ("beside", self.beside), *(("all_of", part) for part in self.parts)]
        return [(field, name) for field, name in named if name]


class OnTask(Predicate):
    """A claim with a test of its own."""

    task: str = Field(min_length=1)
    model: str = Field(min_length=1)

    @property
    def needs_seeds(self) -> bool:
        """Tell whether trainings of several seeds are what it compares."""
        return True

    @property
    def difference(self) -> tuple[str, ...]:
        """Name the one difference that it is about, which other claims may be about too; empty where there are more."""
        return ()

    def list_arms(self) -> list[tuple[str, str]]:
        """List the pairs (task, model) that it compares, each once."""
        others: tuple[str, ...] = getattr(self, "against", ())
        control = getattr(self, "control_task", "") or self.task, getattr(self, "control_model", "") or self.model
        return list(dict.fromkeys([(self.task, self.model), *((self.task, other) for other in others), control]))

    @abstractmethod
    def find(self, evidence: "Evidence") -> "Finding":
        """Compare what the store holds with what is claimed.

        Raises:
            UnmeasuredError: the store holds too little.
            StoreError, DataError: a file is damaged.
        """


class Conditions(OnTask):
    """A claim about one of several figures of the same name; conditions that are not given may have any value."""

    backend: str | None = None
    batch: int | None = None
    device: str | None = None
    threads: int | None = None

    def list_conditions(self) -> dict[str, str | int]:
        return self.model_dump(include={"backend", "batch", "device", "threads"}, exclude_none=True)
