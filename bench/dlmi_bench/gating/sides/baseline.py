"""The baseline: a small folder with the artifacts themselves, fit for version control or a cache.

Numbers from another machine decide nothing, but files can be run again anywhere. `baseline.json` describes them,
`files/` holds them under their sha256.
"""

import hashlib
import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from dlmi_bench.errors import DataError, StoreError, UsageError
from dlmi_bench.files import parsing, read_bytes, write_text
from dlmi_bench.gating.sides.images import find_image_costs
from dlmi_bench.instruments.host.provenance import describe_environment
from dlmi_bench.instruments.onnx.activations import compute_peak_activation_bytes
from dlmi_bench.instruments.onnx.contents import count_operators
from dlmi_bench.instruments.onnx.loading import load_graph
from dlmi_bench.instruments.onnx.ports import find_input_shape
from dlmi_bench.records import Artifact, FigureKind, ModelName, Name, Plain, Record
from dlmi_bench.store import Store
from dlmi_bench.store.artifacts import find_artifact, read_artifact, to_npy
from dlmi_reports.results.provenance import read_provenance

SCHEMA_VERSION = 1
MANIFEST = "baseline.json"
MAX_MANIFEST_BYTES = 1 << 26
Predictions = NDArray[np.unsignedinteger]  # (n,) class of each test example


class Energy(Plain):
    """Gross energy of one component during a training."""

    component: str
    kind: FigureKind
    source: str
    energy_j: float


class Training(Plain):
    """Training with one seed; optional fields are empty where the model was trained elsewhere."""

    seed: int
    predictions: Artifact
    test_accuracy: float
    training_s: float | None = None
    n_epochs: int | None = None
    epochs_to_target: float | None = None
    energy: tuple[Energy, ...] = ()
    machine_id: str | None = None


class Entry(Plain):
    """Everything that the baseline keeps of one model on one task.

    Attributes:
        batch: The only batch size that its file takes; None where it is free.
    """

    task: Name
    model: ModelName
    input_shape: tuple[int, ...]
    recipe: dict[str, JsonValue] = {}
    data_sha256: dict[str, str]
    artifacts: tuple[Artifact, ...]
    trainings: tuple[Training, ...]
    costs: dict[str, int]
    operators: dict[str, int]
    batch: int | None = None

    @property
    def name(self) -> str:
        return f"{self.task}/{self.model}"

    def artifact(self, role: str) -> Artifact:
        return next(artifact for artifact in self.artifacts if artifact.role == role)


class MachineNoise(Plain):
    """A/A session of the machine that saved the baseline: every model against itself.

    Attributes:
        n_rounds: Rounds in each process.
        log_ratios: Log ratio of each process, by benchmark.
        preempted_share: Share of interrupted blocks in the process that was interrupted most.
    """

    n_rounds: int
    log_ratios: dict[str, tuple[float, ...]]
    preempted_share: float


class Baseline(Plain):
    """Content of the manifest, `baseline.json`."""

    schema_version: int = SCHEMA_VERSION
    reason: str
    created: str
    environment: dict[str, JsonValue]
    entries: tuple[Entry, ...]
    noise: MachineNoise | None = None


def save_baseline(store: Store, folder: Path, reason: str, models: tuple[str, ...] = ()) -> Baseline:
    """Copy what the gate needs from a finished run; replaces the folder as a whole or not at all.

    Args:
        store: Results of the run.
        folder: Folder of the baseline.
        reason: Why it is set or changed; kept with it.
        models: Models to keep; all by default.

    Raises:
        StoreError: the run has no finished training, or lacks the counts of a model.
    """
    records = [attempt.record for attempt in store.current().values() if attempt.record]
    wanted = [r for r in records if not models or r.cell.model in models]
    trained: dict[tuple[str, str], list[Record]] = {}
    for record in wanted:
        if record.cell.kind == "train":
            trained.setdefault((record.cell.task, record.cell.model), []).append(record)
    if not trained:
        raise StoreError(f"{store.folder}: no finished training", "run `dlmi-bench run` first")
    return write_baseline(
        folder, reason, lambda fresh: tuple(_save_entry(store, fresh, t, wanted) for t in trained.values())
    )


def write_baseline(folder: Path, reason: str, save: Callable[[Path], tuple[Entry, ...]]) -> Baseline:
    """Write a new folder with the entries that `save` puts into it, then replace the old one.

    Raises:
        UsageError: the folder holds something else, which would be lost.
    """
    folder = folder.resolve()
    if folder.exists() and not (folder / MANIFEST).is_file() and (folder.is_file() or any(folder.iterdir())):
        raise UsageError(f"{folder}: holds something else, which saving would replace", "name an empty or a new folder")
    fresh = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    (fresh / "files").mkdir(parents=True)
    created = datetime.now(UTC).isoformat(timespec="seconds")
    baseline = Baseline(reason=reason, created=created, environment=describe_environment(), entries=save(fresh))
    write_manifest(fresh, baseline)
    shutil.rmtree(folder, ignore_errors=True)
    fresh.rename(folder)
    return baseline


def write_manifest(folder: Path, baseline: Baseline) -> None:
    """Write `baseline.json`, whole or not at all."""
    write_text(folder / MANIFEST, baseline.model_dump_json(indent=1) + "\n")


def put_file(folder: Path, role: str, content: bytes, suffix: str) -> Artifact:
    """Keep a file of the baseline under its sha256."""
    digest = hashlib.sha256(content).hexdigest()
    artifact = Artifact(role=role, sha256=digest, size_bytes=len(content), suffix=suffix)
    file_path(folder, artifact).write_bytes(content)
    return artifact


def _save_entry(store: Store, folder: Path, trainings: list[Record], records: list[Record]) -> Entry:
    trainings = sorted(trainings, key=lambda r: r.cell.seed_index)
    first, cell = trainings[0], trainings[0].cell
    counted = cell.model_copy(update={"kind": "counts", "seed_index": 0})
    counts = next((record for record in records if record.cell == counted), None)
    if counts is None:
        raise StoreError(f"{store.folder}: no counts of {cell.task}/{cell.model}", "finish the run first")
    artifacts = tuple(first.artifact(role) for role in ("torch", "onnx"))
    for artifact in artifacts:
        file_path(folder, artifact).write_bytes(read_artifact(store.folder, artifact))
    graph = load_graph(find_artifact(store.folder, first.artifact("onnx")))
    provenance = read_provenance(first)
    return Entry(
        task=cell.task,
        model=cell.model,
        input_shape=find_input_shape(graph),
        recipe=provenance.recipe,
        data_sha256=provenance.data.sha256,
        artifacts=artifacts,
        trainings=tuple(_save_training(store, folder, record) for record in trainings),
        costs=compute_costs(counts, graph) | find_image_costs(records, cell.task, cell.model),
        operators=count_operators(graph),
    )


def compute_costs(counts: Record, graph: Any) -> dict[str, int]:
    """Compute costs that are exact on any machine: counts of the network, bytes of its file and activations."""
    found = {name: counts.figure(name) for name in ("n_parameters", "macs")}
    found["onnx_size_bytes"] = counts.figure("size_bytes", artifact="onnx")
    costs = {name: int(f.value) for name, f in found.items() if f is not None and f.value is not None}
    return costs | {"peak_activation_bytes": compute_peak_activation_bytes(graph)}


def _save_training(store: Store, folder: Path, record: Record) -> Training:
    training, content = read_training(store, record)
    file_path(folder, training.predictions).write_bytes(content)
    return training


def read_training(store: Store, record: Record) -> tuple[Training, bytes]:
    """Read one training of a run, and make the content of the file with its predictions."""
    content = to_npy(read_predictions(store, record))
    digest = hashlib.sha256(content).hexdigest()
    artifact = Artifact(role="predictions", sha256=digest, size_bytes=len(content), suffix=".npy")
    figures = {name: record.figure(name) for name in ("test_accuracy", "training_s", "n_epochs", "epochs_to_target")}
    values: dict[str, object] = {name: f.value if f else None for name, f in figures.items()}
    values |= {"seed": record.cell.seed, "predictions": artifact, "energy": list_energy(record)}
    return Training.model_validate(values | {"machine_id": record.provenance.get("machine_id")}), content


def read_predictions(store: Store, record: Record) -> Predictions:
    """Read the predicted class of each test example, (n,), from the scores of a run."""
    artifact = record.artifact("test_scores")
    content = read_artifact(store.folder, artifact)
    with parsing(f"{store.folder}: test_scores of {record.cell.key}", "run again with --fresh"):
        return to_classes(np.load(BytesIO(content), allow_pickle=False))


def list_energy(record: Record) -> list[Energy]:
    """List the energy of a training by component. Gross only: gross and net figures must not be mixed."""
    found = [f for f in record.figures if f.name == "training_energy_j" and f.value is not None]
    found = [f for f in found if not f.conditions.get("idle_subtracted")]
    parts = [{"component": str(f.conditions["component"]), "energy_j": f.value} for f in found]
    return [
        Energy.model_validate(part | {"kind": f.kind, "source": f.source}) for part, f in zip(parts, found, strict=True)
    ]


def to_classes(scores: NDArray[np.float32]) -> Predictions:
    """Convert scores (n, classes) to classes (n,), in as few bytes as they need.

    Raises:
        DataError: a score is not finite, so that no class is right.
    """
    if not np.isfinite(scores).all():
        raise DataError("scores of the test examples are not finite", "the model is broken: check its training")
    classes: Predictions = scores.argmax(1).astype(np.min_scalar_type(scores.shape[1] - 1))
    return classes


def file_path(folder: Path, artifact: Artifact) -> Path:
    return folder / "files" / f"{artifact.sha256}{artifact.suffix}"


def load_baseline(folder: Path) -> Baseline:
    """Load the manifest and check every file of the baseline.

    Raises:
        DataError: no baseline, another format, or a file that is missing, altered or not named in the manifest.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise DataError(f"{folder}: no baseline found", f"make one: dlmi-bench baseline save --baseline {folder}")
    with parsing(f"{path}: not a baseline", "restore the folder, or save a new one"):
        content = json.loads(read_bytes(path, MAX_MANIFEST_BYTES))
        found = content.get("schema_version") if isinstance(content, dict) else None
        if found != SCHEMA_VERSION:
            raise DataError(f"{path}: schema {found}, this version reads {SCHEMA_VERSION}", "save the baseline again")
        baseline = Baseline.model_validate(content)
    _check_files(folder, baseline)
    return baseline


def _check_files(folder: Path, baseline: Baseline) -> None:
    artifacts = [a for e in baseline.entries for a in (*e.artifacts, *(t.predictions for t in e.trainings))]
    expected = {file_path(folder, artifact): artifact.sha256 for artifact in artifacts}
    remedy = "restore the folder from version control, or save the baseline again"
    for path, digest in expected.items():
        if not path.is_file():
            raise DataError(f"{path}: missing", remedy)
        if hashlib.sha256(read_bytes(path)).hexdigest() != digest:
            raise DataError(f"{path}: altered since it was saved", remedy)
    strangers = sorted(set((folder / "files").glob("*")) - set(expected))
    if strangers:
        raise DataError(f"{strangers[0]}: not part of this baseline", remedy)


def load_predictions(folder: Path, training: Training) -> Predictions:
    """Load the predicted class of each test example, (n,)."""
    path = file_path(folder, training.predictions)
    with parsing(path, "restore the folder, or save a new one"):
        predictions: Predictions = np.load(BytesIO(read_bytes(path)), allow_pickle=False)
    return predictions
