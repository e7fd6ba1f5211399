"""The jobs behind a profile, as they run in workers: a user's model prepared once, then each runtime on its own.

The model is the user's and may do anything, crash included; it runs here and nowhere else.
"""

import copy
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from bench.backends import BACKENDS, Batch, Runner, predict
from bench.clock import Stopwatch
from bench.energy import measure_energy
from bench.errors import BenchError, DataError, MeasurementError, UsageError
from bench.executors import OnProgress
from bench.figures import make_energy_figures
from bench.latency import CpuHopper, Plan, measure_latency
from bench.meters import energy_meter
from bench.parity import Answer, make_parity
from bench.profiling import EMPTY, make_memory_figures, measure_memory
from bench.records import Conditions, Figure
from bench.subject import Subject, build, register

INPUT_SEED = 0
# Examples that the runtimes are compared on; more where a batch is larger.
N_EXAMPLES = 16


def run_prepare_job(payload: dict[str, Any], on_progress: OnProgress) -> JsonValue:
    """Payload: `subject`, `folder`, `n_examples`, `backends`. For a fresh worker.

    Writes random inputs, what eager answers to them in float32 and float64, and every artifact that can be made.
    Returns the paths by role, cause and remedy by role of those that cannot, and what each backend lacks here.

    Raises:
        UsageError: the model does not take inputs of this shape, or answers with something else than a tensor.
    """
    subject, folder = Subject.model_validate(payload["subject"]), Path(payload["folder"])
    shape = (payload["n_examples"], *subject.input_shape)
    images = np.random.default_rng(INPUT_SEED).standard_normal(shape).astype(np.float32)
    makers: dict[str, Callable[[Path], object]]
    if subject.kind == "file":
        eager = _ask_file(Path(subject.name), images)
        reference, paths, makers = eager.astype(np.float64), {"onnx": subject.name}, {}
    else:
        network = build(subject).eval()
        eager, reference = _ask_network(subject, network, images)
        paths, makers = {}, _list_makers(subject, network)
    makers["onnx-int8"] = lambda path: _write_int8(paths, images, path)
    for name, array in (("images", images), ("eager", eager), ("reference", reference)):
        paths[name] = str(folder / f"{name}.npy")
        np.save(paths[name], array, allow_pickle=False)
    missing: dict[str, JsonValue] = {name: BACKENDS[name].find_missing() for name in payload["backends"]}
    roles = {BACKENDS[name].artifact_role for name, lack in missing.items() if not lack}
    if "onnx-int8" in roles:
        roles.add("onnx")  # it is made from that one
    errors: dict[str, JsonValue] = {}
    for role, make in makers.items():
        if role not in roles:
            continue
        on_progress(f"exporting {role}", 0.0)
        try:
            make(folder / role)
            paths[role] = str(folder / role)
        except Exception as error:  # noqa: BLE001 - whatever an exporter raises is the reason of its rows
            errors[role] = _explain(role, error)
    return {"paths": dict(paths), "errors": errors, "missing": missing}


def _explain(role: str, error: Exception) -> JsonValue:
    if isinstance(error, BenchError):
        return [error.cause, error.remedy]
    error = error.__cause__ if isinstance(error.__cause__, Exception) else error  # the exporter's own text is advice
    first = next((line for line in str(error).splitlines() if line.strip()), "")
    return [f"does not export ({role}): {type(error).__name__}: {first[:200]}", "use operators that the exporter knows"]


def _list_makers(subject: Subject, network: Any) -> dict[str, Callable[[Path], object]]:
    from bench.backends.export import write_onnx, write_torch

    return {
        "torch": lambda path: write_torch(network, subject.name, path),
        "onnx": lambda path: write_onnx(network, subject.input_shape, path),
    }


def _write_int8(paths: dict[str, str], images: Batch, path: Path) -> None:
    """Calibrated on the random inputs: the times are those of a calibrated model, the errors are not."""
    from bench.backends.quantization import write_int8

    if "onnx" not in paths:
        raise DataError("it is made from the ONNX file, which could not be exported", "see the row of onnxruntime")
    write_int8(Path(paths["onnx"]), images, path)


def _ask_network(subject: Subject, network: Any, images: Batch) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """What eager answers in float32 and in float64, (n, score)."""
    import torch

    inputs = torch.from_numpy(images)
    try:
        with torch.inference_mode():
            scores, exact = network(inputs), copy.deepcopy(network).double()(inputs.double())
    except Exception as error:
        shown = ",".join(map(str, images.shape))
        raise UsageError(
            f"{subject.name} does not take inputs of {shown}: {type(error).__name__}: {error}",
            "name the shape that it takes with --input, batch first",
        ) from error
    if not isinstance(scores, torch.Tensor) or scores.ndim < 2 or len(scores) != len(images):
        made = f"{tuple(scores.shape)}" if isinstance(scores, torch.Tensor) else type(scores).__name__
        raise UsageError(f"{subject.name} answers with {made}, not with a row of scores for each example", "wrap it")
    return scores.flatten(1).numpy(), exact.flatten(1).numpy()


def _ask_file(path: Path, images: Batch) -> NDArray[np.float32]:
    """What onnx's own evaluator answers, which shares no code with the runtimes."""
    from onnx.reference import ReferenceEvaluator

    from bench.graph import load_graph

    load_graph(path, is_whole=False)  # checked before anything reads its weights
    evaluator = ReferenceEvaluator(str(path))
    name = evaluator.input_names[0]
    try:
        scores = np.asarray(evaluator.run(None, {name: images})[0])  # type: ignore[index]
    except Exception as error:
        shown = ",".join(map(str, images.shape))
        raise DataError(
            f"{path} does not take inputs of {shown}: {type(error).__name__}: {error}", "name its shape with --input"
        ) from error
    return scores.reshape(len(images), -1)


def run_row_job(payload: dict[str, Any], on_progress: OnProgress) -> JsonValue:
    """One process of one runtime. For a fresh worker.

    Payload: `subject`, `backend`, `paths` (of its `artifact`, `images`, `eager`, `reference`), `batches`, `n_rounds`,
    `order_seed`, `n_calls` (empty in the first process), `energy_window_s`. The first process also measures memory,
    parity and energy. Returns traces by batch, figures, conditions, whether the process was pinned,
    and the time from the file to the first answer.

    Raises:
        MeasurementError: scores that are not finite.
    """
    register(Subject.model_validate(payload["subject"]))
    entry, paths = BACKENDS[payload["backend"]], payload["paths"]
    images = np.load(paths["images"], allow_pickle=False)
    is_first = not payload["n_calls"]
    hopper = CpuHopper()
    hopper(0)
    loading = Stopwatch()
    runner, peaks = measure_memory(entry, Path(paths["artifact"]), images[:1], loading=loading)
    empty = entry.load_empty()
    conditions = {"backend": payload["backend"], **runner.conditions}
    figures = []
    if is_first:
        figures = make_memory_figures(peaks, conditions | {"batch": 1}) + _compare(runner, images, paths, conditions)
    calls = {EMPTY: empty.prepare(images[:1].reshape(1, 1, 1, -1))}
    calls |= {str(batch): runner.prepare(images[:batch]) for batch in payload["batches"]}
    plan = Plan(n_rounds=payload["n_rounds"], order_seed=payload["order_seed"], n_calls=payload["n_calls"])
    with empty.active():
        traces = measure_latency(calls, plan, pin=hopper)
    if is_first and payload["energy_window_s"]:
        with runner.active():
            figures += _measure_energy(calls[str(payload["batches"][0])], payload, traces)
    return {
        "figures": [figure.model_dump(mode="json") for figure in figures],
        "traces": {name: asdict(trace) for name, trace in traces.items()},
        "conditions": dict(conditions),
        "is_pinned": hopper.is_pinned,
        "load_s": loading.total_s,
    }


def _compare(runner: Runner, images: Batch, paths: dict[str, str], conditions: Conditions) -> list[Figure]:
    scores = predict(runner, images).reshape(len(images), -1)
    if not np.isfinite(scores).all():
        raise MeasurementError(
            f"{(~np.isfinite(scores)).sum()} of {scores.size} scores are not finite (NaN or infinite)",
            "check weights and input range; the cost of such a program is not that of the model",
        )
    eager, reference = (np.load(paths[name], allow_pickle=False) for name in ("eager", "reference"))
    answer = Answer(str(conditions["backend"]), scores[:0], scores, conditions)
    return make_parity(answer, reference, eager, source="random inputs")


def _measure_energy(call: Callable[[], object], payload: dict[str, Any], traces: Any) -> list[Figure]:
    """Energy of one block of calls, as many as are timed together."""
    n_calls = traces[str(payload["batches"][0])].n_calls

    def work() -> None:
        for _ in range(n_calls):
            call()

    sample = measure_energy(work, energy_meter(), min_window_s=payload["energy_window_s"])
    conditions = {"backend": payload["backend"], "batch": payload["batches"][0], "n_inferences": n_calls}
    return make_energy_figures("inference_energy_j", sample, **conditions)
