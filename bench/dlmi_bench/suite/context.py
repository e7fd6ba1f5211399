"""State that the steps of a run share: settings, trained records, one worker, and images to time models on."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from dlmi_bench.backends import BACKENDS
from dlmi_bench.jobs.plugins import find_obstacle
from dlmi_bench.jobs.protocol import Answer, OnProgress, Request
from dlmi_bench.jobs.sessions import run_peaks
from dlmi_bench.jobs.worker import Worker, run_here
from dlmi_bench.records import Cell, Figure, Record
from dlmi_bench.store.artifacts import find_artifact
from dlmi_bench.suite.data import TaskData
from dlmi_bench.suite.suites import Suite
from dlmi_models import MODELS
from dlmi_tasks import TASKS
from dlmi_tasks.spec import Task


class SuiteContext:
    """State that all kinds of cell share: settings, the trained records, and one long-lived worker.

    Training, counting and energy share the worker, so that its imports are paid for once. Memory and latency need fresh
    processes and make their own. What lives in this process alone, such as a notebook's, is trained here.
    """

    def __init__(self, suite: Suite, folder: Path, data: TaskData) -> None:
        self.suite = suite
        self.folder = folder.resolve()
        self.data = data
        self.trained: dict[tuple[str, str], Record] = {}
        self._peaks: dict[int, list[Figure]] = {}
        self._worker: Worker | None = None
        self._scratch: TemporaryDirectory[str] | None = None

    @property
    def tasks(self) -> dict[str, Task]:
        return self.data.tasks

    def ask(self, request: Request[Answer], on_progress: OnProgress, cell: Cell | None = None) -> Answer:
        """Run a job in the shared worker, which is replaced after it died; here, if no other process has the cell."""
        if cell and self.is_here_only(cell):
            return run_here(request, on_progress)
        if self._worker is None or not self._worker.is_alive:
            self._worker = Worker()
        return self._worker.ask(request, on_progress)

    def is_here_only(self, cell: Cell) -> bool:
        """Tell whether no other process has the cell's model or task."""
        return bool(MODELS[cell.model].definition) or not isinstance(TASKS[cell.task], str)

    def keep_inputs(self, name: str) -> str:
        """Path of the first validation images of a task, for whatever times a model; the test split stays closed."""
        self._scratch = self._scratch or TemporaryDirectory(prefix="dlmi-bench-")
        path = Path(self._scratch.name, f"{list(self.tasks).index(name)}.npy")
        if not path.exists():
            task = self.tasks[name]
            images = task.load().split(task.n_validation).validation.images
            np.save(path, images[: max(self.suite.batches)], allow_pickle=False)
        return str(path)

    def find_peaks(self, n_threads: int) -> list[Figure]:
        """The machine's peaks with so many threads, measured once in a run."""
        if n_threads not in self._peaks:
            self._peaks[n_threads] = run_peaks(n_threads)
        return self._peaks[n_threads]

    def find_path(self, cell: Cell, role: str) -> str:
        """Path of the artifact that the cell's training wrote under this role."""
        return str(find_artifact(self.folder, self.trained[cell.task, cell.model].artifact(role)))

    def find_reason(self, cell: Cell, backend: str) -> str:
        """Find why the backend gave no scores for the model when it was evaluated; empty where it did."""
        if obstacle := find_obstacle(MODELS[cell.model], BACKENDS[backend]):
            return obstacle
        figure = self.trained[cell.task, cell.model].figure("test_accuracy", backend=backend)
        return figure.reason if figure else "it was not evaluated; run with --fresh train"

    def take_log(self) -> str:
        """What the worker has printed since it was asked last."""
        return self._worker.take_log() if self._worker else ""

    def close(self) -> None:
        """End the worker, also in the middle of a job."""
        if self._worker:
            self._worker.close()
        if self._scratch:
            self._scratch.cleanup()
