"""Weights in files beside an ONNX file: found inside its folder, read, and copied with it.

Nothing outside the folder of the model is read. The one exception is the cache of Hugging Face, whose files are links:
a model at `models--NAME/snapshots/REVISION/...` may have its data in `models--NAME/blobs`. Hard links are files like
any other: they lie in the folder. onnx refuses both, so its files are read here.
"""

import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

from dlmi_bench.errors import DataError
from dlmi_bench.files import is_lfs_pointer, make_lfs_error
from dlmi_bench.instruments.onnx.faults import graph_faults
from dlmi_bench.instruments.onnx.walk import is_external, list_messages

if TYPE_CHECKING:
    from collections.abc import Iterator

    from onnx import ModelProto, TensorProto

NUMBER = re.compile(r"[0-9]{1,19}")
REMEDY = "export the model in one file, or with its weights beside it; nothing outside its folder is read"


def list_external_files(model: "ModelProto", path: Path) -> list[Path]:
    """Files beside the model that hold its weights, each once.

    Raises:
        DataError: one that is missing, whose path or link leaves the folder of the model, or that is too short.
    """
    return list(dict.fromkeys(file for _, file, *_ in _list_extents(model, path)))


def load_weights(model: "ModelProto", path: Path) -> "ModelProto":
    """The model with all of its weights in memory; the model itself where there are no others.

    Raises:
        DataError: see `list_external_files`.
    """
    if not any(is_external(tensor) for _, tensor in list_messages(model, "TensorProto")):
        return model
    whole = type(model)()
    whole.CopyFrom(model)
    for tensor, file, offset, length in _list_extents(whole, path):
        with file.open("rb") as stream:
            stream.seek(offset)
            content = stream.read(length)
        _clear(tensor)
        tensor.raw_data = content
    return whole


def place_weights(model: "ModelProto", path: Path) -> "tuple[ModelProto, dict[str, Path]]":
    """A model that names its other files by their sha256, for a folder that holds those of many models.

    Returns:
        The model, and its other files by their name there, SHA256.bin.

    Raises:
        DataError: see `list_external_files`.
    """
    placed, files = type(model)(), dict[Path, str]()
    placed.CopyFrom(model)
    for tensor, file, *_ in _list_extents(placed, path):
        if file not in files:
            with file.open("rb") as stream:
                files[file] = f"{hashlib.file_digest(stream, 'sha256').hexdigest()}.bin"
        next(entry for entry in tensor.external_data if entry.key == "location").value = files[file]
    return placed, {name: file for file, name in files.items()}


def strip_weights(model: "ModelProto") -> "ModelProto":
    """The model with an empty tensor for each one in another file: what onnx's checker can read without that file."""
    stripped = type(model)()
    stripped.CopyFrom(model)
    for _, tensor in list_messages(stripped, "TensorProto"):
        if is_external(tensor):
            _clear(tensor)
            tensor.dims[:] = [0]
    return stripped


def _clear(tensor: "TensorProto") -> None:
    tensor.ClearField("external_data")
    tensor.ClearField("data_location")


def _list_extents(model: "ModelProto", path: Path) -> "Iterator[tuple[TensorProto, Path, int, int]]":
    """Each tensor in another file, with the file, its offset and its length [bytes]."""
    for tensor in [tensor for _, tensor in list_messages(model, "TensorProto") if is_external(tensor)]:
        with graph_faults(f"{path}: tensor {tensor.name!r}: external data"):
            entries = {entry.key: entry.value for entry in tensor.external_data}
            file = _find_file(path, entries.get("location", ""))
            size = file.stat().st_size
            extent = [entries.get("offset", "0"), entries.get("length", "0")]
            if not all(map(NUMBER.fullmatch, extent)) or sum(map(int, extent)) > size:
                cause = f"offset or length lies outside {entries['location']!r}"
                raise DataError(cause, "export it again, with its weights beside it")
            offset = int(extent[0])
            yield tensor, file, offset, int(entries.get("length", size - offset))


def locate_model(path: Path) -> Path:
    """Absolute path of the model in the folder that holds its other files: links followed, but those of a cache."""
    named = path.parent.resolve() / path.name
    return named if _find_cache(named.parent) else path.resolve()


def _find_file(path: Path, location: str) -> Path:
    """The regular file at `location`, links followed, in the folder of the model; see the head of this module."""
    folder = locate_model(path).parent
    file, cache = (folder / location).resolve(), _find_cache(folder)
    is_inside = file.is_relative_to(folder) or (cache and file.parent == cache / "blobs")
    if not location or Path(location).is_absolute() or not is_inside:
        raise DataError(f"{location!r} leaves the folder of the file", REMEDY)
    if not file.is_file():
        raise DataError(f"no file {location!r}", "put it beside the model")
    if is_lfs_pointer(file):
        raise make_lfs_error(repr(location))
    return file


def _find_cache(folder: Path) -> Path | None:
    """The folder `models--NAME` that has `folder` in one of its snapshots; None where there is none."""
    places = (place.parent for place in folder.parents if place.name == "snapshots")
    return next((place for place in places if place.name.startswith("models--")), None)
