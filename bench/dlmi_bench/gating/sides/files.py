"""Models trained elsewhere: ONNX files and a labelled test set, for gates in other repositories."""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dlmi_bench.backends import JUDGED_BACKEND
from dlmi_bench.errors import DataError, UsageError
from dlmi_bench.files import read_bytes
from dlmi_bench.gating.sides.baseline import Baseline, Entry, Training, put_file, to_classes, write_baseline
from dlmi_bench.gating.sides.candidate import Candidate
from dlmi_bench.instruments.onnx.activations import compute_peak_activation_bytes
from dlmi_bench.instruments.onnx.contents import count_operators, count_parameters
from dlmi_bench.instruments.onnx.external import list_external_files, locate_model, place_weights
from dlmi_bench.instruments.onnx.faults import graph_faults
from dlmi_bench.instruments.onnx.loading import load_graph
from dlmi_bench.instruments.onnx.ports import Signature, read_signature
from dlmi_bench.jobs.inputs import LabelledSet, load_labelled, save_examples
from dlmi_bench.jobs.protocol import PredictRequest
from dlmi_bench.jobs.worker import JobError, Worker
from dlmi_bench.records import Artifact
from dlmi_bench.store.artifacts import to_npy

if TYPE_CHECKING:
    from onnx import ModelProto

__all__ = ["TASK", "LabelledSet", "load_file_candidate", "load_labelled", "save_files"]

TASK = "file"  # task of every such model; the model is called like its file, without suffix


@dataclass(frozen=True)
class _Classifier:
    """A file that can be gated: its path, graph, and what it takes and answers."""

    path: Path
    graph: "ModelProto"
    signature: Signature

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one example of the first input."""
        return next(iter(self.signature.example_shapes.values()))

    def count(self) -> dict[str, int]:
        """Costs that are exact on any machine; without the parameters where none can be counted."""
        files = (self.path, *list_external_files(self.graph, self.path))
        costs = {
            "n_parameters": count_parameters(self.graph),
            "onnx_size_bytes": sum(file.stat().st_size for file in files),
            "peak_activation_bytes": compute_peak_activation_bytes(self.graph, self.signature),
        }
        return {name: n for name, n in costs.items() if n is not None}


def save_files(paths: tuple[Path, ...], test: Path, folder: Path, reason: str) -> Baseline:
    """Save a baseline of ONNX files, each with its predictions on the test set; replaces the baseline in the folder.

    Raises:
        DataError: a file or the test set cannot be used.
        UsageError: two files have the same name.
    """
    if len({path.stem for path in paths}) < len(paths):
        raise UsageError("two ONNX files have the same name", "a model is called like its file; rename one")
    labelled = load_labelled(test)
    return write_baseline(folder, reason, lambda fresh: tuple(_save_entry(path, labelled, fresh) for path in paths))


def _save_entry(path: Path, labelled: LabelledSet, fresh: Path) -> Entry:
    file = _load_classifier(path)
    classes = to_classes(_judge(file, labelled))
    training = Training(
        seed=0,
        predictions=put_file(fresh, "predictions", to_npy(classes), ".npy"),
        test_accuracy=float((classes == labelled.labels).mean()),
    )
    return Entry(
        task=TASK,
        model=path.stem,
        input_shape=file.input_shape,
        data_sha256=labelled.sha256,
        artifacts=_put_model(file, fresh),
        trainings=(training,),
        costs=file.count(),
        operators=count_operators(file.graph),
        batch=file.signature.batch,
    )


def _put_model(file: _Classifier, fresh: Path) -> tuple[Artifact, ...]:
    """Keep a model and its other files; the copy names these by their sha256, so that models share a folder."""
    if not list_external_files(file.graph, file.path):
        return (put_file(fresh, "onnx", read_bytes(file.path), ".onnx"),)
    placed, others = place_weights(file.graph, file.path)
    model = put_file(fresh, "onnx", placed.SerializeToString(deterministic=True), ".onnx")
    kept = [put_file(fresh, f"onnx-data-{i}", read_bytes(path), ".bin") for i, path in enumerate(others.values())]
    return (model, *kept)


def load_file_candidate(path: Path, labelled: LabelledSet) -> Candidate:
    """Load the model in an ONNX file and its predictions on the test set.

    Raises:
        DataError: the file is not a classifier that can be timed, or its scores are not finite.
    """
    file = _load_classifier(path)
    scores = _judge(file, labelled)
    return Candidate(
        name=f"{TASK}/{path.stem}",
        paths={"onnx": file.path},
        input_shape=file.input_shape,
        costs=file.count(),
        operators=count_operators(file.graph),
        data_sha256=labelled.sha256,
        predictions={0: to_classes(scores)},
        has_same_weights=True,
        labels=labelled.labels,
        n_classes=scores.shape[1],
    )


def _load_classifier(path: Path) -> _Classifier:
    """Load a graph, and refuse it unless all sizes of its inputs but the batch are fixed."""
    file = locate_model(path)
    graph = load_graph(file, is_whole=False)
    with graph_faults(path):
        signature = read_signature(graph)
        for port in signature.inputs:
            if 0 in signature.example_shapes[port.name]:
                raise DataError(
                    f"{path}: its input {port.name!r} is stated as {signature.format_shape(port)}",
                    "export it with all sizes fixed but the batch, for instance dynamic_shapes={'x': {0: 'batch'}}",
                )
    return _Classifier(file, graph, signature)


def _judge(file: _Classifier, labelled: LabelledSet) -> NDArray[np.float32]:
    """Compute the scores of the test set, (n, class), with the runtime that accuracy is judged by, in a worker.

    A file that ends the runtime's process costs this model its verdict and no other.
    """
    path = file.path
    with TemporaryDirectory() as folder, Worker() as worker:
        images, found = str(save_examples(labelled.examples, Path(folder))), str(Path(folder, "scores.npy"))
        try:
            worker.ask(PredictRequest(backend=JUDGED_BACKEND, path=str(path), images=images, scores=found))
        except JobError as error:
            raise DataError(f"{path}: cannot run on the test set ({error.cause})", "check the shape of x") from error
        scores: NDArray[np.float32] = np.load(found, allow_pickle=False)
    if scores.ndim != 2 or scores.shape[1] < 2:
        cause = f"{path}: its output {file.signature.output.name!r} has shape {scores.shape}"
        raise DataError(cause, "export scores (batch, classes)")
    if not 0 <= labelled.labels.min() <= labelled.labels.max() < scores.shape[1]:
        said = f"classes {labelled.labels.min()} to {labelled.labels.max()}, the file scores {scores.shape[1]}"
        raise DataError(f"{path}: y has {said}", "number the classes from 0 in the order of the scores")
    return scores
