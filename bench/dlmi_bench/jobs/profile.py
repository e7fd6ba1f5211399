"""The jobs behind a profile, as they run in workers: a user's model prepared once, then each runtime on its own.

The model is the user's and may do anything, crash included; it runs here and nowhere else.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dlmi_bench.backends import BACKENDS, BackendEntry, Batch, Runner, Scores, predict
from dlmi_bench.backends.examples import Examples
from dlmi_bench.errors import BenchError, DataError, MeasurementError, describe_export_error
from dlmi_bench.files import parsing
from dlmi_bench.instruments.clock import Stopwatch
from dlmi_bench.instruments.host.neighbours import NeighbourWatch
from dlmi_bench.instruments.latency import Plan, measure_latency
from dlmi_bench.instruments.memory import make_memory_figures
from dlmi_bench.instruments.onnx.faults import graph_faults
from dlmi_bench.instruments.onnx.loading import load_graph
from dlmi_bench.instruments.onnx.ports import read_signature
from dlmi_bench.instruments.pinning import CpuHopper
from dlmi_bench.jobs.inputs import describe_draws, draw_examples, load_examples, read_examples, save_examples
from dlmi_bench.jobs.measurement import check_outputs, make_empty_input, measure_memory
from dlmi_bench.jobs.parity import PARITY, Answer, make_parity
from dlmi_bench.jobs.profile_protocol import (
    CallsRequest,
    LoadAnswer,
    LoadRequest,
    PrepareAnswer,
    PrepareRequest,
    RoundsAnswer,
    RoundsRequest,
)
from dlmi_bench.jobs.protocol import EMPTY, OnProgress, Refusal
from dlmi_bench.jobs.reference import Reference, compute_file_reference, compute_network_reference, to_rows
from dlmi_bench.jobs.subject import Subject, build, register
from dlmi_bench.records import Conditions, Figure, unavailable

GIVEN = "given by the user"  # in the place of what random inputs were drawn from
FAULTS = ("the runtime does not run the model", "check the model, its --input and --batch")


def run_prepare_job(request: PrepareRequest, on_progress: OnProgress) -> PrepareAnswer:
    """Write random inputs, what the answers to them are compared with, and every artifact that can be made.

    Raises:
        UsageError, DataError: the model does not take inputs of this shape, or its answers are no scores.
    """
    subject, folder = request.subject, Path(request.folder)
    images = _draw_images(subject, request.n_examples)
    paths, makers = {"images": str(save_examples(images, folder))}, dict[str, Callable[[Path], object]]()
    if subject.kind == "file":
        reference = compute_file_reference(Path(subject.name), images, **subject.choices)
        paths["onnx"] = subject.name
    else:
        assert isinstance(images, np.ndarray)
        network = build(subject).eval()
        if subject.kind == "model":
            _fit_normalisation(network, images)
        reference = compute_network_reference(subject, network, images)
        makers |= _list_makers(subject, network)
    makers["onnx-int8"] = lambda path: _write_int8(paths, images, reference, path, **subject.choices)
    paths |= reference.save(folder)
    missing = {name: BACKENDS[name].find_missing() for name in request.backends}
    roles = {BACKENDS[name].artifact_role for name, lack in missing.items() if not lack}
    if "onnx-int8" in roles:
        roles.add("onnx")  # it is made from that one
    errors: dict[str, Refusal] = {}
    for role, make in makers.items():
        if role not in roles:
            continue
        on_progress(f"exporting {role}", 0.0)
        try:
            make(folder / role)
            paths[role] = str(folder / role)
        except Exception as error:  # noqa: BLE001 - whatever an exporter raises is the reason of its rows
            errors[role] = _explain(role, error)
    return PrepareAnswer(paths=paths, errors=errors, missing=missing)


def _draw_images(subject: Subject, n: int) -> Examples:
    """The user's examples, from the first on, again and again; else random ones, for a file of its types."""
    if subject.examples:
        examples = read_examples(Path(subject.examples))
        return examples[np.arange(n) % len(examples)]
    types, shapes = {"": "float32"}, {"": subject.input_shape}
    if subject.kind == "file":
        with graph_faults(subject.name):
            signature = read_signature(load_graph(Path(subject.name), is_whole=False), **subject.choices)
        types, shapes = signature.types, subject.name_shapes(signature)
    return draw_examples(types, shapes, n)


def _fit_normalisation(network: Any, images: Batch) -> None:
    """Give a fresh network the statistics of these images, as training would have done.

    Without them activations fade from layer to layer, and runtimes are compared on scores that hardly differ. Networks
    of the user's may be trained; they stay as they are.
    """
    import torch
    from torch.nn.modules.batchnorm import _BatchNorm

    layers = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    for layer in layers:
        layer.momentum = None  # plain averages
        layer.train()
    with torch.no_grad():
        network(torch.from_numpy(images))
    network.eval()


def _explain(role: str, error: Exception) -> Refusal:
    if isinstance(error, BenchError):
        return error.cause, error.remedy
    return f"does not export ({role}): {describe_export_error(error)}", "use operators that the exporter knows"


def _list_makers(subject: Subject, network: Any) -> dict[str, Callable[[Path], object]]:
    from dlmi_bench.backends.export import write_onnx, write_torch

    n_classes = subject.n_classes
    return {
        "torch": lambda path: write_torch(network, subject.name, subject.input_shape, path, n_classes=n_classes),
        "onnx": lambda path: write_onnx(network, subject.input_shape, path),
    }


def _write_int8(paths: dict[str, str], images: Examples, reference: Reference, path: Path, **choices: Any) -> None:
    """Calibrated on the random inputs: the times are those of a calibrated model, the errors are not."""
    from dlmi_bench.backends.quantization import write_int8

    if "onnx" not in paths:
        raise DataError("it is made from the ONNX file, which could not be exported", "see the row of onnxruntime")
    if reference.eager is not None and not np.isfinite(reference.eager).all():
        raise DataError("the scores in float32 are not finite, so they have no range", "check weights and input range")
    write_int8(Path(paths["onnx"]), images, path, **choices)


@dataclass(frozen=True)
class LoadedRuntime:
    """A runtime loaded in this process, its scores, and its calls by batch; `share` is that of `compute_share`."""

    entry: BackendEntry
    runner: Runner
    empty: Runner
    scores: Scores
    calls: dict[str, Callable[[], object]]
    share: float = 0.0


_LOADED: list[LoadedRuntime] = []  # the one that this worker is for


@parsing(*FAULTS)
def run_load_job(request: LoadRequest, _: OnProgress) -> LoadAnswer:
    """Load one runtime, alone on its CPU while others load too. The first job of a fresh worker.

    Raises:
        MeasurementError: scores that are not finite.
        DataError: the runtime does not load or run the model.
    """
    register(request.subject)
    entry, paths, batches = BACKENDS[request.backend], request.paths, request.batches
    images, share = load_examples(paths["images"]), float(Path(paths["tolerance"]).read_text(encoding="utf-8"))
    threads = {"n_threads": request.n_threads}
    CpuHopper([request.cpu] if request.cpu is not None else None, **threads)(0)
    loading, empty = Stopwatch(), entry.load_empty(**threads)
    artifact, choices = Path(paths["artifact"]), request.subject.choices | threads
    runner, peaks = measure_memory(entry, artifact, images[: batches[0]], empty, loading=loading, **choices)
    conditions = {"backend": request.backend, **runner.conditions}
    if said := GIVEN if request.subject.examples else describe_draws(images):
        conditions["inputs"] = said
    scores = _answer(runner, images, batches[0])
    figures: list[Figure] = []
    if request.is_first:
        figures = make_memory_figures(peaks, conditions | {"batch": batches[0]})
        figures += _compare(scores, paths, conditions)
    calls = {EMPTY: empty.prepare(make_empty_input(images))}
    calls |= {str(batch): runner.prepare(images[:batch]) for batch in batches}
    with empty.active():
        for call in calls.values():
            call()  # what is compiled at a call is compiled now
    _LOADED[:] = [LoadedRuntime(entry, runner, empty, scores, calls, share)]
    return LoadAnswer(figures=tuple(figures), conditions=dict(conditions), load_s=loading.total_s)


@parsing(*FAULTS)
def run_rounds_job(request: RoundsRequest, _: OnProgress) -> RoundsAnswer:
    """Time what was loaded, alone on the machine.

    Raises:
        MeasurementError: the timed calls answer otherwise than before.
    """
    (loaded,), hopper = (
        _LOADED,
        CpuHopper(request.cpus, n_threads=request.n_threads),
    )  # not its own: it was pinned to load
    plan = Plan(request.n_rounds, request.order_seed, request.n_calls, singles=[request.single])
    outputs: dict[str, object] = {}
    with loaded.empty.active():
        watch = NeighbourWatch()
        traces = measure_latency(loaded.calls, plan, clock=loaded.entry.make_clock(), pin=hopper, outputs=outputs)
        neighbours = watch.read()
    del outputs[EMPTY]
    for batch, made in outputs.items():
        scores = loaded.runner.read(made).reshape(int(batch), -1)
        check_outputs(scores, loaded.scores[: int(batch)], f"batch {batch}", share=loaded.share)
    return RoundsAnswer(traces=traces, neighbours=neighbours, is_pinned=hopper.is_pinned)


@parsing(*FAULTS)
def run_calls_job(request: CallsRequest, _: OnProgress) -> None:
    """Make calls of the loaded runtime: work for the parent's energy meter."""
    (loaded,) = _LOADED
    call = loaded.calls[str(request.batch)]
    with loaded.runner.active():
        for _repeat in range(request.n_calls):
            call()


def _answer(runner: Runner, images: Examples, batch: int) -> Scores:
    scores = to_rows("the runtime", predict(runner, images, batch), len(images))
    if not np.isfinite(scores).all():
        raise MeasurementError(
            f"{(~np.isfinite(scores)).sum()} of {scores.size} scores are not finite (NaN or infinite)",
            "check weights and input range; the cost of such a program is not that of the model",
        )
    return scores


def _compare(scores: Scores, paths: dict[str, str], conditions: Conditions) -> list[Figure]:
    if reason := Path(paths["no_reference"]).read_text(encoding="utf-8"):
        return [unavailable(name, reason, backend=conditions["backend"]) for name in PARITY]
    eager, reference = (np.load(paths[name], allow_pickle=False) for name in ("eager", "reference"))
    answer = Answer(str(conditions["backend"]), scores[:0], scores, conditions)
    share = float(Path(paths["tolerance"]).read_text(encoding="utf-8"))
    source = "given inputs" if conditions.get("inputs") == GIVEN else "random inputs"
    return make_parity(answer, reference, eager, source=source, share=share)
