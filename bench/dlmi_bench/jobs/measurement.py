"""The cells that measure a trained artifact, as they run in a worker."""

from pathlib import Path
from typing import Any

import numpy as np

from dlmi_bench.backends import BACKENDS, BackendEntry, Batch, Runner, Scores
from dlmi_bench.backends.examples import Examples, NamedArrays
from dlmi_bench.errors import MeasurementError
from dlmi_bench.instruments.clock import Stopwatch
from dlmi_bench.instruments.energy import measure_energy
from dlmi_bench.instruments.energy_figures import make_energy_figures
from dlmi_bench.instruments.host.neighbours import NeighbourWatch
from dlmi_bench.instruments.latency import Plan, measure_latency
from dlmi_bench.instruments.memory import (
    PeakMemory,
    find_cuda,
    make_memory_figures,
    measure_peak_device_memory,
    measure_peak_memory,
)
from dlmi_bench.instruments.meters import energy_meter, idle_baseline
from dlmi_bench.instruments.pinning import CpuHopper
from dlmi_bench.instruments.roofline import Peak
from dlmi_bench.jobs.inputs import load_examples
from dlmi_bench.jobs.parity import compute_share, compute_tolerance
from dlmi_bench.jobs.peaks import measure_peaks
from dlmi_bench.jobs.protocol import (
    EMPTY,
    EnergyRequest,
    LatencyAnswer,
    LatencyRequest,
    MemoryRequest,
    OnProgress,
    PeaksRequest,
    ReferencesRequest,
    Refusal,
)
from dlmi_bench.records import Figure
from dlmi_tasks import get_task

N_INFERENCES = 1000


def run_references_job(request: ReferencesRequest, _: OnProgress) -> tuple[Figure, ...]:
    """Compute the figures of a task that need the data only."""
    task = get_task(request.task)
    assert task.references is not None
    return tuple(task.references(task.load()))


def run_memory_job(request: MemoryRequest, _: OnProgress) -> tuple[Figure, ...]:
    """Read the peak memory of one artifact. For a fresh worker."""
    entry = BACKENDS[request.backend]
    batch = np.zeros((1, *request.input_shape), np.float32)
    runner, peaks = measure_memory(entry, Path(request.path), batch, entry.load_empty())
    conditions = {"backend": request.backend, "batch": 1, **runner.conditions}
    return tuple(make_memory_figures(peaks, conditions))


def make_empty_input(examples: Examples) -> Batch:
    """Input of the emptiest program: the values of the first example, of all its inputs, in float32."""
    arrays = examples.arrays.values() if isinstance(examples, NamedArrays) else [examples]
    return np.concatenate([array[:1].astype(np.float32).reshape(1, 1, 1, -1) for array in arrays], axis=-1)


def measure_memory(
    entry: BackendEntry, path: Path, batch: Examples, empty: Runner, *, loading: Stopwatch | None = None, **choices: Any
) -> tuple[Runner, dict[str, PeakMemory | None]]:
    """Load an artifact and run one batch; peaks of the host, and of the device where the runtime computes on one.

    A program that is not in the compiler's cache is compiled meanwhile, so its peak is the compiler's: a process before
    this one should have filled the cache.

    Args:
        empty: The runtime's own, which runs first: the runtime itself is in memory before the mark is reset.
        loading: Adds up the time from the file to the first answer.
        choices: See `BackendEntry.load`.
    """
    loading = loading or Stopwatch()
    empty.run(make_empty_input(batch))
    runners: list[Runner] = []

    def work() -> None:
        with loading:
            runners.append(entry.load(path, **choices))
            call = runners[0].prepare(batch)  # the program that is timed; `run` may take another
            with runners[0].active():
                runners[0].read(call())

    peaks: dict[str, PeakMemory | None] = {}
    cuda = find_cuda() if entry.package == "torch" else None
    if cuda is None:
        peaks["host"] = measure_peak_memory(work)
        if entry.is_cuda:
            peaks["device"] = None
    else:
        peaks["device"] = measure_peak_device_memory(lambda: peaks.update(host=measure_peak_memory(work)), cuda)
    return runners[0], peaks


def run_energy_job(request: EnergyRequest, on_progress: OnProgress) -> tuple[Figure, ...]:
    """Read the energy of N_INFERENCES inferences, of single examples unless the request has a batch."""
    CpuHopper()(0)
    runner, batch = BACKENDS[request.backend].load(Path(request.path), **request.choices), request.batch
    call = runner.prepare(_load_inputs(request.inputs, batch))
    meter, window_s = energy_meter(), request.energy_window_s
    on_progress(f"{N_INFERENCES} inferences", 0.0)
    with runner.active():
        # The warm-up calibrates: slow models fill the window with fewer calls.
        n_calls = min(N_INFERENCES, 50 * measure_latency({"calls": call}, Plan(n_rounds=1))["calls"].n_calls)

        def work() -> None:
            for _ in range(n_calls):
                call()

        sample = measure_energy(work, meter, min_window_s=window_s, idle=idle_baseline(window_s))
    sample = sample.scale(n_calls * batch, N_INFERENCES)
    name, backend = "inference_energy_j", request.backend
    return tuple(make_energy_figures(name, sample, backend=backend, batch=batch, n_inferences=N_INFERENCES))


def run_latency_job(request: LatencyRequest, on_progress: OnProgress) -> LatencyAnswer:
    """Time all models of one backend, interleaved: one process of a session. For a fresh worker."""
    entry = BACKENDS[request.backend]
    inputs = {name: _load_inputs(m.inputs, max(request.batches)) for name, m in request.models.items()}
    hopper = CpuHopper(n_threads=request.n_threads)
    hopper(2 * request.order_seed)  # before the runtime makes its threads, which inherit it
    runners = {
        name: entry.load(Path(m.path), n_threads=request.n_threads, **m.choices) for name, m in request.models.items()
    }
    empty = entry.load_empty(n_threads=request.n_threads)
    calls = {EMPTY: empty.prepare(make_empty_input(next(iter(inputs.values()))))}
    for name, runner in runners.items():
        for batch in request.batches:
            calls[f"{name}@{batch}"] = runner.prepare(inputs[name][:batch])
    on_progress(f"process {request.order_seed + 1}", 0.0)
    groups = [[f"{name}@{batch}" for name in runners] for batch in request.batches]
    singles = [f"{name}@1" for name in runners]
    plan = Plan(request.n_rounds, request.order_seed, request.n_calls, singles=singles, groups=groups)
    outputs: dict[str, object] = {}
    with empty.active():
        watch = NeighbourWatch()
        traces = measure_latency(calls, plan, clock=entry.make_clock(), pin=hopper, outputs=outputs)
        neighbours = watch.read()
    wrong: dict[str, Refusal] = {}
    for name, runner in runners.items():
        made = {batch: runner.read(outputs[f"{name}@{batch}"]) for batch in request.batches}
        try:
            files, share = request.models[name], compute_share(str(runner.conditions["precision"]))
            scores = np.load(files.scores, allow_pickle=False)
            _check_model(name, made, scores[: len(load_examples(files.inputs))], share)
        except MeasurementError as error:  # its own; what was timed beside it stays
            wrong[name] = (error.cause, error.remedy)
    conditions = {name: dict(runner.conditions) for name, runner in runners.items()}
    return LatencyAnswer(
        traces=traces, conditions=conditions, neighbours=neighbours, is_pinned=hopper.is_pinned, wrong=wrong
    )


def _check_model(name: str, made: dict[int, Scores], scores: Scores, share: float) -> None:
    for batch, outputs in made.items():
        check_outputs(outputs, repeat_rows(scores, batch), f"{name} at batch {batch}", share=share)


def run_peaks_job(request: PeaksRequest, _: OnProgress) -> tuple[Peak, ...]:
    """Measure what the machine can do at best. For a fresh worker of as many threads."""
    CpuHopper(n_threads=request.n_threads)(0)
    return tuple(measure_peaks(request.n_threads))


def check_outputs(scores: Scores, expected: Batch, what: str, *, share: float = 0.0) -> None:
    """The timed calls must have computed what the same runtime computed in its accuracy run.

    Within rounding, not to the last bit: that run took other batch sizes, for which runtimes have other kernels, and
    ranges of numbers where they quantise as they go.

    Args:
        share: Difference that coarser rounding explains, as a share of the largest score; see `compute_share`.

    Raises:
        MeasurementError: they did not; then the time is that of another program.
    """
    if scores.shape != expected.shape:
        raise MeasurementError(
            f"latency of {what}: the timed run gave scores of shape {scores.shape}, the accuracy run {expected.shape}",
            "the runtime did not compute the whole batch; its time is that of another",
        )
    worst = float(np.abs(scores - expected).max())
    if not worst <= compute_tolerance(expected, share):
        raise MeasurementError(
            f"latency of {what}: outputs of the timed run differ from the accuracy run's by up to {worst:.1e}",
            "the artifact changed under the run, or the runtime is broken; measure again (run --fresh latency)",
        )


def _load_inputs(path: str, n: int) -> Examples:
    """Load `n` examples of the file, from the first on, again and again where there are fewer."""
    examples = load_examples(path)
    return examples[np.arange(n) % len(examples)]


def repeat_rows(array: Batch, n: int) -> Batch:
    """A copy of the first `n` rows; after the last one comes the first again."""
    return array.take(range(n), axis=0, mode="wrap")
