"""Requirements of runtimes. Each function returns what this machine lacks, empty if nothing."""

from functools import cache, partial

from dlmi_bench.extras import find_missing
from dlmi_bench.instruments.host.provenance import describe_compiler, find_compiler


def find_nothing() -> str:
    return ""


find_missing_torch = partial(find_missing, "torch")


def find_missing_compiler() -> str:
    if missing := find_missing_torch():
        return missing
    if describe_compiler():
        return ""
    return f"no C++ compiler ({find_compiler()} does not run); install one or set CXX"


@cache
def find_missing_cuda() -> str:
    if missing := find_missing_torch():
        return missing
    import torch

    if not torch.backends.cuda.is_built():
        return "this build of torch has no CUDA"
    return "" if torch.cuda.is_available() else "no CUDA device"


@cache
def find_missing_onnxruntime_cuda() -> str:
    """The device, then the provider, which is in the package onnxruntime-gpu only."""
    import onnxruntime

    if missing := find_missing_cuda():
        return missing
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        return "this build of onnxruntime has no CUDA; install onnxruntime-gpu in its place"
    return ""


find_missing_openvino = partial(find_missing, "openvino")


@cache
def find_missing_bfloat16() -> str:
    """OpenVINO accepts the hint anywhere, but only some processors compute in bfloat16."""
    if missing := find_missing_openvino():
        return missing
    from dlmi_bench.backends.openvino import openvino

    capabilities = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return "" if "BF16" in capabilities else "this processor does not compute in bfloat16"
