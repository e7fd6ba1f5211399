"""Files of weights, read as numbers only: safetensors, or torch's own format with `weights_only`. Nothing is run."""

import io
import pickle
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from dlmi_bench.errors import DataError

Tensors = dict[str, Tensor]
REMEDY = "save the state dict alone: torch.save(network.state_dict(), FILE), or a .safetensors file"


def parse_weights(content: bytes, path: Path) -> Tensors:
    """Named tensors out of the bytes of a `.safetensors` or `.pth` file; `path` is for the ending and for messages.

    Raises:
        DataError: not such a file, or it holds anything but finite tensors under names.
    """
    try:
        found = load(content) if path.suffix == ".safetensors" else _load_torch(content)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, KeyError, ValueError) as error:
        first = str(error).strip().partition("\n")[0]
        raise DataError(f"{path}: no file of weights alone ({type(error).__name__}: {first[:200]})", REMEDY) from error
    if not isinstance(found, dict) or not found:
        raise DataError(f"{path}: holds {type(found).__name__}, not tensors by name", REMEDY)
    for name, value in found.items():
        field = f"{path}: field {str(name)[:80]!r}"
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise DataError(f"{field} is {type(value).__name__}, not a tensor under a name", REMEDY)
        if not value.isfinite().all():
            raise DataError(f"{field} holds values that are not finite", REMEDY)
    return found


def _load_torch(content: bytes) -> object:
    return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
