"""Finished weights: files that were trained elsewhere enter the same tables, without training times."""

from pathlib import Path

import numpy as np
from torch import nn

from dlmi_bench.backends import BACKENDS, JUDGED_BACKEND
from dlmi_bench.errors import DataError, UsageError
from dlmi_bench.files import parsing, read_bytes
from dlmi_bench.instruments.onnx.faults import graph_faults
from dlmi_bench.instruments.onnx.loading import load_graph
from dlmi_bench.instruments.onnx.ports import read_signature
from dlmi_bench.records import Figure, unavailable
from dlmi_models.own import Model
from dlmi_tasks.spec import Task
from dlmi_tasks.training.weights import parse_weights

ELSEWHERE = "trained elsewhere"


def read_checkpoint(model: Model, index: int) -> tuple[Path, bytes]:
    """Path and content of the file for a seed.

    Raises:
        UsageError: there is none, or it cannot be read.
    """
    if index not in model.checkpoints:
        raise UsageError(f"no file for seed {index}: there are {len(model.checkpoints)}", "ask for fewer seeds")
    path = model.checkpoints[index]
    try:
        return path, read_bytes(path)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}", "name a file that can be read") from error


def load_checkpoint(name: str, model: Model, task: Task, path: Path, content: bytes) -> nn.Module:
    """Build the network and give it the weights of the file.

    Raises:
        DataError: the file holds anything but the weights of this network.
    """
    network = model.build(name, task.input_shape, task.n_classes)
    inner = network.network if model.adapter else network  # the weights were saved without the adapter
    assert isinstance(inner, nn.Module)
    weights = parse_weights(content, path)
    if all(key.startswith("module.") for key in weights):  # as networks on several devices save theirs
        weights = {key.removeprefix("module."): value for key, value in weights.items()}
    with parsing(f"{path}: weights do not fit {name}", "use a state dict of this very network"):
        inner.load_state_dict(weights)
    return network.eval()


def check_onnx(path: Path, task: Task) -> None:
    """Check that an ONNX file takes the task's images and answers with its classes.

    Raises:
        DataError: it does not.
    """
    with graph_faults(path):
        signature = read_signature(load_graph(path, is_whole=False))
        signature.check(dict.fromkeys(signature.types, (1, *task.input_shape)))
    scores = BACKENDS[JUDGED_BACKEND].load(path).run(np.zeros((1, *task.input_shape), np.float32))
    if scores.shape != (1, task.n_classes):
        raise DataError(
            f"{path} answers an image with {scores.shape}, not with (1, {task.n_classes}): one score for each class",
            f"export scores for the {task.n_classes} classes of the task, in their order",
        )


def list_missing_figures() -> list[Figure]:
    """Figures of a training that nobody here saw."""
    energies = [
        unavailable("training_energy_j", ELSEWHERE, component="cpu", idle_subtracted=is_net) for is_net in (False, True)
    ]
    names = ("training_s", "evaluation_s", "n_epochs", "n_samples")
    return [*(unavailable(name, ELSEWHERE) for name in names), *energies]
