"""Arrays that a training kept beside its record: scores, labels, groups and places of its examples."""

from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlmi_bench.errors import BenchError, StoreError
from dlmi_bench.files import parsing
from dlmi_bench.records import Artifact, Record
from dlmi_bench.store.artifacts import artifact_path, read_artifact
from dlmi_reports.results.model import ModelResults

KEPT = [
    "test_index",
    "test_groups",
    *(f"{split}_{what}" for split in ("test", "validation") for what in ("scores", "labels")),
]
N_KEPT = 512  # arrays; a file's name is the hash of its content, so none is ever outdated


class UnmeasuredError(BenchError):
    """The store lacks the results for a claim; without a remedy, the claim's own command measures them."""

    def __init__(self, cause: str, remedy: str = "") -> None:
        super().__init__(cause, remedy)


def find_array(record: Record, role: str, results: ModelResults) -> NDArray[Any]:
    """Find an array that a training kept.

    Raises:
        UnmeasuredError: it kept none, or the file is gone.
    """
    try:
        artifact = record.artifact(role)
    except KeyError:
        what = f"the run of {results.name} kept no {role.replace('_', ' ')}"
        raise UnmeasuredError(what) from None
    return _load(results.folder, artifact)


@lru_cache(N_KEPT)
def _load(folder: Path, artifact: Artifact) -> NDArray[Any]:
    try:
        content = read_artifact(folder, artifact)
    except StoreError as error:
        raise UnmeasuredError(error.cause, error.remedy) from error  # what rests on it cannot be had; all else can
    with parsing(artifact_path(folder, artifact), "run again with --fresh", StoreError):
        array: NDArray[Any] = np.load(BytesIO(content), allow_pickle=False)
    return array


def read_probabilities(results: ModelResults) -> tuple[NDArray[np.float64], NDArray[Any], int] | None:
    """Read probabilities (n, class) and labels (n,) of the test examples, all trainings in a row, and their number.

    None where scores were not kept, are not finite or are no probabilities: answers of others may name classes alone.
    """
    from scipy.special import softmax

    found: list[tuple[NDArray[np.float64], NDArray[Any]]] = []
    for record in results.trainings:
        if results.is_reported and not record.figure("test_log_loss"):
            continue
        try:
            scores, labels = (find_array(record, f"test_{what}", results) for what in ("scores", "labels"))
        except (UnmeasuredError, StoreError):
            continue
        if scores.ndim == 2 and len(scores) == len(labels) and np.isfinite(scores).all():
            found.append((softmax(scores.astype(float), axis=1), labels))
    if len({scores.shape[1] for scores, _ in found}) != 1:
        return None
    probabilities, labels = map(np.concatenate, zip(*found, strict=True))
    return probabilities, labels, len(found)


def list_damaged(results: ModelResults) -> list[str]:
    """List what is wrong with the files of answers that the trainings kept."""
    found = []
    for record in results.trainings:
        kept = {artifact.role: artifact for artifact in reversed(record.artifacts)}  # the first of a role
        for artifact in (kept[role] for role in KEPT if role in kept):
            try:
                _load(results.folder, artifact)
            except (UnmeasuredError, StoreError) as error:
                found.append(error.cause)
    return found
