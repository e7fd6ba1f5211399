"""Evidence of the accuracy gate, and the faults that disqualify it before any statistics."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MIN_SEEDS = 5


@dataclass(frozen=True)
class ExampleSet:
    """Identity of a test set."""

    images_sha256: str
    labels_sha256: str
    n_examples: int


@dataclass(frozen=True)
class PredictedClasses:
    """Classes that one artifact predicted, (example,), and the test set."""

    examples: ExampleSet
    predictions: NDArray[np.generic]


@dataclass(frozen=True)
class Runs:
    """Correctness of one recipe, (example,) for each seed, with the seeds that were declared before the first run."""

    examples: ExampleSet
    declared: tuple[int, ...]
    correct: Mapping[int, NDArray[np.generic]]

    @property
    def table(self) -> NDArray[np.bool_]:
        """Correctness, (seed, example), seeds in ascending order."""
        return np.stack([self.correct[seed] for seed in sorted(self.declared)]).astype(bool)


def describe_mismatch(baseline: ExampleSet, candidate: ExampleSet) -> str:
    """Describe how two test sets differ."""
    pairs = {
        "number of examples": (baseline.n_examples, candidate.n_examples),
        "images": (baseline.images_sha256[:12], candidate.images_sha256[:12]),
        "labels": (baseline.labels_sha256[:12], candidate.labels_sha256[:12]),
    }
    differing = [f"{name} {a} and {b}" for name, (a, b) in pairs.items() if a != b]
    return f"the test sets differ: {', '.join(differing) or 'hashes'}"


def find_problem(values: NDArray[np.generic], n_examples: int, n_classes: int) -> str:
    """Describe the fault of an array of classes; empty where there is none."""
    if values.shape != (n_examples,) or n_examples == 0:
        return f"shape {values.shape}, expected ({n_examples},) and at least one example"
    if values.dtype.kind not in "biuf":
        return f"{values.dtype} is not a numeric type"
    with np.errstate(invalid="ignore"):
        n_bad = n_examples - int(np.isin(values, np.arange(n_classes)).sum())
    return f"{n_bad} of {n_examples} are not a class in [0, {n_classes})" if n_bad else ""


def find_seed_problem(runs: Runs) -> str:
    """Describe the fault of the runs of one side; empty where there is none."""
    missing, extra = sorted(set(runs.declared) - set(runs.correct)), sorted(set(runs.correct) - set(runs.declared))
    if missing or extra:
        return f"seeds missing {missing}, not declared {extra}"
    if len(set(runs.declared)) != len(runs.declared):
        return "a seed is declared twice"
    if len(runs.declared) < MIN_SEEDS:
        return f"{len(runs.declared)} seeds; {MIN_SEEDS} are needed"
    problems = {seed: find_problem(values, runs.examples.n_examples, 2) for seed, values in runs.correct.items()}
    return "; ".join(f"seed {seed}: {problem}" for seed, problem in problems.items() if problem)
