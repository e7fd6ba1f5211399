"""Kinds of cell, one row each in MEASURES: what a suite does with a task, and how."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal
from uuid import uuid4

from dlmi_bench.backends import BACKENDS, DEFAULT_BACKENDS, JUDGED_BACKEND
from dlmi_bench.errors import BenchError, UsageError, list_choices
from dlmi_bench.instruments.energy_figures import join_processes
from dlmi_bench.jobs.protocol import (
    NOT_FINITE,
    CountsRequest,
    EnergyRequest,
    Figures,
    FirmwareRequest,
    MemoryRequest,
    ModelFiles,
    OnProgress,
    ReferencesRequest,
    TrainRequest,
    scores_role,
)
from dlmi_bench.jobs.sessions import Timing, make_latency_record, refuse_latency, run_latency_session
from dlmi_bench.jobs.subject import Subject
from dlmi_bench.jobs.worker import Worker
from dlmi_bench.records import Artifact, Cell, CellKind, Conditions, Figure, Record, unavailable
from dlmi_bench.suite.context import SuiteContext
from dlmi_bench.suite.suites import Suite
from dlmi_models import MODELS

# The seed whose artifact is measured: costs do not depend on the values of weights, so one is enough.
MEASURED_SEED = 0
UNTRAINED = "not exported: counted without a training"


Run = Callable[[SuiteContext, list[Cell], OnProgress], list[Record]]


@dataclass(frozen=True)
class Measure:
    """One kind of cell.

    Attributes:
        run: Makes the records of cells that are done together.
        scope: What a step covers: the data of a task, one training, one trained model, or all of them side by side.
        code: Modules of the job, and of the parent where it computes figures; their imports decide what is stale.
        settings: Fields of the suite that the result depends on.
        has_runtimes: Whether runtimes are run, so that machine and code of the runtimes decide the result.
    """

    run: Run
    scope: Literal["data", "training", "model", "joint"]
    code: tuple[str, ...]
    settings: tuple[str, ...] = ()
    has_runtimes: bool = True

    @property
    def needs_training(self) -> bool:
        return self.scope in ("model", "joint")


def list_judged(cell: Cell, suite: Suite, *, is_timed: bool = True) -> dict[str, str]:
    """List the backends that a training is evaluated on, with their state.

    These are the default ones, and for the measured seed those of the suite; where accuracy is all that is asked for,
    one is enough. They are not part of the fingerprint: a training that was evaluated on more is still current.
    """
    if not is_timed:
        return {JUDGED_BACKEND: BACKENDS[JUDGED_BACKEND].describe_state()}
    names = (*DEFAULT_BACKENDS, *(suite.backends if cell.seed_index == MEASURED_SEED else ()))
    return {name: BACKENDS[name].describe_state() for name in names}


def run_train(context: SuiteContext, cells: list[Cell], on_progress: OnProgress) -> list[Record]:
    """Train each cell's model with its seed."""
    return [context.ask(make_train_request(context, cell), on_progress, cell) for cell in cells]


def make_train_request(context: SuiteContext, cell: Cell, *, is_timed: bool = True) -> TrainRequest:
    """Make the request for one training."""
    is_measured = is_timed and cell.seed_index == MEASURED_SEED
    return TrainRequest(
        cell=cell,
        out=str(context.folder),
        energy_window_s=context.suite.energy_window_s,
        backends=list_judged(cell, context.suite, is_timed=is_timed),
        n_pictured=context.tasks[cell.task].n_pictured if is_measured else 0,
        is_compared=is_measured,
        is_timed=is_timed,
    )


def run_references(context: SuiteContext, cells: list[Cell], on_progress: OnProgress) -> list[Record]:
    """Compute figures from the data alone, to compare every model with."""
    return [Record(cell=cell, figures=context.ask(ReferencesRequest(task=cell.task), on_progress)) for cell in cells]


def run_counts(context: SuiteContext, cells: list[Cell], on_progress: OnProgress) -> list[Record]:
    """Count each model and the sizes of its files; of a model without a training, that of its weights."""
    records = []
    for cell in cells:
        task, trained = context.tasks[cell.task], context.trained.get((cell.task, cell.model))
        onnx = context.find_path(cell, "onnx") if trained else None
        subject = Subject(kind="model", name=cell.model, input_shape=task.input_shape, n_classes=task.n_classes)
        if onnx and MODELS[cell.model].is_own and MODELS[cell.model].own.factory is None:
            subject = Subject(kind="file", name=onnx, input_shape=task.input_shape)
        request = CountsRequest(subject=subject, onnx=onnx, is_sized=not trained, is_trained=bool(trained))
        figures = context.ask(request, on_progress, cell)
        records.append(Record(cell=cell, figures=_add_sizes(figures, trained)))
    return records


def _add_sizes(figures: Figures, trained: Record | None) -> Figures:
    """Add the size of each file that the training wrote; without one, say so."""
    roles = dict.fromkeys(entry.artifact_role for entry in BACKENDS.values())
    if trained is None:
        known = {figure.conditions.get("artifact") for figure in figures if figure.name == "size_bytes"}
        return (*figures, *(unavailable("size_bytes", UNTRAINED, artifact=r) for r in roles if r not in known))
    files = {artifact.role: artifact for artifact in trained.artifacts}
    others = (f for f in figures if f.name != "size_bytes" or f.conditions["artifact"] not in roles)
    return (*others, *(_make_size(role, files.get(role)) for role in roles))


def run_memory(context: SuiteContext, cells: list[Cell], on_progress: OnProgress) -> list[Record]:
    """Read the peak memory of each model on each backend."""
    records = []
    for cell in cells:
        figures: list[Figure] = []
        failures = []
        for backend in context.suite.backends:
            reason = context.find_reason(cell, backend)
            if not reason:
                try:
                    figures += _run_memory(context, cell, backend, on_progress)
                    continue
                except BenchError as error:
                    reason = f"failed: {error.cause.splitlines()[0]}"
                    failures.append(f"memory on {backend}: {error}")
            names = ("peak_bytes", "peak_added_bytes")
            figures += [unavailable(name, reason, backend=backend, batch=1) for name in names]
        records.append(Record(cell=cell, figures=tuple(figures), failures=tuple(failures)))
    return records


def _run_memory(context: SuiteContext, cell: Cell, backend: str, on_progress: OnProgress) -> Figures:
    """Ask a fresh process. Compiled runtimes are measured in a second one, after the first has filled the cache."""
    entry = BACKENDS[backend]
    path, shape = context.find_path(cell, entry.artifact_role), context.tasks[cell.task].input_shape
    figures: Figures = ()
    for _ in range(2 if entry.is_compiled else 1):
        with Worker() as worker:
            figures = worker.ask(MemoryRequest(backend=backend, path=path, input_shape=shape), on_progress)
    return figures


def run_energy(context: SuiteContext, cells: list[Cell], on_progress: OnProgress) -> list[Record]:
    """Read the energy of single inferences of each model on the default runtime."""
    records = []
    for cell in cells:
        request = EnergyRequest(
            backend=JUDGED_BACKEND,
            path=context.find_path(cell, BACKENDS[JUDGED_BACKEND].artifact_role),
            inputs=context.keep_inputs(cell.task),
            energy_window_s=context.suite.energy_window_s,
        )
        failures: tuple[str, ...] = ()
        try:
            figures = _run_energy(context, request, on_progress)
        except BenchError as error:
            failures = (f"energy on {JUDGED_BACKEND}: {error}",)
            identity: Conditions = {"backend": JUDGED_BACKEND, "batch": 1, "component": "cpu"}
            reason = f"failed: {error.cause.splitlines()[0]}"
            figures = [
                unavailable("inference_energy_j", reason, **identity, idle_subtracted=is_net)
                for is_net in (False, True)
            ]
        records.append(Record(cell=cell, figures=tuple(figures), failures=failures))
    return records


def _run_energy(context: SuiteContext, request: EnergyRequest, on_progress: OnProgress) -> list[Figure]:
    """Ask as many processes as latencies have where joules are measured; the spread of a model would say nothing."""
    answers = [[*context.ask(request, on_progress)]]
    is_measured = any(figure.kind == "measured" and figure.value is not None for figure in answers[0])
    while len(answers) < (context.suite.n_processes if is_measured else 1):
        with Worker(len(answers)) as worker:
            answers.append([*worker.ask(request, on_progress)])
    return join_processes(answers)


def run_firmware(context: SuiteContext, cells: list[Cell], on_progress: OnProgress) -> list[Record]:
    """Make images for microcontrollers of each model, and run the test split on simulated cores."""
    records = []
    for cell in cells:
        path, targets = context.find_path(cell, "onnx"), context.suite.targets
        request = FirmwareRequest(task=cell.task, seed_index=MEASURED_SEED, path=path, targets=targets)
        records.append(Record(cell=cell, figures=context.ask(request, on_progress, cell)))
    return records


def run_latency(context: SuiteContext, cells: list[Cell], on_progress: OnProgress) -> list[Record]:
    """Time all models side by side, so that drift of the machine cancels between them, and the machine's own peaks."""
    on_progress("what the machine can do", 0.0)
    suite = context.suite
    peaks = [figure for n_threads in suite.threads for figure in context.find_peaks(n_threads)]
    found: dict[str, list[Timing]] = {cell.model: [] for cell in cells}
    for backend in suite.backends:
        models = {}
        for cell in cells:
            if reason := context.find_reason(cell, backend):
                found[cell.model].append(Timing(refuse_latency(suite, reason, backend=backend)))
            else:
                models[cell.model] = _find_files(context, cell, backend)
        for n_threads in _list_threads(backend, suite) if models else ():
            session = run_latency_session(backend, models, suite, on_progress, n_threads=n_threads)
            for model, timing in session.items():
                found[model].append(timing)
    session_id = uuid4().hex  # only rounds of the same session pair
    return [make_latency_record(cell, found[cell.model], peaks, session_id) for cell in cells]


def _list_threads(backend: str, suite: Suite) -> tuple[int, ...]:
    """A device computes the same however many threads the host has."""
    return (1,) if BACKENDS[backend].is_cuda else suite.threads


def _find_files(context: SuiteContext, cell: Cell, backend: str) -> ModelFiles:
    """Paths of the artifact, of validation images, and of its scores of them."""
    path, scores = (context.find_path(cell, r) for r in (BACKENDS[backend].artifact_role, scores_role(backend)))
    return ModelFiles(path=path, inputs=context.keep_inputs(cell.task), scores=scores)


def _make_size(role: str, artifact: Artifact | None) -> Figure:
    """Size of a file. None is one that the training could not write: 8-bit integers have no range for NaN."""
    if artifact is None:
        return unavailable("size_bytes", NOT_FINITE, artifact=role)
    return Figure(
        name="size_bytes", value=artifact.size_bytes, kind="counted", source="file", conditions={"artifact": role}
    )


def parse_kinds(chosen: bool | Iterable[str]) -> frozenset[CellKind]:
    """Kinds of cell: all for True, none for False, otherwise those that are named.

    Raises:
        UsageError: there is no such kind.
    """
    if isinstance(chosen, bool):
        return frozenset(MEASURES if chosen else ())
    named = set(chosen)
    for name in sorted(named - set(MEASURES)):
        raise UsageError(f"--fresh {name}: no such kind of cell", list_choices(name, MEASURES, ", or none for all"))
    return frozenset(kind for kind in MEASURES if kind in named)


JOBS = "dlmi_bench.jobs"
# In the order in which a task's steps are done.
MEASURES: dict[CellKind, Measure] = {
    "references": Measure(run_references, "data", (), has_runtimes=False),  # the job only calls the task's function
    "train": Measure(run_train, "training", (f"{JOBS}.training",), ("energy_window_s",)),
    "counts": Measure(run_counts, "model", (f"{JOBS}.counting",), has_runtimes=False),
    "memory": Measure(run_memory, "model", (f"{JOBS}.measurement", f"{JOBS}.worker"), ("backends",)),
    "energy": Measure(run_energy, "model", (f"{JOBS}.measurement",), ("energy_window_s", "n_processes")),
    "firmware": Measure(run_firmware, "model", (f"{JOBS}.firmware",), ("targets",), has_runtimes=False),
    "latency": Measure(
        run_latency,
        "joint",
        (f"{JOBS}.measurement", f"{JOBS}.worker", f"{JOBS}.sessions"),
        ("backends", "n_processes", "n_rounds", "batches", "threads"),
    ),
}
