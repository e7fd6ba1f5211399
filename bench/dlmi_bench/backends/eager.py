"""torch eager on the CPU: weights from safetensors, the architecture from the registry, nothing pickled."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor, nn

from dlmi_bench.backends import Batch, Scores
from dlmi_bench.errors import DataError
from dlmi_models import MODELS


class EagerRunner:
    """A network in evaluation mode. The number of threads is torch's: one for the whole process, the last one set."""

    def __init__(self, network: nn.Module, *, n_threads: int) -> None:
        torch.set_num_threads(n_threads)
        if torch.get_num_interop_threads() != 1:  # torch lets them be set once in a process
            torch.set_num_interop_threads(1)
        self._network = network.eval()

    @property
    def conditions(self) -> dict[str, str | int | float | bool]:
        return {
            "provider": "CPU",
            "precision": "float32",
            "threads": torch.get_num_threads(),
            "inter_op_threads": torch.get_num_interop_threads(),
            "mode": "inference_mode",
            "version": f"torch {torch.__version__}",
        }

    def prepare(self, batch: Batch) -> Callable[[], object]:
        network, inputs = self._network, torch.from_numpy(batch)
        return lambda: network(inputs)

    def read(self, outputs: object) -> Scores:
        assert isinstance(outputs, Tensor)
        return outputs.numpy()

    def active(self) -> AbstractContextManager[object]:
        return torch.inference_mode()

    def run(self, batch: Batch) -> Scores:
        with self.active():
            return self.read(self.prepare(batch)())


def load_network(path: Path) -> nn.Module:
    """Rebuild the network that the file names and load its weights.

    Raises:
        DataError: the file names no registered model, or its weights do not fit.
    """
    with safe_open(path, framework="pt") as file:
        # Name, hash of the program, input shape and number of classes; older files end before.
        name, *rest = (file.metadata() or {}).get("model", "").rsplit(" ", 2)
        weights = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a dict
    if name not in MODELS:
        raise DataError(f"{path}: metadata field 'model' is {name!r}", f"use one of {', '.join(MODELS)}")
    sides, _, n_classes = rest[1].partition(":") if len(rest) == 2 else ("", "", "")
    shape, last = tuple(int(n) for n in sides.split("x") if n), weights.get("out.bias")
    n_scores = int(n_classes) if n_classes else len(last) if last is not None and not MODELS[name].is_own else None
    network = MODELS[name].build(shape or None, n_scores)
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise DataError(f"{path}: weights do not fit {name}: {error}", "the model changed; train again") from error
    return network.eval()


def load(path: Path, *, n_threads: int = 1) -> EagerRunner:
    """The network of the file; raises DataError like `load_network`."""
    return EagerRunner(load_network(path), n_threads=n_threads)


def load_empty(*, n_threads: int = 1) -> EagerRunner:
    return EagerRunner(nn.Identity(), n_threads=n_threads)
