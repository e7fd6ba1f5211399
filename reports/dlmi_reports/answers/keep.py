"""Predictions as the records and files that trainings leave, so that reports and claims read them the same way."""

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from dlmi_bench.errors import UsageError
from dlmi_bench.instruments.accuracy import make_accuracy_figure, make_confusion_figure
from dlmi_bench.metrics import describe_answers
from dlmi_bench.records import ARM, Cell, Figure, Record, unavailable
from dlmi_bench.stats.confusion import (
    Counts,
    compute_balanced_accuracy,
    compute_design,
    compute_macro_f1,
    count_confusion,
)
from dlmi_bench.stats.linear import Units
from dlmi_bench.store import FILENAME, Store
from dlmi_bench.store.artifacts import TRAIT, put_array
from dlmi_reports.answers.columns import Algorithm
from dlmi_reports.answers.predictions import Predictions
from dlmi_reports.answers.scores import Scores, are_probabilities
from dlmi_reports.results.machines import REPORTED


def make_records(read: Predictions, folder: Path, task: str) -> list[Record]:
    """Make the records of predictions, one for each algorithm and seed, and keep their files in a folder."""
    common = [put_array(folder, "test_labels", read.labels)]
    if read.groups is not None:
        common.append(put_array(folder, "test_groups", read.groups))
    common += [put_array(folder, f"{TRAIT}{i}", np.array(cells)) for i, cells in enumerate(read.traits.values())]
    records = []
    for index, (algorithm, scores) in _number_seeds(read.scores):
        has_answer, decisions = np.isfinite(scores).all(1), scores.argmax(1)
        confusion = count_confusion(read.labels, decisions, len(read.class_names)) if has_answer.all() else None
        content = {
            "cell": Cell(kind="train", task=clean_task(task), model=algorithm.name, seed_index=index),
            "figures": list_figures(read, scores, confusion),
            "artifacts": [*common, put_array(folder, "test_scores", scores)],
            "provenance": _describe(read, algorithm, task) | {"clusters": _count_clusters(read.groups)},
            "details": {"class_names": list(read.class_names)} | _list_confusion(confusion),
        }
        records.append(Record.model_validate(content))
    return records


def keep_records(records: Sequence[Record], folder: Path) -> Store:
    """Keep records of others in a store of their own; the same ones again add nothing.

    Raises:
        UsageError: the folder holds other results.
    """
    digest = hashlib.sha256(
        json.dumps([record.model_dump(mode="json", exclude={"provenance": {"date"}}) for record in records]).encode()
    ).hexdigest()
    has_store = (folder / FILENAME).is_file()
    store = Store(folder)
    if has_store and (current := store.current()):
        if {attempt.fingerprint for attempt in current.values()} == {digest}:
            return store
        store.close()
        raise UsageError(f"{folder}: holds other results", "name a new folder with --out, or remove this one")
    store.add_done([(record, digest) for record in records])
    return store


def list_figures(read: Predictions, scores: Scores, confusion: Counts | None) -> list[Figure]:
    """List the figures of one set of answers, as of a training; those of probabilities where there are any.

    Scores are logarithms of probabilities where `are_probabilities` says so, otherwise 1 for the class that was named.
    """
    is_right = (scores.argmax(1) == read.labels) & np.isfinite(scores).all(1)
    groups = read.groups
    accuracy = make_accuracy_figure("test_accuracy", is_right, source=REPORTED, conditions={}, groups=groups)
    metrics = {"test_balanced_accuracy": compute_balanced_accuracy, "test_macro_f1": compute_macro_f1}
    if confusion is None:
        return [accuracy, *(unavailable(name, "some cases have no answer") for name in metrics)]
    units, decisions = Units(read.labels, groups, len(read.class_names)), scores.argmax(1)
    designs = {n: compute_design(decisions, units, m) for n, m in metrics.items() if groups is not None}
    found = [make_confusion_figure(n, confusion, m, source=REPORTED, design=designs.get(n)) for n, m in metrics.items()]
    return [accuracy, *found, *_describe_probabilities(read, scores)]


def _describe_probabilities(read: Predictions, scores: Scores) -> list[Figure]:
    """Make figures of discrimination and calibration; none of answers that name classes alone."""
    if not are_probabilities(scores):
        return []
    return describe_answers(
        scores, read.labels, class_names=read.class_names, groups=read.groups, source=REPORTED, conditions={}
    )


def _count_clusters(groups: NDArray[np.int64] | None) -> JsonValue:
    return None if groups is None else {"n_groups": int(groups.max()) + 1, "n_examples": len(groups)}


def _list_confusion(confusion: Counts | None) -> dict[str, JsonValue]:
    return {} if confusion is None else {"confusion": confusion.tolist()}


def _number_seeds(scores: dict[Algorithm, Scores]) -> list[tuple[int, tuple[Algorithm, Scores]]]:
    """Number the seeds of each algorithm from 0 on."""
    counts: dict[str, int] = {}
    numbered = []
    for algorithm, own in scores.items():
        counts[algorithm.name] = counts.get(algorithm.name, -1) + 1
        numbered.append((counts[algorithm.name], (algorithm, own)))
    return numbered


def _describe(read: Predictions, algorithm: Algorithm, task: str) -> dict[str, JsonValue]:
    sha256: dict[str, JsonValue] = dict(read.sha256)
    start: dict[str, JsonValue] = {"source": REPORTED, "seed": algorithm.seed}
    return describe_origin(sha256, task) | {
        "splits": {"test": len(read.labels)},
        "start": start,
        "notes": list(read.notes),
        "traits": list(read.traits),
    }


def describe_origin(sha256: dict[str, JsonValue], task: str) -> dict[str, JsonValue]:
    """Describe where figures of others come from, and what read them."""
    files = ", ".join(Path(name).name for name in sha256)
    data: dict[str, JsonValue] = {
        "name": clean_task(task),
        "source": files,
        "note": "Answers and figures that others reported; nothing was trained or measured here.",
        "sha256": {Path(name).name: digest for name, digest in sha256.items()},
    }
    date = datetime.now(UTC).isoformat(timespec="seconds")
    return {"data": data, "versions": {"dlmi-bench": version("dlmi-bench")}, "date": date}


def clean_task(name: str) -> str:
    """Make the name of a task that no report takes for an arm or a path."""
    return "".join("-" if sign in f"/\\{ARM}" or not sign.isprintable() else sign for sign in name)[:100] or "answers"
