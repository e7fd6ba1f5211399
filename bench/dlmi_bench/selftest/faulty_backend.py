"""A backend that lies, and one that does not, registered like any other: ONNX Runtime with its scores shifted, or not.

Both take the whole way of a model: written to its files, evaluated on a test split, timed beside what judging kept.
"""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from dlmi_bench.backends import BACKENDS, JUDGED_BACKEND, BackendEntry, Scores, onnxrt
from dlmi_bench.errors import MeasurementError
from dlmi_bench.jobs.evaluation import evaluate
from dlmi_bench.jobs.measurement import run_latency_job
from dlmi_bench.jobs.parity import PARITY
from dlmi_bench.jobs.protocol import LatencyRequest, ModelFiles, OnProgress, Request, scores_role
from dlmi_bench.records import Artifact, Mark, Plain, list_marks
from dlmi_bench.store.artifacts import artifact_path, put_artifact
from dlmi_models import MODELS
from dlmi_tasks import TASKS as MODULES
from dlmi_tasks import get_task
from dlmi_tasks.spec import Arrays, Dataset

OFFSET = np.float32(1e-2)
NAME, TASK, MODEL = "shifted", "simulated", "mlp-64-32"
N_TRAIN, N_TEST, N_VALIDATION = 100, 60, 40
BATCHES = (1, 8)


class Shifted(onnxrt.OnnxRunner):
    def read(self, outputs: Any) -> Scores:
        return super().read(outputs) + OFFSET


def load(path: Path, *, n_threads: int = 1, is_lying: bool) -> onnxrt.OnnxRunner:
    return (Shifted if is_lying else onnxrt.OnnxRunner)(str(path), n_threads=n_threads)


def load_empty(*, n_threads: int = 1, is_lying: bool) -> onnxrt.OnnxRunner:
    return onnxrt.load_empty(n_threads=n_threads)


def load_noise() -> Dataset:
    """Images and labels at random: what is asked is whether two runtimes agree, not whether they are right."""
    rng = np.random.default_rng(0)
    train, test = (
        Arrays(rng.standard_normal((n, 1, 16, 16)).astype(np.float32), rng.integers(0, 10, n))
        for n in (N_TRAIN, N_TEST)
    )
    return Dataset(TASK, "simulation", train, test, is_synthetic=True, note="")


TASKS = {TASK: replace(get_task("usps"), name=TASK, load=load_noise, n_validation=N_VALIDATION)}


class Caught(Plain):
    """Outcome of one network: was the backend called INVALID by the evaluation, and refused by the timing?"""

    is_invalid: bool
    is_refused: bool


class FaultyRequest(Request[tuple[Caught, ...]]):
    """Evaluate and time networks of these seeds on a backend that may be wrong. For a worker of its own."""

    job = "dlmi_bench.selftest.faulty_backend:run_faulty_job"
    is_lying: bool
    seeds: tuple[int, ...]


def run_faulty_job(request: FaultyRequest, on_progress: OnProgress) -> tuple[Caught, ...]:
    """Evaluate and time each network; adds to the registries of its worker."""
    options: dict[str, str | bool] = {"is_lying": request.is_lying}
    BACKENDS[NAME] = BackendEntry(
        "dlmi_bench.selftest.faulty_backend", "onnx", "ONNX Runtime", "onnxruntime", options=options, is_isolated=False
    )
    MODULES[TASK] = "dlmi_bench.selftest.faulty_backend"
    return tuple(_try_network(seed, on_progress) for seed in request.seeds)


def _try_network(seed: int, on_progress: OnProgress) -> Caught:
    task = get_task(TASK)
    with TemporaryDirectory() as folder:
        out = Path(folder)
        artifacts = _write_network(seed, out)
        evaluated = evaluate(artifacts, task.load().split(task.n_validation), task, out, [NAME])
        figures = [f for f in evaluated.figures if f.name in PARITY and f.conditions.get("backend") == NAME]
        if len(figures) != len(PARITY):
            raise MeasurementError(f"judging gave {len(figures)} figures of parity", "see dlmi_bench.jobs.evaluation")
        kept = {artifact.role: str(artifact_path(out, artifact)) for artifact in evaluated.artifacts}
        inputs, scores = out / "inputs.npy", kept[scores_role(JUDGED_BACKEND)]
        files = ModelFiles(path=str(artifact_path(out, artifacts["onnx"])), inputs=str(inputs), scores=scores)
        np.save(inputs, task.load().split(task.n_validation).validation.images[: max(BATCHES)], allow_pickle=False)
        # Held against what was honestly evaluated: a program that has changed since.
        is_refused = _is_refused(files, on_progress)
    is_invalid = all(Mark.INVALID in list_marks(figure) for figure in figures)
    return Caught(is_invalid=is_invalid, is_refused=is_refused)


def _write_network(seed: int, out: Path) -> dict[str, Artifact]:
    """A network of random weights, as trainings write theirs."""
    import torch

    from dlmi_bench.backends.export import write_onnx, write_torch

    torch.manual_seed(seed)
    network = MODELS[MODEL].build(get_task(TASK).input_shape, get_task(TASK).n_classes)
    weights, program = out / "weights", out / "program"
    write_torch(network, MODEL, get_task(TASK).input_shape, weights)
    write_onnx(network, get_task(TASK).input_shape, program)
    return {
        "torch": put_artifact(out, "torch", weights.read_bytes(), ".safetensors"),
        "onnx": put_artifact(out, "onnx", program.read_bytes(), ".onnx"),
    }


def _is_refused(files: ModelFiles, on_progress: OnProgress) -> bool:
    """Ask the job that times the files; True where it refuses to report."""
    request = LatencyRequest(
        backend=NAME,
        batches=BATCHES,
        n_rounds=2,
        n_threads=1,
        order_seed=0,
        n_calls={},
        models={MODEL: files},
    )
    answer = run_latency_job(request, on_progress)
    return "outputs of the timed run" in "".join(answer.wrong.get(MODEL, ()))
