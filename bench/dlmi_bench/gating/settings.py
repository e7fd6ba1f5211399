"""Limits of the gate: defaults that need no file, and a TOML file that changes them by benchmark."""

import re
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import AfterValidator, Field, model_validator

from dlmi_bench.backends import BACKENDS
from dlmi_bench.errors import UsageError
from dlmi_bench.records import Plain
from dlmi_bench.toml import load_toml

# Exact counts that may be allowed to grow.
COUNTS = ("n_parameters", "macs", "onnx_size_bytes", "peak_activation_bytes", "n_operators")


def _check_percentage(text: str) -> str:
    if not re.fullmatch(r"\+[0-9]{1,6}(\.[0-9]{1,6})? ?%", text):
        raise ValueError('not a growth; write it like "+20 %"')
    return text


Percentage = Annotated[str, AfterValidator(_check_percentage)]


class AllowedGrowth(NamedTuple):
    """Growth that one count is allowed, for instance "+20 %", and why."""

    percentage: str
    reason: str


class Allowance(Plain):
    """Limits of one benchmark or model; None means the general value.

    Attributes:
        n_parameters, macs, onnx_size_bytes, peak_activation_bytes, n_operators: Growth that is allowed to the count,
            against the baseline.
        reason: Why the counts may grow; needed where one of them may, and shown with the verdict.
    """

    tau: float | None = Field(None, gt=0, lt=1)
    margin: float | None = Field(None, gt=0, lt=1)
    n_parameters: Percentage | None = None
    macs: Percentage | None = None
    onnx_size_bytes: Percentage | None = None
    peak_activation_bytes: Percentage | None = None
    n_operators: Percentage | None = None
    reason: str = ""

    @model_validator(mode="after")
    def _check_reason(self) -> Self:
        if self.growths and not self.reason.strip():
            raise ValueError(f'{next(iter(self.growths))} may grow without a reason; add reason = "..."')
        return self

    @property
    def growths(self) -> dict[str, AllowedGrowth]:
        """Allowed growth by count."""
        found = {name: getattr(self, name) for name in COUNTS}
        return {name: AllowedGrowth(value, self.reason) for name, value in found.items() if value is not None}


class Settings(Plain):
    """Limits and the size of the session.

    Attributes:
        tau: Relative slowdown from which on a benchmark has regressed.
        margin: Loss of accuracy, as a fraction, from which on the same weights in another program have regressed.
        recipe_margin: The same for a retrained recipe, where seeds differ and the test set resolves less.
        batches: Batch sizes that are timed.
        backends: Runtimes that are timed.
        n_rounds: Rounds in each process.
        timeout_s: Time limit of one process, after which it is killed and its benchmarks are INVALID [s].
        inconclusive: Effect of an undecided benchmark: it fails the gate or only warns.
        disturbed: Effect of one that the machine disturbed twice: pre-empted, stopped, or a control failed.
        allow: Limits by name pattern, for instance "usps/cnn-*": { macs = "+20 %", reason = "wider first layer" }.
    """

    tau: float = Field(0.05, gt=0, lt=1)
    margin: float = Field(0.01, gt=0, lt=1)
    recipe_margin: float = Field(0.02, gt=0, lt=1)
    batches: tuple[int, ...] = Field((1, 64), min_length=1)
    backends: tuple[str, ...] = ("onnxruntime",)
    n_rounds: int = Field(100, ge=20, le=10_000)
    timeout_s: float = Field(600.0, gt=0)
    inconclusive: Literal["warn", "fail"] = "fail"
    disturbed: Literal["warn", "fail"] = "fail"
    allow: dict[str, Allowance] = {}

    def find_tau(self, name: str) -> float:
        """Slowdown allowed to the benchmark, from the last pattern that matches."""
        found = [a.tau for pattern, a in self.allow.items() if fnmatchcase(name, pattern) and a.tau is not None]
        return found[-1] if found else self.tau

    def find_margin(self, name: str, *, is_recipe: bool) -> float:
        """Loss of accuracy allowed to the model, from the last pattern that matches."""
        found = [a.margin for pattern, a in self.allow.items() if fnmatchcase(name, pattern) and a.margin is not None]
        return found[-1] if found else self.recipe_margin if is_recipe else self.margin

    def find_growth(self, name: str, count: str) -> AllowedGrowth | None:
        """Growth allowed to a count of the model, from the last pattern that matches; None without any."""
        found = [a.growths[count] for p, a in self.allow.items() if fnmatchcase(name, p) and count in a.growths]
        return found[-1] if found else None


def load_settings(path: Path | None) -> Settings:
    """Load settings from a file, or the defaults without one.

    Raises:
        UsageError: a field is wrong; the error names the file and all such fields.
    """
    if path is None:
        return Settings()
    settings = load_toml(path, Settings)
    unknown = [name for name in settings.backends if name not in BACKENDS]
    if unknown:
        raise UsageError(f"{path}: backends: unknown backend {unknown[0]!r}", f"use one of {', '.join(BACKENDS)}")
    return settings
