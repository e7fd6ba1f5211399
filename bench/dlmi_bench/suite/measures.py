"""What each kind of step does: jobs for workers, and records from what they answer."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

from dlmi_bench.backends import BACKENDS, JUDGED_BACKEND
from dlmi_bench.errors import BenchError
from dlmi_bench.instruments.energy_figures import join_processes
from dlmi_bench.jobs.protocol import NOT_FINITE, OnProgress, scores_role
from dlmi_bench.jobs.sessions import measure_peaks
from dlmi_bench.jobs.subject import Subject
from dlmi_bench.jobs.worker import Worker
from dlmi_bench.records import Artifact, Cell, Figure, Record, unavailable
from dlmi_bench.store import artifact_path
from dlmi_bench.suite.plan import MEASURED_SEED, list_judged
from dlmi_bench.suite.session import Timing, refuse_latency, run_latency_session
from dlmi_bench.suite.suites import Suite
from dlmi_tasks.spec import Task


class Workshop:
    """What the actions share: settings, the trained records, and one long-lived worker.

    Training, counting and energy share the worker, so that its imports are paid for once; memory and latency need
    fresh processes and make their own.
    """

    def __init__(self, suite: Suite, folder: Path, tasks: dict[str, Task]) -> None:
        self.suite = suite
        self.folder = folder.resolve()
        self.tasks = tasks
        self.trained: dict[tuple[str, str], Record] = {}
        self._worker: Worker | None = None

    def call(self, function: str, payload: dict[str, Any], on_progress: OnProgress) -> Any:
        """Run a job in the shared worker, which is replaced after it died."""
        if self._worker is None or not self._worker.is_alive:
            self._worker = Worker()
        return self._worker.call(function, payload, on_progress)

    def find_path(self, cell: Cell, role: str) -> str:
        """Of the file of that role that the cell's training left."""
        return str(artifact_path(self.folder, self.trained[cell.task, cell.model].artifact(role)))

    def find_reason(self, cell: Cell, backend: str) -> str:
        """Why the backend gave no scores for the model when it was judged; empty where it did."""
        figure = self.trained[cell.task, cell.model].figure("test_accuracy", backend=backend)
        return figure.reason if figure else "it was not judged; run with --fresh"

    def close(self) -> None:
        """End the worker, also in the middle of a job."""
        if self._worker:
            self._worker.close()


def train(shop: Workshop, cells: list[Cell], on_progress: OnProgress) -> list[Record]:
    payload = {"out": str(shop.folder), "energy_window_s": shop.suite.energy_window_s}
    answers = []
    for cell in cells:
        n_pictured = shop.tasks[cell.task].n_pictured if cell.seed_index == MEASURED_SEED else 0
        own = {"cell": cell.model_dump(), "backends": list_judged(cell, shop.suite), "n_pictured": n_pictured}
        answers.append(shop.call("dlmi_bench.jobs.training:run_train_cell", payload | own, on_progress))
    return [Record.model_validate(answer) for answer in answers]


def list_references(shop: Workshop, cells: list[Cell], on_progress: OnProgress) -> list[Record]:
    """What the data alone says: figures to stand beside every model's."""
    records = []
    for cell in cells:
        answer = shop.call("dlmi_bench.jobs.measurement:run_references_job", {"task": cell.task}, on_progress)
        records.append(Record(cell=cell, figures=tuple(_to_figures(answer))))
    return records


def count(shop: Workshop, cells: list[Cell], on_progress: OnProgress) -> list[Record]:
    records = []
    for cell in cells:
        subject = Subject(kind="model", name=cell.model, input_shape=shop.tasks[cell.task].input_shape)
        payload = {"subject": subject.model_dump(mode="json"), "onnx": shop.find_path(cell, "onnx")}
        figures = _to_figures(shop.call("dlmi_bench.jobs.counting:run_counts_job", payload, on_progress))
        files = {artifact.role: artifact for artifact in shop.trained[cell.task, cell.model].artifacts}
        roles = dict.fromkeys(entry.artifact_role for entry in BACKENDS.values())
        figures += [_make_size(role, files.get(role)) for role in roles]
        records.append(Record(cell=cell, figures=tuple(figures)))
    return records


def measure_memory(shop: Workshop, cells: list[Cell], on_progress: OnProgress) -> list[Record]:
    records = []
    for cell in cells:
        figures: list[Figure] = []
        failures = []
        for backend in shop.suite.backends:
            reason = shop.find_reason(cell, backend)
            if not reason:
                try:
                    figures += _measure_memory(shop, cell, backend, on_progress)
                    continue
                except BenchError as error:
                    reason = f"failed: {error.cause.splitlines()[0]}"
                    failures.append(f"memory on {backend}: {error}")
            names = ("peak_bytes", "peak_added_bytes")
            figures += [unavailable(name, reason, backend=backend, batch=1) for name in names]
        records.append(Record(cell=cell, figures=tuple(figures), failures=tuple(failures)))
    return records


def _measure_memory(shop: Workshop, cell: Cell, backend: str, on_progress: OnProgress) -> list[Figure]:
    """Of a fresh process; where there is a compiler, of the second one, which finds the program compiled."""
    entry = BACKENDS[backend]
    path, shape = shop.find_path(cell, entry.artifact_role), shop.tasks[cell.task].input_shape
    payload = {"backend": backend, "path": path, "input_shape": shape}
    answer: Any = None
    for _ in range(2 if entry.is_compiled else 1):
        with Worker() as worker:
            answer = worker.call("dlmi_bench.jobs.measurement:run_memory_job", payload, on_progress)
    return _to_figures(answer)


def measure_energy(shop: Workshop, cells: list[Cell], on_progress: OnProgress) -> list[Record]:
    records = []
    for cell in cells:
        payload = {
            "backend": JUDGED_BACKEND,
            "path": shop.find_path(cell, BACKENDS[JUDGED_BACKEND].artifact_role),
            "task": cell.task,
            "energy_window_s": shop.suite.energy_window_s,
        }
        failures: tuple[str, ...] = ()
        try:
            figures = _measure_energy(shop, payload, on_progress)
        except BenchError as error:
            failures = (f"energy on {JUDGED_BACKEND}: {error}",)
            identity: dict[str, Any] = {"backend": JUDGED_BACKEND, "batch": 1, "component": "cpu"}
            reason = f"failed: {error.cause.splitlines()[0]}"
            figures = [
                unavailable("inference_energy_j", reason, **identity, idle_subtracted=is_net)
                for is_net in (False, True)
            ]
        records.append(Record(cell=cell, figures=tuple(figures), failures=failures))
    return records


def _measure_energy(shop: Workshop, payload: dict[str, Any], on_progress: OnProgress) -> list[Figure]:
    """Of as many processes as latencies have where joules are measured; the spread of a model would say nothing."""
    job = "dlmi_bench.jobs.measurement:run_energy_job"
    answers = [_to_figures(shop.call(job, payload, on_progress))]
    is_measured = any(figure.kind == "measured" and figure.value is not None for figure in answers[0])
    while len(answers) < (shop.suite.n_processes if is_measured else 1):
        with Worker(len(answers)) as worker:
            answers.append(_to_figures(worker.call(job, payload, on_progress)))
    return join_processes(answers)


def measure_latency(shop: Workshop, cells: list[Cell], on_progress: OnProgress) -> list[Record]:
    """All models side by side, so that drift of the machine cancels between them, and the machine's own peaks."""
    on_progress("what the machine can do", 0.0)
    peaks = [figure for n_threads in shop.suite.threads for figure in measure_peaks(n_threads)]
    found: dict[str, list[Timing]] = {cell.model: [] for cell in cells}
    for backend in shop.suite.backends:
        models = {}
        for cell in cells:
            if reason := shop.find_reason(cell, backend):
                found[cell.model].append(Timing(refuse_latency(shop.suite, reason, backend=backend)))
            else:
                models[cell.model] = _find_paths(shop, cell, backend)
        for n_threads in _list_threads(backend, shop.suite) if models else ():
            session = run_latency_session(backend, cells[0].task, models, shop.suite, on_progress, n_threads=n_threads)
            for model, timing in session.items():
                found[model].append(timing)
    session_id = uuid4().hex  # only rounds of the same session pair
    return [_make_latency_record(cell, found[cell.model], peaks, session_id) for cell in cells]


def _list_threads(backend: str, suite: Suite) -> tuple[int, ...]:
    """A device computes the same however many threads the host has."""
    return (1,) if BACKENDS[backend].is_cuda else suite.threads


def _find_paths(shop: Workshop, cell: Cell, backend: str) -> dict[str, str]:
    """The artifact, and the scores that its timed runs must repeat."""
    roles = {"path": BACKENDS[backend].artifact_role, "scores": scores_role(backend)}
    return {key: shop.find_path(cell, role) for key, role in roles.items()}


def _make_latency_record(cell: Cell, timings: list[Timing], peaks: list[Figure], session_id: str) -> Record:
    details: dict[str, Any] = {"session": session_id, "rounds_s": {}, "singles_s": {}, "processes": {}}
    for timing in timings:
        details["rounds_s"] |= timing.rounds_s
        details["singles_s"] |= timing.singles_s
        details["processes"] |= timing.processes
    figures = [figure for timing in timings for figure in timing.figures]
    failures = tuple(failure for timing in timings for failure in timing.failures)
    return Record(cell=cell, figures=(*figures, *peaks), failures=failures, details=details)


def _to_figures(items: Any) -> list[Figure]:
    return [Figure.model_validate(item) for item in items]


def _make_size(role: str, artifact: Artifact | None) -> Figure:
    """None is a file that the training could not write: 8-bit integers have no range for what is not a number."""
    if artifact is None:
        return unavailable("size_bytes", NOT_FINITE, artifact=role)
    conditions: dict[str, str | int | float | bool] = {"artifact": role}
    return Figure(name="size_bytes", value=artifact.size_bytes, kind="counted", source="file", conditions=conditions)


Action = Callable[[Workshop, list[Cell], OnProgress], list[Record]]
ACTIONS: dict[str, Action] = {
    "train": train,
    "references": list_references,
    "counts": count,
    "memory": measure_memory,
    "energy": measure_energy,
    "latency": measure_latency,
}
