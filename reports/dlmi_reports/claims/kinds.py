"""Claims as data: typed predicates over a store, each with the sentence that it backs."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from dlmi_bench.records import Plain
from dlmi_bench.toml import load_toml

OWN_CLAIMS = Path(__file__).with_name("claims.toml")
SHARE = Field(gt=0, lt=1)
N_SEEDS = 5  # what a claim without results is told to run

Accuracy = Literal["test_accuracy", "test_balanced_accuracy", "validation_accuracy", "generalisation_gap"]
Count = Literal["n_parameters", "n_trainable_parameters", "macs", "size_bytes"]
Cost = Literal["latency_s", "training_s", "time_to_target_s", "inference_energy_j", "training_energy_j"] | Count
SNRS = ("image_snr", "pooled_snr")
COUNTS = ("n_parameters", "n_trainable_parameters", "macs", "size_bytes")


class Predicate(Plain):
    """What all claims have.

    Attributes:
        id: Short name, unique in its file.
        sentence: What the claim says, as the report prints it where it holds.
        source: Where the sentence comes from.
        task: Task on which it is checked.
        data: Only real, only synthetic data, or either.
        alpha: Stricter than the file's, for this claim alone.
        nearest: Claim that says what holds where this one does not.
        beside: Claim to read instead where this one cannot be measured.
    """

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9.+-]*$")
    sentence: str = Field(min_length=1)
    source: str = Field(min_length=1)
    task: str = ""
    data: Literal["any", "real", "synthetic"] = "any"
    alpha: float | None = Field(None, gt=0, lt=1)
    nearest: str = ""
    beside: str = ""

    @property
    def parts(self) -> tuple[str, ...]:
        """Claims that it is made of; it has no test of its own then."""
        return ()

    def list_population(self, what: Literal["task", "model"]) -> list[str]:
        """Tasks or models that the claim is about, each once."""
        fields = {"task": ("task", "control_task"), "model": ("model", "control_model", "against")}[what]
        given = [getattr(self, field, "") or () for field in fields]
        return list(dict.fromkeys(name for g in given for name in ((g,) if isinstance(g, str) else g)))

    @property
    def command(self) -> str:
        """What measures it."""
        words = [f"--{what} {name}" for what in ("task", "model") for name in self.list_population(what)]
        return " ".join(["dlmi-bench run", *words, f"--seeds {N_SEEDS}"])

    def list_references(self) -> Iterator[tuple[str, str]]:
        """(field, id) of the claims it names."""
        for field in ("nearest", "beside"):
            if name := getattr(self, field):
                yield field, name
        for part in self.parts:
            yield "all_of", part


class OnTask(Predicate):
    """A claim with a test of its own."""

    task: str = Field(min_length=1)
    model: str = Field(min_length=1)


class Reaches(OnTask):
    """More than `share` of all trainings reach the validation accuracy `target`."""

    kind: Literal["reaches"]
    target: float = SHARE
    share: float = SHARE
    test: Literal["wilson"] = "wilson"


class Above(OnTask):
    """The mean over seeds lies above `value`, or above what an observer of the task reaches, taken as exact."""

    kind: Literal["above"]
    metric: Accuracy = "test_accuracy"
    value: float | None = None
    observer: str = ""
    test: Literal["two-way"] = "two-way"

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.value is None) != bool(self.observer):
            raise ValueError("give either value or observer")
        return self


class NonInferior(OnTask):
    """Less than `margin` worse than each of `against`; for a gap, not larger by `margin`."""

    kind: Literal["non_inferior"]
    against: tuple[str, ...] = Field(min_length=1)
    metric: Accuracy = "test_accuracy"
    margin: float = Field(ge=0, lt=1)
    test: Literal["two-way"] = "two-way"


class Conditions(OnTask):
    """Which of several figures of one name; what is not given is not looked at."""

    backend: str | None = None
    batch: int | None = None
    device: str | None = None
    threads: int | None = None

    def list_conditions(self) -> dict[str, str | int]:
        return self.model_dump(include={"backend", "batch", "device", "threads"}, exclude_none=True)


class Ratio(Conditions):
    """Smaller (faster) than each of `against` by more than `factor`.

    `comparable_within` leaves those of `against` out whose test accuracy is shown to be higher by more than it.
    """

    kind: Literal["ratio"]
    against: tuple[str, ...] = Field(min_length=1)
    metric: Cost
    factor: float = Field(1.0, gt=0)
    comparable_within: float | None = Field(None, ge=0, lt=1)
    test: Literal["paired-t"] = "paired-t"


class Ordered(OnTask):
    """Has the smallest count of the set."""

    kind: Literal["ordered"]
    against: tuple[str, ...] = Field(min_length=1)
    metric: Count = "n_parameters"
    test: Literal["exact"] = "exact"


class Paired(OnTask):
    """The arm against its control over the same seeds.

    `effect` is the mean (higher by more than `margin`), the stability (the control's seed sd is more than `factor`
    times the arm's), or a ratio (the arm's time is smaller, its signal-to-noise ratio larger, by more than `factor`).
    """

    kind: Literal["paired"]
    control_model: str = ""
    control_task: str = ""
    metric: Literal[Accuracy, "time_to_target_s", "image_snr", "pooled_snr"] = "test_accuracy"
    effect: Literal["mean", "stability", "ratio"] = "mean"
    margin: float = Field(0.0, ge=0, lt=1)
    factor: float = Field(1.0, gt=0)
    test: Literal["two-way", "pitman-morgan", "paired-t"] | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.control_model and not self.control_task:
            raise ValueError("give control_model, control_task or both")
        if (self.metric in ("time_to_target_s", *SNRS)) != (self.effect == "ratio"):
            raise ValueError(f"effect {self.effect} does not go with metric {self.metric}")
        fitting = {"mean": "two-way", "stability": "pitman-morgan", "ratio": "paired-t"}[self.effect]
        if self.test not in (None, fitting):
            raise ValueError(f"effect {self.effect} is tested by {fitting}")
        return self


class Structure(OnTask):
    """The exported graph has exactly these numbers of operators."""

    kind: Literal["structure"]
    operators: dict[str, int] = Field(min_length=1)
    test: Literal["exact"] = "exact"


class Composite(Predicate):
    """All of these claims hold; needs no test of its own, theirs are corrected together."""

    kind: Literal["composite"]
    all_of: tuple[str, ...] = Field(min_length=2)

    @property
    def parts(self) -> tuple[str, ...]:
        return self.all_of


Claim = Annotated[
    Reaches | Above | NonInferior | Ratio | Ordered | Paired | Structure | Composite, Field(discriminator="kind")
]


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
                    raise ValueError(f"claim {claim.id}: {field}: no other claim is called {name}")
                if field == "all_of" and known[name].parts:
                    raise ValueError(f"claim {claim.id}: all_of: {name} is made of others itself")
            if claim.alpha is not None and claim.alpha > self.alpha:
                raise ValueError(f"claim {claim.id}: alpha {claim.alpha} is laxer than the file's {self.alpha}")
        return self


def load_claims(path: Path | None = None) -> ClaimFile:
    """The course's claims, or those of a file.

    Raises:
        UsageError: names the file, every field that is wrong and its line.
    """
    return load_toml(path or OWN_CLAIMS, ClaimFile)
