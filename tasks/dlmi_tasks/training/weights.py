"""Files of weights, read as numbers only: safetensors, or torch's own format with `weights_only`. Nothing is run."""

import io
import zipfile
from pathlib import Path

import torch
from safetensors.torch import load
from torch import Tensor

from dlmi_bench.errors import DataError
from dlmi_tasks.files.limits import guard

Tensors = dict[str, Tensor]
REMEDY = "save the state dict alone: torch.save(network.state_dict(), FILE), or a .safetensors file"
MAX_SHARING = 2  # tensors may share their numbers, but not let a small file stand for a large network


def parse_weights(content: bytes, path: Path) -> Tensors:
    """Named tensors out of the bytes of a `.safetensors` or `.pth` file; `path` is for the ending and for messages.

    Raises:
        DataError: not such a file, or it holds anything but finite tensors under names.
    """
    with guard(f"{path}: no file of weights alone", REMEDY):
        found = load(content) if path.suffix == ".safetensors" else _load_torch(content)
        if not isinstance(found, dict) or not found:
            raise DataError(f"{path}: holds {type(found).__name__}, not tensors by name", REMEDY)
        n_bytes = 0
        for name, value in found.items():
            field = f"{path}: field {str(name)[:80]!r}"
            if not isinstance(name, str) or not isinstance(value, Tensor):
                raise DataError(f"{field} is {type(value).__name__}, not a tensor under a name", REMEDY)
            n_bytes += value.numel() * value.element_size()
            if n_bytes > MAX_SHARING * len(content):
                raise DataError(f"{field} and those before it are larger than the file", REMEDY)
            if value.is_complex():
                raise DataError(f"{field} is complex", REMEDY)
            if not value.isfinite().all():
                raise DataError(f"{field} holds values that are not finite", REMEDY)
        return found


def _load_torch(content: bytes) -> object:
    if zipfile.is_zipfile(io.BytesIO(content)):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            # torch stores its numbers as they are, believes the sizes that the archive states, and checks no checksum.
            if any(m.compress_type or m.file_size > len(content) for m in archive.infolist()):
                raise ValueError("a compressed archive")
            if damaged := archive.testzip():
                raise ValueError(f"{damaged} does not have its checksum")
    return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
