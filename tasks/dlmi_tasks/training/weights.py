"""Files of weights, read as numbers only: safetensors, or torch's own format with `weights_only`. Nothing is run."""

import io
import pickletools
import zipfile
from pathlib import Path

import torch
from safetensors.torch import load
from torch import Tensor

from dlmi_bench.errors import DataError
from dlmi_bench.files import parsing

Tensors = dict[str, Tensor]
REMEDY = "save the state dict alone: torch.save(network.state_dict(), FILE), or a .safetensors file"
MAX_NAME = 1000  # characters
N_PICKLES = 5  # with which torch's older format begins
ZIP_START = b"PK\x03\x04"  # by which torch knows its newer one
FOLDER_BIT = 0x10
MAX_SHARING = 2  # tensors may share their numbers, but not let a small file stand for a large network


def parse_weights(content: bytes, path: Path) -> Tensors:
    """Named tensors out of the bytes of a `.safetensors` or `.pth` file; `path` is for the ending and for messages.

    Raises:
        DataError: not such a file, or it holds anything but finite tensors under names.
    """
    with parsing(f"{path}: no file of weights alone", REMEDY):
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
        return {name: value.detach() for name, value in found.items()}


def _load_torch(content: bytes) -> object:
    stream = io.BytesIO(content)
    if content.startswith(ZIP_START):
        with zipfile.ZipFile(stream) as archive:
            _check_archive(archive, len(content))
    else:
        for _ in range(N_PICKLES):
            _check_names(stream)
    return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)


def _check_archive(archive: zipfile.ZipFile, n_bytes: int) -> None:
    """Check what torch believes: it stores numbers as they are, and verifies neither sizes nor checksums."""
    members = archive.infolist()
    if any(m.compress_type or m.file_size > n_bytes or m.external_attr & FOLDER_BIT for m in members):
        raise ValueError("a compressed archive, or one with folders")
    if damaged := archive.testzip():
        raise ValueError(f"{damaged} does not have its checksum")
    for member in members:
        if member.filename.endswith("data.pkl"):
            _check_names(io.BytesIO(archive.read(member)))


def _check_names(stream: io.BytesIO) -> None:
    """Check the names in one pickle: over a long one that it refuses torch's search for a message takes for ever."""
    for _, argument, _ in pickletools.genops(stream):
        if isinstance(argument, str) and len(argument) > MAX_NAME:
            raise ValueError(f"a name of {len(argument)} characters")
