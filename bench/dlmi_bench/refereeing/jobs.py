"""Jobs of a referee, as they run in fresh workers."""

import hashlib
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from dlmi_bench.backends import BACKENDS, JUDGED_BACKEND, predict
from dlmi_bench.instruments.counts.graph import count_by_graph
from dlmi_bench.instruments.onnx.contents import NODE_TENSOR, count_operators, count_parameters
from dlmi_bench.instruments.onnx.external import list_external_files
from dlmi_bench.instruments.onnx.loading import load_graph
from dlmi_bench.instruments.onnx.walk import list_messages
from dlmi_bench.jobs.plugins import list_sources
from dlmi_bench.jobs.protocol import OnProgress
from dlmi_bench.refereeing.protocol import Contents, FilesRequest, Fresh, FreshRequest, TrainedFile
from dlmi_bench.refereeing.source import measure_source
from dlmi_models import MODELS
from dlmi_tasks import get_task

if TYPE_CHECKING:
    from onnx import ModelProto
    from torch import nn


def run_files_job(request: FilesRequest, on_progress: OnProgress) -> tuple[TrainedFile, ...]:
    """Read each file, and compare its answers with those that its training kept."""
    task, found = get_task(request.task), []
    data = task.load()
    for number, training in enumerate(request.trainings, 1):
        path = Path(training.path)
        contents = read_contents(path, task.input_shape)
        n_unlike = 0
        if not contents.external:
            sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
            test = data.split(task.n_validation, training.seed_index).test.read(sha256)
            scores = predict(BACKENDS[JUDGED_BACKEND].load(path), test.images)
            kept = np.load(training.scores, allow_pickle=False)
            n_unlike = int((scores.argmax(1) != kept.argmax(1)).sum())
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        found.append(TrainedFile(sha256=sha256, contents=contents, n_unlike=n_unlike))
        on_progress("reading files", number / len(request.trainings))
    return tuple(found)


def run_fresh_job(request: FreshRequest, _: OnProgress) -> Fresh:
    """Build a network and export it, untrained.

    Raises:
        UsageError: see Model.build.
    """
    import torch

    from dlmi_bench.backends.export import write_onnx

    entry, task = MODELS[request.model], get_task(request.task)
    source_bytes, data_bytes, reaches = measure_source(list_sources(entry))
    torch.manual_seed(0)
    network = entry.build(task.input_shape, task.n_classes)
    with torch.no_grad():
        for weight in network.parameters():
            if not weight.any():  # the exporter leaves out zeros, as biases of folded layers begin, and merges equals
                weight.uniform_(0.01, 0.02)
    with TemporaryDirectory() as folder:
        path = Path(folder, "fresh.onnx")
        write_onnx(network, task.input_shape, path)
        contents = read_contents(path, task.input_shape)
    return Fresh(
        n_parameters=sum(weight.numel() for weight in network.parameters()),
        n_statistics=count_statistics(network),
        contents=contents,
        source_bytes=source_bytes,
        data_bytes=data_bytes,
        reaches=reaches,
    )


def read_contents(path: Path, input_shape: tuple[int, ...]) -> Contents:
    """Read what a file holds, and what it does to one example of this shape."""
    model = load_graph(path, is_whole=False)
    external = tuple(other.name for other in list_external_files(model, path))
    return Contents(
        n_parameters=count_parameters(model) or 0,
        n_single=_count_single(model),
        operators=count_operators(model),
        macs=count_by_graph(model, input_shape).macs,
        external=external,
    )


def _count_single(model: "ModelProto") -> int:
    """Count constants of one number, as far as `count_parameters` counts them."""
    tensors = ((field, t) for field, t in list_messages(model, "TensorProto") if t.data_type != t.INT64)
    return sum(int(np.prod(t.dims)) == 1 for field, t in tensors if field != NODE_TENSOR)


def count_statistics(network: "nn.Module") -> int:
    """Count running means and variances of normalisation, which a file may hold beside the weights."""
    from torch.nn.modules.batchnorm import _NormBase

    layers = [module for module in network.modules() if isinstance(module, _NormBase)]
    return sum(kept.numel() for layer in layers for kept in (layer.running_mean, layer.running_var) if kept is not None)
