"""Images on simulated cores, in processes of their own."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from dlmi_bench.errors import MeasurementError
from dlmi_bench.files import write_text
from dlmi_bench.firmware.image import Image, check_tools
from dlmi_bench.firmware.net import Integers
from dlmi_bench.instruments.pinning import list_cpus
from dlmi_bench.search_path import protect_child

N_COUNTED = 5  # examples whose instructions are counted, which takes up to a second for each
MAX_PROCESSES = 4  # at a time, one for each CPU
SHARE = 100  # examples of a process at least: it takes as long to start as a CNN takes for so many
TIMEOUT_S = 600


@dataclass(frozen=True)
class Simulation:
    """Answers of an image to examples, and what was seen meanwhile.

    Attributes:
        scores: (n, class).
        classes: (n,), as the image returns them.
        boots: Whether it answers alike from a reset on.
        stack_bytes: Deepest stack.
        instructions: Mean of the first N_COUNTED examples, by function.
    """

    scores: Integers
    classes: Integers
    boots: bool
    stack_bytes: int
    instructions: dict[str, float]

    @property
    def n_instructions(self) -> float:
        return sum(self.instructions.values())


def simulate(image: Image, codes: NDArray[np.int8], n_classes: int) -> Simulation:
    """Run an image on examples (n, inputs).

    Raises:
        UnavailableError: the simulator is not installed.
        MeasurementError: the image does something that the core cannot, or does not end.
    """
    check_tools()
    n_parts = max(1, min(len(list_cpus()), MAX_PROCESSES, len(codes) // SHARE))
    n_counted = min(N_COUNTED, len(codes))

    def run_part(i: int) -> Simulation:
        return _simulate_part(image, codes[i::n_parts], n_classes, len(range(i, n_counted, n_parts)))

    with ThreadPoolExecutor(n_parts) as pool:
        parts = [*pool.map(run_part, range(n_parts))]
    scores, classes = np.empty((len(codes), n_classes), np.int64), np.empty(len(codes), np.int64)
    for i, part in enumerate(parts):
        scores[i::n_parts], classes[i::n_parts] = part.scores, part.classes
    names = sorted({name for part in parts for name in part.instructions})
    return Simulation(
        scores,
        classes,
        all(part.boots for part in parts),
        max(part.stack_bytes for part in parts),
        {name: sum(part.instructions.get(name, 0) for part in parts) / n_counted for name in names},
    )


def _simulate_part(image: Image, codes: NDArray[np.int8], n_classes: int, n_counted: int) -> Simulation:
    """Run an image in one process; instructions are those of the first `n_counted` examples together."""
    target = image.target
    request = {
        **{name: getattr(target, name) for name in ("machine", "flash_origin", "ram_origin", "ram_bytes")},
        "symbols": image.symbols,
        "functions": image.functions,
        "static": image.sizes.static_bytes,
        "n_classes": n_classes,
        "n_counted": n_counted,
    }
    with TemporaryDirectory(prefix="dlmi-bench-") as name:
        folder = Path(name)
        write_text(folder / "request.json", json.dumps(request))
        (folder / "flash.bin").write_bytes(image.content)
        np.save(folder / "inputs.npy", codes, allow_pickle=False)
        _run(folder)
        seen = json.loads((folder / "seen.json").read_text("utf-8"))
        scores, classes = (np.load(folder / f"{part}.npy", allow_pickle=False) for part in ("scores", "classes"))
    return Simulation(scores.astype(np.int64), classes, seen["boots"], seen["deepest"], seen["instructions"])


def _run(folder: Path) -> None:
    environment = dict(os.environ)
    protect_child(environment)
    command = (sys.executable, "-P", "-m", "dlmi_bench.firmware.machine", str(folder))
    remedy = "report this with the ONNX file"
    try:
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise MeasurementError(f"the image did not end within {TIMEOUT_S} s in the simulator", remedy) from error
    if done.returncode:
        said = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise MeasurementError(f"the simulator fails: {said[:300]}", remedy)
