"""Size of a file of weights, without writing it."""

import json
from collections.abc import Mapping

import torch
from torch import Tensor

ALIGNMENT = 8  # of the header
# Names in the header, in the order in which the format sorts them, last first.
TYPES = {
    torch.bool: "BOOL",
    torch.uint8: "U8",
    torch.int8: "I8",
    torch.int16: "I16",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int32: "I32",
    torch.float32: "F32",
    torch.float64: "F64",
    torch.int64: "I64",
}


def compute_safetensors_bytes(weights: Mapping[str, Tensor], metadata: Mapping[str, str]) -> int:
    """Compute the size of the safetensors file of these weights: length, header and tensors.

    Source: the format's description, https://huggingface.co/docs/safetensors.
    """
    order, end = list(TYPES), 0
    header: dict[str, object] = {"__metadata__": dict(metadata)}
    for name in sorted(weights, key=lambda name: (-order.index(weights[name].dtype), name)):
        begin, end = end, end + weights[name].nbytes
        shape = list(weights[name].shape)
        header[name] = {"dtype": TYPES[weights[name].dtype], "shape": shape, "data_offsets": [begin, end]}
    n_header = len(json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode())
    return 8 + n_header + -n_header % ALIGNMENT + end
