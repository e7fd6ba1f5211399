"""What tests use in place of the world: clock and meters that do what they are told, the installed command."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pynvml

from bench.selftest.worlds import FakeClock, Powercap, WattMeter

__all__ = ["Command", "FakeClock", "FakeNvml", "Powercap", "WattMeter", "plant"]


def plant(root: Path, files: dict[str, str]) -> Path:
    """A tree of files, by their path below `root`."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


class FakeNvml:
    """GPUs of known power, as the module `pynvml` shows them.

    Args:
        faults: What does not work: the error code, by what is asked; or codes by the index of the GPU.
    """

    NVMLError = pynvml.NVMLError
    NVML_ERROR_NOT_SUPPORTED = pynvml.NVML_ERROR_NOT_SUPPORTED
    NVML_ERROR_NO_PERMISSION = pynvml.NVML_ERROR_NO_PERMISSION

    def __init__(self, clock: FakeClock, powers_w: Sequence[float], **faults: int | dict[int, int]) -> None:
        self.clock, self.powers_w, self.faults = clock, powers_w, faults

    def nvmlInit(self) -> None:  # noqa: N802 - the library's own names
        self._try("init")

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        self._try("count")
        return len(self.powers_w)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        self._try("handle", index)
        return index

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: int) -> int:  # noqa: N802
        self._try("energy", handle)
        return round(self.powers_w[handle] * self.clock.wall_ns() / 1e6)

    def nvmlSystemGetDriverVersion(self) -> str:  # noqa: N802
        self._try("driver")
        return "580.95"

    def nvmlDeviceGetName(self, handle: int) -> bytes:  # noqa: N802
        self._try("name", handle)
        return f"GPU {handle}".encode()

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> SimpleNamespace:  # noqa: N802
        self._try("memory", handle)
        return SimpleNamespace(total=80 * 2**30)

    def _try(self, call: str, index: int = 0) -> None:
        fault = self.faults.get(call)
        code = fault.get(index) if isinstance(fault, dict) else fault
        if code is not None:
            raise pynvml.NVMLError(code)


class Command:
    """The installed command, run in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.program = str(Path(sys.executable).with_name("dlmi-bench"))

    def __call__(self, *args: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.program, *args],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | environment,
        )

    def json(self, *args: str) -> object:
        done = self(*args, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)
