"""Candidates to compare with the baseline: its own weights exported by this code, or the models of another run."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from dlmi_bench.backends import BACKENDS, JUDGED_BACKEND, predict
from dlmi_bench.errors import DataError
from dlmi_bench.gating.sides.baseline import (
    Entry,
    Predictions,
    Training,
    compute_costs,
    file_path,
    load_baseline,
    read_predictions,
    read_training,
    to_classes,
)
from dlmi_bench.gating.sides.images import find_image_costs, make_image_costs
from dlmi_bench.instruments.onnx.activations import compute_peak_activation_bytes
from dlmi_bench.instruments.onnx.contents import count_operators
from dlmi_bench.instruments.onnx.loading import load_graph
from dlmi_bench.instruments.onnx.ports import find_input_shape
from dlmi_bench.jobs.protocol import OnProgress, Request
from dlmi_bench.jobs.worker import Worker
from dlmi_bench.store import Store
from dlmi_bench.store.artifacts import find_artifact
from dlmi_models import MODELS
from dlmi_reports.results.provenance import read_provenance
from dlmi_tasks import get_task


@dataclass(frozen=True)
class Exported:
    """Files of one model, by role, with its costs and the identity of its test set."""

    paths: dict[str, Path]
    input_shape: tuple[int, ...]
    costs: dict[str, int]
    operators: dict[str, int]
    data_sha256: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Candidate(Exported):
    """One model to judge.

    Attributes:
        predictions: Classes of the test examples, (n,), by seed.
        has_same_weights: True where the weights are those of the baseline's first seed.
        declared_seeds: Seeds that the run was asked to train.
        labels: True classes of the test examples, (n,), for models of no registered task.
        n_classes: Number of classes, with `labels`.
    """

    name: str
    predictions: dict[int, Predictions]
    has_same_weights: bool
    declared_seeds: tuple[int, ...] = ()
    trainings: tuple[Training, ...] = ()
    labels: NDArray[np.int64] | None = None
    n_classes: int = 0


class ExportRequest(Request[Exported]):
    """Export one model of the baseline with the worker's code and versions.

    Workers of other commits understand the JSON of this request, and answer with that of Exported: fields keep their
    names and meaning.

    Attributes:
        baseline: Folder of the baseline.
        name: Name of the model's entry.
        to: Folder for the files.
    """

    job: ClassVar[str] = "dlmi_bench.gating.sides.candidate:run_export_job"
    baseline: Path
    name: str
    to: Path


def run_export_job(request: ExportRequest, _: OnProgress) -> Exported:
    """Export the baseline's weights with this code and these versions: model, exporter, runtime.

    The test split is read for this one file, as for any artifact.
    """
    from safetensors.torch import load_file

    from dlmi_bench.backends.export import write_onnx, write_torch
    from dlmi_bench.instruments.counts import measure_counts

    to = request.to
    entry = next(e for e in load_baseline(request.baseline).entries if e.name == request.name)
    network = MODELS[entry.model].build(entry.input_shape, get_task(entry.task).n_classes)
    network.load_state_dict(load_file(file_path(request.baseline, entry.artifact("torch"))))
    to.mkdir(parents=True, exist_ok=True)
    paths = {"torch": to / "candidate.safetensors", "onnx": to / "candidate.onnx", "predictions": to / "classes.npy"}
    write_torch(network, entry.model, entry.input_shape, paths["torch"])
    write_onnx(network, entry.input_shape, paths["onnx"])
    counts = measure_counts(network, entry.input_shape)
    graph = load_graph(paths["onnx"])
    data = get_task(entry.task).load()
    scores = predict(BACKENDS[JUDGED_BACKEND].load(paths["onnx"]), data.test.images)
    np.save(paths["predictions"], to_classes(scores), allow_pickle=False)
    costs = {
        "n_parameters": counts.n_parameters,
        "macs": counts.macs,
        "onnx_size_bytes": paths["onnx"].stat().st_size,
        "peak_activation_bytes": compute_peak_activation_bytes(graph),
    }
    known = {name: n for name, n in costs.items() if n is not None}  # a counter that failed has no figure
    known |= make_image_costs(entry.costs, entry.task, paths["onnx"])
    return Exported(paths, entry.input_shape, known, count_operators(graph), dict(data.sha256))


def export_candidate(entry: Entry, baseline_folder: Path, folder: Path, worker: Worker) -> Candidate:
    """Export the first seed of the baseline with the software of `worker`.

    Raises:
        JobError: that software cannot export it.
    """
    answer = worker.ask(ExportRequest(baseline=baseline_folder.resolve(), name=entry.name, to=folder))
    predictions = np.load(answer.paths["predictions"], allow_pickle=False)
    seed = entry.trainings[0].seed
    return Candidate(**vars(answer), name=entry.name, predictions={seed: predictions}, has_same_weights=True)


def load_candidate(store: Store, entry: Entry, baseline: Path) -> Candidate | None:
    """Load the model of a run that belongs to `entry`; None where the run has not trained or counted it.

    Raises:
        DataError: its file cannot be read, or its scores are not finite.
    """
    records = [attempt.record for attempt in store.current().values() if attempt.record]
    own = [r for r in records if (r.cell.task, r.cell.model) == (entry.task, entry.model)]
    trainings = sorted((r for r in own if r.cell.kind == "train"), key=lambda r: r.cell.seed_index)
    counts = next((r for r in own if r.cell.kind == "counts"), None)
    if not trainings or counts is None:
        return None
    first = trainings[0]
    paths = {role: find_artifact(store.folder, first.artifact(role)) for role in ("torch", "onnx")}
    graph = load_graph(paths["onnx"])
    provenance = read_provenance(first)
    n_declared = provenance.suite["n_seeds"]  # so that a failed training counts as missing
    assert isinstance(n_declared, int)
    return Candidate(
        name=entry.name,
        paths=paths,
        input_shape=find_input_shape(graph),
        costs=compute_costs(counts, graph) | find_image_costs(own, entry.task, entry.model),
        operators=count_operators(graph),
        data_sha256=provenance.data.sha256,
        predictions={r.cell.seed: read_predictions(store, r) for r in trainings},
        has_same_weights=_have_same_weights(paths["torch"], file_path(baseline, entry.artifact("torch"))),
        declared_seeds=tuple(first.cell.model_copy(update={"seed_index": i}).seed for i in range(n_declared)),
        trainings=tuple(read_training(store, record)[0] for record in trainings),
    )


def _have_same_weights(*paths: Path) -> bool:
    """Compare the weights of two files; their metadata may differ.

    Raises:
        DataError: one of them is not a safetensors file.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        ours, theirs = (load_file(path) for path in paths)
    except SafetensorError as error:
        names = " or ".join(str(path) for path in paths)
        raise DataError(
            f"weights cannot be read from {names}: {error}", "train again, or save the baseline again"
        ) from error
    return ours.keys() == theirs.keys() and all(
        np.array_equal(ours[name], theirs[name], equal_nan=True) for name in ours
    )
