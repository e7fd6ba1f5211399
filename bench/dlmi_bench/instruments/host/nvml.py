"""NVIDIA's management library, through nvidia-ml-py: which GPUs there are. Absent without a driver."""

from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

from pydantic import JsonValue

from dlmi_bench.errors import MeasurementError, choose_remedy

REMEDY = "install NVIDIA's driver, and give the container access to the GPU"


def open_nvml(nvml: Any = None) -> Any:
    """The initialised library.

    Args:
        nvml: Stands in for the module `pynvml`.

    Raises:
        MeasurementError: there is no driver, or it does not answer.
    """
    if nvml is None:
        try:
            nvml = import_module("pynvml")
        except ImportError as error:
            raise MeasurementError(f"NVML: {error}", choose_remedy(error)) from error
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        raise MeasurementError(f"NVML: {error}", REMEDY) from error
    return nvml


def count_gpus(nvml: Any) -> int:
    """Number of GPUs that the driver sees; some of them may not answer.

    Raises:
        MeasurementError: it does not say.
    """
    try:
        return int(nvml.nvmlDeviceGetCount())
    except nvml.NVMLError as error:
        raise MeasurementError(f"NVML: {error}", REMEDY) from error


def describe_gpus(nvml: Any) -> list[dict[str, JsonValue]]:
    """Name, driver and memory of each GPU; what one does not tell is None, and `absent` has the reason."""
    return [_describe_gpu(nvml, index) for index in range(count_gpus(nvml))]


def _describe_gpu(nvml: Any, index: int) -> dict[str, JsonValue]:
    find = partial(nvml.nvmlDeviceGetHandleByIndex, index)  # fails too, for a GPU that is lost or forbidden
    asks: dict[str, Callable[[], JsonValue]] = {
        "name": lambda: _to_text(nvml.nvmlDeviceGetName(find())),
        "driver": lambda: _to_text(nvml.nvmlSystemGetDriverVersion()),
        "memory_bytes": lambda: int(nvml.nvmlDeviceGetMemoryInfo(find()).total),
    }
    found: dict[str, JsonValue] = {}
    absent: dict[str, JsonValue] = {}
    for name, ask in asks.items():
        try:
            found[name] = ask()
        except nvml.NVMLError as error:
            found[name], absent[name] = None, str(error)
    return found | ({"absent": absent} if absent else {})


def _to_text(name: bytes | str) -> str:
    """Older releases of the library answer in bytes."""
    return name.decode() if isinstance(name, bytes) else name
