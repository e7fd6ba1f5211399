"""Energy counters of NVIDIA GPUs: millijoules since the driver was loaded, from Volta on.

Source: NVML API reference, nvmlDeviceGetTotalEnergyConsumption.
"""

from typing import Any

from bench.energy import Component
from bench.errors import MeasurementError
from bench.nvml import open_nvml


class NvmlMeter:
    """All GPUs of the machine together, their memory included.

    Args:
        nvml: Stands in for the module `pynvml`.

    Raises:
        MeasurementError: no driver, no GPU, or one without the counter.
    """

    def __init__(self, nvml: Any = None) -> None:
        self._nvml = open_nvml(nvml)
        n_gpus = self._nvml.nvmlDeviceGetCount()
        if not n_gpus:
            raise MeasurementError("NVML: the driver sees no GPU", "give the container access to the GPU")
        self._handles = [self._nvml.nvmlDeviceGetHandleByIndex(index) for index in range(n_gpus)]
        self._start_mj = self._read()

    def start(self) -> None:
        self._start_mj = self._read()

    def stop(self) -> list[Component]:
        spent_mj = [end - start for start, end in zip(self._start_mj, self._read(), strict=True)]
        if min(spent_mj) < 0:
            raise MeasurementError("NVML: a counter ran backwards", "the driver was reloaded meanwhile: measure again")
        return [Component("gpu", sum(spent_mj) / 1e3, "nvml", "measured", f"{len(self._handles)} GPU, whole board")]

    def _read(self) -> list[int]:
        try:
            return [int(self._nvml.nvmlDeviceGetTotalEnergyConsumption(handle)) for handle in self._handles]
        except self._nvml.NVMLError as error:
            raise MeasurementError(f"NVML: no energy counter: {error}", "it needs a GPU from Volta on") from error
