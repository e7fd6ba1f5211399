"""Trainings of a cross-validation, pooled over the folds of each repeat."""

from collections.abc import Sequence

import numpy as np

from dlmi_bench.metrics.answers import NAMES
from dlmi_bench.records import Record
from dlmi_bench.stats.confusion import (
    Counts,
    Metric,
    compute_balanced_accuracy,
    compute_macro_f1,
    compute_quadratic_kappa,
)
from dlmi_reports.results.compact import find_detail, find_value
from dlmi_reports.results.provenance import Folds, read_provenance

Repeat = tuple[Record, ...]
OVERLAP = (
    "The training sets of the folds overlap, so that the spread over repeats understates how much another sample of "
    "patients would change a figure."
)
# Figures that are no mean over examples, so that those of several folds are computed from their confusions together.
METRICS: dict[str, Metric] = {
    "test_balanced_accuracy": compute_balanced_accuracy,
    "test_macro_f1": compute_macro_f1,
    "test_quadratic_kappa": compute_quadratic_kappa,
}


def read_folds(record: Record) -> Folds | None:
    """Read the place of a training in a cross-validation; None outside one."""
    return read_provenance(record).folds if record.provenance.get("folds") else None


def group_repeats(trainings: Sequence[Record]) -> list[Repeat]:
    """Group the folds of each complete repeat, fold 0 first; a training outside a cross-validation is a group."""
    alone: list[Repeat] = []
    found: dict[tuple[int, int], dict[int, Record]] = {}
    for record in trainings:
        if folds := read_folds(record):
            found.setdefault((folds.n_folds, folds.repeat), {})[folds.fold] = record
        else:
            alone.append((record,))
    complete = [repeat for (n, _), repeat in sorted(found.items()) if sorted(repeat) == list(range(n))]
    return alone + [tuple(repeat[fold] for fold in sorted(repeat)) for repeat in complete]


def is_pooled(name: str) -> bool:
    """Whether a figure is one of the examples, and not of the training."""
    return name.endswith("accuracy") or name in METRICS or name in NAMES


def pool_figure(repeat: Repeat, name: str) -> float | None:
    """Compute a figure of all examples of a repeat; None if one of its folds has no such figure."""
    if len(repeat) == 1:
        return find_value(repeat[0], name)
    figures = [f for record in repeat if (f := record.figure(name)) and f.value is not None]
    if len(figures) < len(repeat):
        return None
    if len(figures) > 1 and name in METRICS:
        value = float(METRICS[name](counts)) if (counts := sum_confusions(repeat)) is not None else np.nan
        return value if np.isfinite(value) else None
    n = sum(figure.n for figure in figures)
    return figures[0].value if len(figures) == 1 else sum((f.value or 0) * f.n for f in figures) / n


def count_examples(repeat: Repeat, name: str) -> int:
    """Count the examples of a figure: all those tested in a repeat; of other splits, which overlap, those of a fold."""
    sizes = [figure.n for record in repeat if (figure := record.figure(name))]
    return sum(sizes) if name.startswith("test_") else sizes[0]


def sum_confusions(trainings: Sequence[Record]) -> Counts | None:
    """Sum the confusion matrices of trainings, those of the first one's size; None if none was kept."""
    kept = [find_detail(record, "confusion") or [] for record in trainings]
    matrices = [np.array(matrix) for matrix in kept if matrix and all(len(row) == len(matrix) for row in matrix)]
    same = [matrix for matrix in matrices if len(matrix) == len(matrices[0])]
    return np.sum(same, axis=0) if same else None
