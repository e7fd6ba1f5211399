"""What tests use in place of the world: clock and meters that do what they are told, the installed command."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import jsonschema
import numpy as np
import pynvml
import pytest
from onnx import TensorProto, helper, numpy_helper

from dlmi_bench.cli.schemas import make_schema
from dlmi_bench.selftest.fakes import FakeClock, Powercap, WattMeter

__all__ = [
    "PRODUCT",
    "Command",
    "FakeClock",
    "FakeNvml",
    "Powercap",
    "WattMeter",
    "check_answer",
    "plant",
    "write_product",
]

PRODUCT = np.linspace(-1, 1, 24, dtype=np.float32).reshape(6, 4)


def plant(root: Path, files: dict[str, str]) -> Path:
    """A tree of files, by their path below `root`."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def write_product(
    path: Path, *, batch: int | str = "batch", external: str = "", opset: int = 20, last: str = "", kind: str = "FLOAT"
) -> Path:
    """An ONNX file of y = x W, W being PRODUCT.

    Args:
        batch: A number is a fixed batch, which an operator then holds as a constant, as exporters write it.
        external: Where the weights are said to be.
        last: An operator of nobody's that is applied to the product.
        kind: Type of x, which is cast to float.
    """
    weights = numpy_helper.from_array(PRODUCT, "w")
    if external:
        weights.ClearField("raw_data")
        weights.data_location = TensorProto.EXTERNAL
        weights.external_data.add(key="location", value=external)
    shape = numpy_helper.from_array(np.array([batch if isinstance(batch, int) else -1, 6]), "shape")
    nodes = [
        helper.make_node("Cast", ["x"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["floats", "shape"], ["rows"]),
        helper.make_node("MatMul", ["rows", "w"], ["product" if last else "y"]),
        *([helper.make_node(last, ["product"], ["y"], domain="nobody")] if last else []),
    ]
    x = helper.make_tensor_value_info("x", getattr(TensorProto, kind), [batch, 6])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, 4])
    graph = helper.make_graph(nodes, "g", [x], [y], [weights, shape])
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("nobody", 1)]
    path.write_bytes(helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString())
    return path


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


def check_answer(command: str, text: str) -> object:
    """What a command printed with --json, once it fits the schema that is published for it."""
    answer = json.loads(text, parse_constant=pytest.fail)
    jsonschema.validate(answer, make_schema(command), jsonschema.Draft202012Validator)
    return answer


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
            encoding="utf-8",
            check=False,
            env=os.environ | environment,
        )

    def json(self, *args: str) -> object:
        done = self(*args, "--json")
        assert done.returncode == 0, done.stderr
        words = args[:2] if args[0] == "baseline" or args[:2] == ("claims", "lock") else args[:1]
        return check_answer("run-dry-run" if "--dry-run" in args else "-".join(words), done.stdout)
