"""Models trained elsewhere: ONNX files and a labelled test set, for gates in other repositories."""

import hashlib
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dlmi_bench.backends import JUDGED_BACKEND
from dlmi_bench.errors import DataError, UsageError
from dlmi_bench.files import parsing, read_bytes
from dlmi_bench.gating.sides.baseline import Baseline, Entry, Training, put_file, to_classes, to_npy, write_baseline
from dlmi_bench.gating.sides.candidate import Candidate
from dlmi_bench.instruments.onnx_graph import (
    compute_peak_activation_bytes,
    count_operators,
    count_parameters,
    find_input_shape,
    load_graph,
)
from dlmi_bench.jobs.protocol import PredictRequest
from dlmi_bench.jobs.worker import JobError, Worker

if TYPE_CHECKING:
    from onnx import ModelProto

TASK = "file"  # task of every such model; the model is called like its file, without suffix


@dataclass(frozen=True)
class LabelledSet:
    """Images (n, ...) float32 and classes (n,) int64, with the hashes that identify them."""

    images: NDArray[np.float32]
    labels: NDArray[np.int64]

    @property
    def sha256(self) -> dict[str, str]:
        arrays = {"test_images": self.images.astype("<f4"), "test_labels": self.labels.astype("<i8")}
        return {name: hashlib.sha256(np.ascontiguousarray(a).tobytes()).hexdigest() for name, a in arrays.items()}


def load_labelled(path: Path) -> LabelledSet:
    """Load the arrays `x` and `y` of an .npz file; nothing in it is unpickled.

    Raises:
        DataError: the file is unreadable, an array is missing, or their lengths or types do not fit.
    """
    remedy = "write it with np.savez(path, x=inputs, y=classes): float32 (n, ...) and whole numbers (n,)"
    with parsing(f"{path}: not a test set", remedy), np.load(BytesIO(read_bytes(path)), allow_pickle=False) as file:
        x, y = file["x"], file["y"]
    if x.dtype != np.float32 or y.dtype.kind not in "iu" or y.ndim != 1 or len(x) != len(y) or not len(y):
        raise DataError(f"{path}: x is {x.dtype} {x.shape}, y is {y.dtype} {y.shape}", remedy)
    return LabelledSet(x, y.astype(np.int64))


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
    graph = _load_classifier(path)
    classes = to_classes(_judge(path, labelled))
    training = Training(
        seed=0,
        predictions=put_file(fresh, "predictions", to_npy(classes), ".npy"),
        test_accuracy=float((classes == labelled.labels).mean()),
    )
    return Entry(
        task=TASK,
        model=path.stem,
        input_shape=find_input_shape(graph),
        data_sha256=labelled.sha256,
        artifacts=(put_file(fresh, "onnx", path.read_bytes(), ".onnx"),),
        trainings=(training,),
        costs=_count(path, graph),
        operators=count_operators(graph),
    )


def load_file_candidate(path: Path, labelled: LabelledSet) -> Candidate:
    """Load the model in an ONNX file and its predictions on the test set.

    Raises:
        DataError: the file is not a classifier that can be timed, or its scores are not finite.
    """
    graph = _load_classifier(path)
    scores = _judge(path, labelled)
    return Candidate(
        name=f"{TASK}/{path.stem}",
        paths={"onnx": path},
        input_shape=find_input_shape(graph),
        costs=_count(path, graph),
        operators=count_operators(graph),
        data_sha256=labelled.sha256,
        predictions={0: to_classes(scores)},
        has_same_weights=True,
        labels=labelled.labels,
        n_classes=scores.shape[1],
    )


def _load_classifier(path: Path) -> "ModelProto":
    """Load a graph, and refuse it unless it takes batches of any size of one float32 input."""
    from onnx import TensorProto

    graph = load_graph(path)
    kind = graph.graph.input[0].type.tensor_type
    sizes = [dim.dim_value for dim in kind.shape.dim]  # 0 is free
    is_free = sizes[:1] == [0] and all(sizes[1:])
    if len(graph.graph.input) != 1 or kind.elem_type != TensorProto.FLOAT or not is_free:
        raise DataError(
            f"{path}: needs one float32 input with a free batch size and all else fixed",
            "export it with a dynamic first dimension, for instance dynamic_shapes={'x': {0: 'batch'}} in torch",
        )
    return graph


def _judge(path: Path, labelled: LabelledSet) -> NDArray[np.float32]:
    """Compute the scores of the test set, (n, class), with the runtime that accuracy is judged by, in a worker.

    A file that ends the runtime's process costs this model its verdict and no other.
    """
    with TemporaryDirectory() as folder, Worker() as worker:
        images, found = (str(Path(folder, name)) for name in ("images.npy", "scores.npy"))
        np.save(images, labelled.images, allow_pickle=False)
        try:
            worker.ask(PredictRequest(backend=JUDGED_BACKEND, path=str(path.resolve()), images=images, scores=found))
        except JobError as error:
            raise DataError(f"{path}: cannot run on the test set ({error.cause})", "check the shape of x") from error
        scores: NDArray[np.float32] = np.load(found, allow_pickle=False)
    if scores.ndim != 2 or scores.shape[1] < 2:
        raise DataError(f"{path}: its first output has shape {scores.shape}", "export scores (batch, classes)")
    return scores


def _count(path: Path, graph: "ModelProto") -> dict[str, int]:
    return {
        "n_parameters": count_parameters(graph),
        "onnx_size_bytes": path.stat().st_size,
        "peak_activation_bytes": compute_peak_activation_bytes(graph),
    }
