"""Stores of trainings with scores, labels and groups, as a run keeps them, for the tests of reports and claims."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dlmi_bench.instruments.accuracy import make_accuracy_figure
from dlmi_bench.metrics import describe_answers
from dlmi_bench.records import Cell, Record
from dlmi_bench.stats.confusion import count_confusion
from dlmi_bench.store import Store
from dlmi_bench.store.artifacts import put_array
from report_stores import PROVENANCE

Scores = NDArray[np.float64]


def answer_record(
    folder: Path,
    model: str,
    index: int,
    scores: Scores,
    labels: NDArray[np.int64],
    groups: NDArray[np.int64] | None = None,
) -> Record:
    """The record of a training that gave these logits to the test examples, and the same to those of validation."""
    names = ("well", "ill", "worse")[: scores.shape[1]]
    is_right, conditions = scores.argmax(1) == labels, {"backend": "onnxruntime"}
    figures = [
        make_accuracy_figure("test_accuracy", is_right, source="file", conditions={}, groups=groups),
        *describe_answers(
            scores, labels, class_names=names, groups=groups, validation=(scores, labels), source="file",
            conditions={**conditions},
        ),
    ]  # fmt: skip
    arrays = {"test_scores": scores.astype(np.float32), "test_labels": labels}
    if groups is not None:
        arrays["test_groups"] = groups
    return Record(
        cell=Cell(kind="train", task="toy", model=model, seed_index=index),
        figures=tuple(figures),
        artifacts=tuple(put_array(folder, role, array) for role, array in arrays.items()),
        provenance=PROVENANCE,
        details={
            "class_names": list(names),
            "confusion": count_confusion(labels, scores.argmax(1), len(names)).tolist(),
        },
    )


def draw_records(
    folder: Path,
    distances: dict[str, float],
    *,
    n: int = 200,
    n_seeds: int = 3,
    n_classes: int = 2,
    group_size: int = 1,
    factor: float = 1.0,
) -> list[Record]:
    """Trainings of models whose scores of a class lie this far above the others; the same examples are hard for all."""
    rng = np.random.default_rng(0)
    groups = np.arange(n) // group_size
    labels = (groups % n_classes).astype(np.int64)
    ease = rng.standard_normal((n, n_classes))[groups]
    found = []
    for model, distance in distances.items():
        for index in range(n_seeds):
            noise = 0.9 * ease + 0.4 * rng.standard_normal((n, n_classes))
            scores = factor * distance * (noise + distance * np.eye(n_classes)[labels])
            found.append(answer_record(folder, model, index, scores, labels, groups if group_size > 1 else None))
    return found


def fill_answers(folder: Path, records: Sequence[Record]) -> Store:
    store = Store(folder)
    store.add_done([(record, "f") for record in records])
    return store
