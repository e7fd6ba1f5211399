"""Limits of the gate: defaults that need no file, and a TOML file that changes them by benchmark."""

from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

from pydantic import Field

from dlmi_bench.backends import BACKENDS
from dlmi_bench.errors import UsageError
from dlmi_bench.records import Plain
from dlmi_bench.toml import load_toml


class Allowance(Plain):
    """Limits of one benchmark or model; None means the general value."""

    tau: float | None = Field(None, gt=0, lt=1)
    margin: float | None = Field(None, gt=0, lt=1)


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
        allow: Limits by name pattern, for instance "usps/cnn-*": { tau = 0.1 }.
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
