"""Profile of one model: its cost on every runtime, row by row. A row that fails says why; the others still come."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory

from dlmi_bench.backends import BACKENDS
from dlmi_bench.errors import BenchError, MeasurementError, UsageError
from dlmi_bench.instruments.energy import Idle, Meter, measure_idle
from dlmi_bench.instruments.meters import energy_meter
from dlmi_bench.instruments.pinning import list_cpus
from dlmi_bench.jobs.inputs import LabelledSet
from dlmi_bench.jobs.plugins import find_obstacle
from dlmi_bench.jobs.profile_protocol import PrepareAnswer, PrepareRequest
from dlmi_bench.jobs.protocol import N_EXAMPLES, CountsRequest, OnProgress
from dlmi_bench.jobs.sessions import has_cpus, run_peaks
from dlmi_bench.jobs.subject import Subject
from dlmi_bench.jobs.worker import Worker, run_here
from dlmi_bench.profiling.row import ENERGY_WINDOW_S, ProfileContext, RuntimeProfile
from dlmi_bench.records import Figure, Mark, list_marks
from dlmi_models import MODELS

# Processes behind each latency: one in any case, more while there is time.
MAX_PROCESSES = 5
# Seconds until the first runtime is loaded, and of the first process of each: measured here, on two cores.
FIRST_S, COMPILED_S, LOADED_S = 6.0, 8.0, 3.0
MAX_LOADING = 2  # at a time, one to a CPU
NO_ARTIFACT = "this runtime cannot load what was given", "give a module, or use a runtime that loads ONNX files"


@dataclass
class Profile:
    """Counts of the model, one row for each runtime, and the machine's own peaks."""

    subject: Subject
    batches: tuple[int, ...]
    counts: list[Figure] = field(default_factory=list)
    rows: list[RuntimeProfile] = field(default_factory=list)
    peaks: list[Figure] = field(default_factory=list)
    error: str = ""
    took_s: float = 0.0
    n_threads: int = 1

    @property
    def is_invalid(self) -> bool:
        """True where some row's scores or times are not those of the model."""
        return any(Mark.INVALID in list_marks(figure) for row in self.rows for figure in row.figures)


def profile_model(
    subject: Subject,
    backends: Sequence[str],
    batches: tuple[int, ...],
    *,
    budget_s: float,
    on_progress: OnProgress,
    n_threads: int = 1,
    test: LabelledSet | None = None,
) -> Profile:
    """Profile `subject`; after `budget_s` no process is started but the first of each row.

    Raises:
        UsageError: fewer CPUs are allowed than there are threads.
    """
    if not has_cpus(n_threads):
        cause = f"--threads {n_threads}: {len(list_cpus())} CPUs are allowed"
        raise UsageError(cause, "name at most as many threads as there are CPUs")
    begin_s = time.monotonic()
    profile = Profile(subject, batches, rows=[RuntimeProfile(name) for name in backends], n_threads=n_threads)
    on_progress(f"{len(backends)} runtimes, about {_estimate_s(backends, budget_s):.0f} s", 0.0)
    with TemporaryDirectory() as folder, ThreadPoolExecutor() as pool:
        meter = pool.submit(energy_meter)  # its first start takes seconds, in which nothing is timed yet
        prepared = _prepare(profile, Path(folder), on_progress)
        if prepared:
            _spread_errors(profile.rows, subject, prepared)
            on_progress("what the machine can do, and draws at rest", 0.0)
            meters = meter.result()
            context = ProfileContext(subject, batches, prepared.paths, meters, _look_at_rest(meters), n_threads)
            profile.peaks = run_peaks(n_threads)
            _measure(profile.rows, context, begin_s + budget_s, on_progress)
            for row in profile.rows if test else ():
                if not row.error:
                    row.judge(context, test)  # type: ignore[arg-type]  # mypy does not see it in the condition
    for row in profile.rows:
        if not row.error:
            row.summarise(batches)
    profile.took_s = time.monotonic() - begin_s
    return profile


def _estimate_s(backends: Sequence[str], budget_s: float) -> float:
    """Estimate how long a profile takes [s]: one process of each runtime in any case, more while there is time."""
    ready = [BACKENDS[name] for name in backends if not BACKENDS[name].find_missing()]
    return max(budget_s, FIRST_S + sum(COMPILED_S if entry.is_compiled else LOADED_S for entry in ready))


def _look_at_rest(meter: Meter) -> Idle | None:
    """Read the machine at rest; None where the meter fails, which each row then reports."""
    try:
        return measure_idle(meter, window_s=ENERGY_WINDOW_S)
    except MeasurementError:
        return None


def _prepare(profile: Profile, folder: Path, on_progress: OnProgress) -> PrepareAnswer | None:
    """Artifacts, and counts of the model; what fails here is the error of every row that needed it."""
    subject = profile.subject
    n_examples = max(N_EXAMPLES, *profile.batches)
    prepared: PrepareAnswer | None = None
    on_progress("building and exporting", 0.0)
    names = tuple(row.backend for row in profile.rows)
    request = PrepareRequest(subject=subject, folder=str(folder), n_examples=n_examples, backends=names)
    with ExitStack() as stack:
        is_here = subject.kind == "object"
        worker = None if is_here else stack.enter_context(Worker())
        try:
            prepared = worker.ask(request, on_progress) if worker else run_here(request, on_progress)
        except BenchError as error:
            for row in profile.rows:
                row.fail(error.cause, error.remedy)
        on_progress("counting", 0.0)
        onnx = prepared.paths.get("onnx") if prepared else None
        if worker and not worker.is_alive:  # a model that took it down may still be counted
            worker = stack.enter_context(Worker())
        counting = CountsRequest(subject=subject, onnx=onnx)
        try:
            profile.counts = [*(worker.ask(counting) if worker else run_here(counting, on_progress))]
        except BenchError as error:
            profile.error = f"{error.cause.splitlines()[0]}\nremedy: {error.remedy}"
    return prepared


def _spread_errors(rows: list[RuntimeProfile], subject: Subject, prepared: PrepareAnswer) -> None:
    for row in rows:
        role = BACKENDS[row.backend].artifact_role
        obstacle = find_obstacle(MODELS[subject.name], BACKENDS[row.backend]) if subject.kind == "object" else ""
        if obstacle:
            row.fail(f"not available: {obstacle}", "dlmi-bench profile FILE.py:factory measures this runtime too")
        elif missing := prepared.missing[row.backend]:
            row.fail(f"not available: {missing}", "see `dlmi-bench list backends`")
        elif role not in prepared.paths:
            row.fail(*prepared.errors.get(role, NO_ARTIFACT))
        row.is_missing = bool(obstacle or prepared.missing[row.backend]) or role not in {
            **prepared.paths,
            **prepared.errors,
        }


def _measure(rows: list[RuntimeProfile], context: ProfileContext, end_s: float, on_progress: OnProgress) -> None:
    """Processes of all rows in turns, so that drift of the machine hits all alike.

    The rows of a wave load first, one to a CPU at a time; then each is timed while the others wait.
    """
    allowed: list[int | None] = [*list_cpus()[:MAX_LOADING]] if context.n_threads == 1 else []
    allowed = allowed or [None]
    cpus: SimpleQueue[int | None] = SimpleQueue()
    for cpu in allowed:
        cpus.put(cpu)
    for index in range(MAX_PROCESSES):
        for wave in _list_waves([row for row in rows if not row.error], len(allowed)):
            if index and time.monotonic() + sum(row.took_s for row in wave) > end_s:
                continue
            on_progress(f"{', '.join(row.backend for row in wave)}: process {index + 1}", 0.0)
            with (
                ThreadPoolExecutor(len(allowed)) as pool,
                ExitStack() as stack,
            ):  # workers end first, also when interrupted
                workers = [stack.enter_context(Worker(index, n_threads=context.n_threads)) for _ in wave]
                loads = [pool.submit(_load, *pair, context, cpus) for pair in zip(wave, workers, strict=True)]
                for load in loads:
                    load.result()
                for row, worker in zip(wave, workers, strict=True):
                    if not row.error:
                        row.measure(worker, context)


def _list_waves(rows: Sequence[RuntimeProfile], n_loading: int) -> list[Sequence[RuntimeProfile]]:
    """All that compile together, because a CPU whose compiler is done takes the next; the others as many as load.

    The longest compiler, the last of the registry, begins: begun last it would run alone.
    """
    compiled = [row for row in reversed(rows) if BACKENDS[row.backend].is_compiled]
    others = [row for row in rows if not BACKENDS[row.backend].is_compiled]
    return [*([compiled] if compiled else []), *(others[i : i + n_loading] for i in range(0, len(others), n_loading))]


def _load(row: RuntimeProfile, worker: Worker, context: ProfileContext, cpus: "SimpleQueue[int | None]") -> None:
    cpu = cpus.get()
    try:
        row.load(worker, context, cpu)
    finally:
        cpus.put(cpu)
