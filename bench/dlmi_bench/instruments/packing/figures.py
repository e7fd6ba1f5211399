"""Figures of the packed numbers of an ONNX file."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dlmi_bench.errors import BenchError, DataError
from dlmi_bench.extras import find_missing
from dlmi_bench.instruments.onnx.external import list_external_files, load_weights
from dlmi_bench.instruments.onnx.loading import load_graph
from dlmi_bench.instruments.packing.container import PackedTensor, write_tensors
from dlmi_bench.instruments.packing.fields import BYTE
from dlmi_bench.instruments.packing.layouts import Layout
from dlmi_bench.instruments.packing.tensors import MAX_PARAMETERS, find_shift, list_constants
from dlmi_bench.records import Figure, Note, unavailable

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from onnx import ModelProto

FLOAT32_BYTES = 4
MAX_FILE_BYTES = 8 * MAX_PARAMETERS
LEVEL = 19  # of zstd: the highest without more memory
MAX_COMPRESSED = 2**24  # bytes, of which the compressor takes one or two million a second
COMPRESSED = "packed+zstd"
SPARSE: tuple[Layout, ...] = ("bitmap", "gaps")
PACKED = "the numbers of the ONNX file in the smallest exact encoding and layout of each tensor, without the graph"
WEIGHTS = "tensors of two or more axes"


def measure_file_packing(path: Path) -> list[Figure]:
    """Measure the packing of a file with its weights, wherever they lie; a file that is too large is not read."""
    try:
        model = load_graph(path, is_whole=False)
        if sum(file.stat().st_size for file in (path, *list_external_files(model, path))) > MAX_FILE_BYTES:
            return list_missing(f"files of more than {MAX_FILE_BYTES >> 20} MiB are not packed")
        return measure_packing(load_weights(model, path))
    except BenchError as error:
        return list_missing(error.cause)


def measure_packing(model: "ModelProto") -> list[Figure]:
    """Measure the bytes that the numbers of a file need, and count its weights.

    Args:
        model: With all of its weights in memory.

    Returns:
        `size_bytes` by artifact, `n_weights`, `n_nonzero` and `weight_bits`; unavailable where nothing can be packed.
    """
    try:
        tensors = [PackedTensor.make(constant) for constant in list_constants(model)]
        return [*_list_sizes(tensors), *_describe_weights(tensors, find_shift(model))]
    except DataError as error:
        return list_missing(error.cause)


def list_missing(reason: str) -> list[Figure]:
    """List the figures as unavailable, with the reason."""
    sizes = [unavailable("size_bytes", reason, artifact=name) for name in ("float32", "packed", COMPRESSED)]
    return [*sizes, *(unavailable(name, reason) for name in ("n_weights", "n_nonzero", "weight_bits"))]


def _list_sizes(tensors: Sequence[PackedTensor]) -> list[Figure]:
    content, n = write_tensors(tensors), sum(tensor.constant.array.size for tensor in tensors)
    negative = sum(_count_minus_zeros(tensor.constant.array) for tensor in tensors)
    said = f"zeros that are -0.0: {negative}; they are kept and may cost bytes; add 0.0 to weights before the export"
    notes = (Note(None, said),) if negative else ()
    has_zeros = any(tensor.sparsity.has_zeros for tensor in tensors)
    return [
        _size("float32", FLOAT32_BYTES * n, "4 bytes for each number of the file, without the graph"),
        _size("packed", len(content), PACKED, notes),
        _compress(content, notes),
        *(
            _size(name, len(write_tensors(tensors, name)), f"packed, tensors with zeros in layout {name}", notes)
            for name in (SPARSE if has_zeros else ())
        ),
    ]


def _compress(content: bytes, notes: tuple[Note, ...]) -> Figure:
    if len(content) > MAX_COMPRESSED:
        return unavailable("size_bytes", f"more than {MAX_COMPRESSED >> 20} MiB take too long", artifact=COMPRESSED)
    if missing := find_missing("zstd"):
        return unavailable("size_bytes", missing, artifact=COMPRESSED)
    import zstandard

    small = zstandard.ZstdCompressor(level=LEVEL).compress(content)
    figure = _size(COMPRESSED, len(small), f"the packed numbers, compressed at level {LEVEL}", notes)
    return figure.model_copy(update={"source": f"zstd {'.'.join(map(str, zstandard.ZSTD_VERSION))}"})


def _describe_weights(tensors: Sequence[PackedTensor], shift: str) -> list[Figure]:
    """Count the weights; not those of which a stored number is not one (`shift` says why)."""
    weights = [tensor for tensor in tensors if tensor.constant.is_weight]
    n = sum(tensor.constant.array.size for tensor in weights)
    if shift:
        return [unavailable(name, shift) for name in ("n_weights", "n_nonzero", "weight_bits")]
    n_nonzero = sum(int(np.count_nonzero(tensor.constant.array)) for tensor in weights)
    counts = [_count("n_weights", n, WEIGHTS), _count("n_nonzero", n_nonzero, f"elements that are not 0 of {WEIGHTS}")]
    if not n:
        return [*counts, unavailable("weight_bits", f"no {WEIGHTS}")]
    counted = [tensor for tensor in tensors if tensor.constant.is_weight or tensor.constant.is_scale]
    n_bytes = sum(len(tensor.write()[1]) for tensor in counted)
    method = "packed weights with index, scales and zero points, for each weight; zeros are weights too"
    return [*counts, _count("weight_bits", BYTE * n_bytes / n, method)]


def _count_minus_zeros(array: "NDArray[Any]") -> int:
    return int(np.count_nonzero((array == 0) & np.signbit(array))) if array.dtype == np.float32 else 0


def _count(name: str, value: float, method: str) -> Figure:
    return Figure(name=name, value=value, kind="counted", source="ONNX graph", method=method)


def _size(artifact: str, value: int, method: str, notes: tuple[Note, ...] = ()) -> Figure:
    figure = _count("size_bytes", value, method)
    return figure.model_copy(update={"conditions": {"artifact": artifact}, "notes": notes})
