"""Tasks of a run, and their data as this process has read them."""

from collections.abc import Iterable
from functools import partial

from pydantic import JsonValue

from dlmi_bench.errors import UsageError
from dlmi_bench.jobs.protocol import OnProgress
from dlmi_bench.records import Record
from dlmi_models import MODELS
from dlmi_tasks import get_task
from dlmi_tasks.audit import audit_dataset
from dlmi_tasks.ledger import describe_tuning
from dlmi_tasks.spec import Task


def _show_loading(on_progress: OnProgress, done: int, total: int | None) -> None:
    on_progress("loading data", done / total if total else 0.0)


class TaskData:
    """Tasks by name, with the description and the audit of the data of those that were read.

    Attributes:
        described: As `Dataset.describe` tells it.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self.tasks: dict[str, Task] = {name: get_task(name) for name in names}
        self.described: dict[str, dict[str, object]] = {}
        self._audits: dict[str, JsonValue] = {}

    def prepare(self, name: str, models: Iterable[str], on_progress: OnProgress) -> None:
        """Read the data of a task, and of its pool where a model is pretrained on it."""
        self.tasks.setdefault(name, get_task(name))
        if name not in self.described:
            self.read(name, on_progress)
        if (load_pool := self.tasks[name].load_pool) and any(MODELS[model].start == "synthetic" for model in models):
            # here, where all cores are free; the workers find it kept
            load_pool(on_progress=partial(_show_loading, on_progress))

    def read(self, name: str, on_progress: OnProgress) -> None:
        """Read the data of a task of the run."""
        task = self.tasks[name]
        data = task.load(on_progress=partial(_show_loading, on_progress))
        self.described[name], self._audits[name] = data.describe(), audit_dataset(data, task)

    def describe_audit(self, record: Record) -> dict[str, JsonValue]:
        """Provenance of a training: the audit of its data, and how its recipe was tuned."""
        cell = record.cell
        is_known = cell.kind == "train" and cell.task in self._audits
        return {"audit": self._audits[cell.task], **describe_tuning(record)} if is_known else {}

    def has_same(self, record: Record) -> bool:
        """Tell whether a worker trained on the data that were read here."""
        seen = record.provenance.get("data")
        return isinstance(seen, dict) and seen.get("sha256") == self.described[record.cell.task]["sha256"]

    def check(self, record: Record) -> None:
        """Check that a worker trained on the data that were read here.

        Raises:
            UsageError: it did not, since the user's code draws others at each start.
        """
        task, seen = record.cell.task, record.provenance.get("data")
        if record.cell.kind == "train" and isinstance(seen, dict) and not self.has_same(record):
            raise UsageError(
                f"task {task!r} has other data in each process", "draw them from a fixed seed: default_rng(0)"
            )
