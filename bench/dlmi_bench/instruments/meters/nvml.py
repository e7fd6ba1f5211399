"""Energy counters of NVIDIA GPUs: millijoules since the driver was loaded, from Volta on.

Source: NVML API reference, nvmlDeviceGetTotalEnergyConsumption.
"""

from typing import Any

from dlmi_bench.errors import MeasurementError
from dlmi_bench.instruments.energy import Component
from dlmi_bench.instruments.host.nvml import count_gpus, open_nvml

# Boards renew their power reading every 20 to 100 ms (arXiv 2312.02741, table 1); the counter is taken for no faster.
TICK_S = 0.1


class NvmlMeter:
    """Meter of all GPUs whose counters answer, added up, with their memory.

    Args:
        nvml: Stands in for the module `pynvml`.

    Raises:
        MeasurementError: no driver, no GPU, or none with a counter.
    """

    def __init__(self, nvml: Any = None) -> None:
        self._nvml = open_nvml(nvml)
        self._handles: list[Any] = []
        refusals: dict[int, Exception] = {}
        for index in range(count_gpus(self._nvml)):
            try:
                handle = self._nvml.nvmlDeviceGetHandleByIndex(index)
                self._nvml.nvmlDeviceGetTotalEnergyConsumption(handle)
                self._handles.append(handle)
            except self._nvml.NVMLError as error:
                refusals[index] = error
        if not self._handles:
            raise self._refuse(refusals)
        silent = ", ".join(f"GPU {index} ({error})" for index, error in refusals.items())
        self._scope = f"{len(self._handles)} GPU, whole board" + (f"; without {silent}" if silent else "")
        self._start_mj = self._read()

    def start(self) -> None:
        self._start_mj = self._read()

    def stop(self) -> list[Component]:
        spent_mj = [end - start for start, end in zip(self._start_mj, self._read(), strict=True)]
        if min(spent_mj) < 0:
            raise MeasurementError("NVML: a counter ran backwards", "the driver was reloaded meanwhile: measure again")
        return [Component("gpu", sum(spent_mj) / 1e3, "nvml", "measured", self._scope, TICK_S)]

    def _read(self) -> list[int]:
        try:
            return [int(self._nvml.nvmlDeviceGetTotalEnergyConsumption(handle)) for handle in self._handles]
        except self._nvml.NVMLError as error:
            raise self._refuse({0: error}) from error

    def _refuse(self, refusals: dict[int, Exception]) -> MeasurementError:
        """Make the error, with a remedy for the code that the library gives."""
        if not refusals:
            return MeasurementError("NVML: the driver sees no GPU", "give the container access to the GPU")
        error: Any = next(iter(refusals.values()))
        remedies = {
            self._nvml.NVML_ERROR_NOT_SUPPORTED: "it needs a whole GPU from Volta on, neither a vGPU nor a MIG slice",
            self._nvml.NVML_ERROR_NO_PERMISSION: "run as a user who may read the GPU (ls -l /dev/nvidia*)",
        }
        remedy = remedies.get(error.value, "see what `nvidia-smi` says of the GPU; a lost one needs a restart")
        return MeasurementError(f"NVML: no energy counter: {error}", remedy)
