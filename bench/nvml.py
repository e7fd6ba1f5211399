"""NVIDIA's management library, through nvidia-ml-py: which GPUs there are. Absent without a driver."""

from importlib import import_module
from typing import Any

from pydantic import JsonValue

from bench.errors import MeasurementError

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
            raise MeasurementError(f"NVML: {error}", "install nvidia-ml-py") from error
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        raise MeasurementError(f"NVML: {error}", REMEDY) from error
    return nvml


def describe_gpus(nvml: Any) -> list[dict[str, JsonValue]]:
    """Name, driver and memory of each GPU."""
    driver = _to_text(nvml.nvmlSystemGetDriverVersion())
    handles = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
    return [
        {
            "name": _to_text(nvml.nvmlDeviceGetName(handle)),
            "driver": driver,
            "memory_bytes": int(nvml.nvmlDeviceGetMemoryInfo(handle).total),
        }
        for handle in handles
    ]


def _to_text(name: bytes | str) -> str:
    """Older releases of the library answer in bytes."""
    return name.decode() if isinstance(name, bytes) else name
