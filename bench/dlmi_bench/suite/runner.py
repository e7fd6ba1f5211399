"""Run of a suite: stored results that are current are kept, the rest is done, each step in one transaction."""

import time
import traceback
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial

from pydantic import JsonValue

from dlmi_bench.errors import BenchError, UsageError, choose_remedy
from dlmi_bench.instruments.host.activity import read_load
from dlmi_bench.instruments.host.provenance import describe_environment
from dlmi_bench.jobs.plugins import describe_plugins
from dlmi_bench.records import Cell, CellKind, Record
from dlmi_bench.store import Store
from dlmi_bench.store.rows import Attempt
from dlmi_bench.suite.context import SuiteContext
from dlmi_bench.suite.display import Display
from dlmi_bench.suite.fingerprint import compute_fingerprint
from dlmi_bench.suite.forecast import Forecast, PlannedStep, estimate_time, explain_change
from dlmi_bench.suite.measures import MEASURED_SEED, MEASURES, list_judged
from dlmi_bench.suite.plan import Step, make_steps, select_shard
from dlmi_bench.suite.suites import Suite, select_models
from dlmi_models import MODELS
from dlmi_tasks import get_task
from dlmi_tasks.audit import audit_dataset
from dlmi_tasks.spec import Task


def _show_loading(display: Display, done: int, total: int | None) -> None:
    display.progress("loading data", done / total if total else 0.0)


@dataclass
class Outcome:
    """Numbers of cells kept and done, and what failed in the others."""

    n_kept: int = 0
    n_done: int = 0
    failures: dict[str, str] = field(default_factory=dict)


class Runner:
    """One run of one suite into one store.

    Args:
        fresh: Kinds of cell to do again although the store has them. Where they are named and are no trainings,
            stored trainings on the same data are used as they are, whatever has changed since.
        shard: Index and number of the shares of the trainings, one of which is done.
    """

    def __init__(
        self, suite: Suite, store: Store, *, fresh: Collection[CellKind] = (), shard: tuple[int, int] | None = None
    ) -> None:
        self._suite = suite
        self._steps = make_steps(suite)
        if shard:
            self._steps = select_shard(self._steps, *shard)
        self._store = store
        self._fresh = fresh
        self._tasks = {name: get_task(name) for name in suite.tasks}
        self._context = SuiteContext(suite, store.folder, self._tasks)
        plugins = describe_plugins(suite.tasks, {cell.model for step in self._steps for cell in step.cells})
        self._environment: dict[str, JsonValue] = {
            **describe_environment(),
            "suite": suite.model_dump(mode="json"),
            "plugins": [*plugins],
        }
        self._uses_trained = bool(fresh) and "train" not in fresh
        self._outdated: dict[Cell, str] = {}  # trainings that are used all the same, and what has changed
        self._audits: dict[str, JsonValue] = {}
        self._data: dict[str, dict[str, object]] = {}

    def run(self, display: Display) -> Outcome:
        """Do every step that is not done yet. A failed step is recorded and the others still run."""
        loading = partial(_show_loading, display)
        for name, task in self._tasks.items():
            self._load(name, task, display)
            if task.load_pool and any(MODELS[m].start == "synthetic" for m in select_models(self._suite, name)):
                task.load_pool(on_progress=loading)  # here, where all cores are free; the workers find it kept
        outcome, steps = Outcome(), self._steps
        stored = self._store.current()
        try:
            for index, step in enumerate(steps):
                display.start_step(step, index, len(steps))
                todo = [*self._list_stale(step, stored)]
                outcome.n_kept += len(step.cells) - len(todo)
                said = self._run_step(step, todo, display, outcome) if todo else self._describe_kept(step)
                display.end_step(step, said)
        finally:
            self._context.close()
        return outcome

    def plan(self, display: Display) -> Forecast:
        """Tell what `run` would do, why, and how long it took before. Only data that results stand on are read."""
        stored = self._store.current()
        records = [attempt.record for attempt in stored.values() if attempt.record]
        for name in {record.cell.task for record in records} & self._tasks.keys():
            self._load(name, self._tasks[name], display)
        planned = []
        for step in self._steps:
            reasons = self._list_stale(step, stored)
            estimated_s = estimate_time(reasons, records, self._suite)
            planned.append(PlannedStep(step, reasons, estimated_s, self._describe_kept(step)))
        return Forecast(tuple(planned))

    def _load(self, name: str, task: Task, display: Display) -> None:
        data = task.load(on_progress=partial(_show_loading, display))
        self._data[name], self._audits[name] = data.describe(), audit_dataset(data, task)

    def _describe_kept(self, step: Step) -> str:
        changes = [self._outdated[cell] for cell in step.cells if cell in self._outdated]
        return f"kept as it is: {changes[0]}" if changes else "kept"

    def _list_stale(self, step: Step, stored: Mapping[str, Attempt]) -> dict[Cell, str]:
        """List the cells to do, and why; what is measured side by side is done together, else it is not comparable."""
        stale = {}
        for cell in step.cells:
            attempt = stored.get(cell.key)
            if reason := self._find_reason(cell, attempt):
                stale[cell] = reason
            elif attempt and attempt.record:
                self._remember(attempt.record)
        if stale and MEASURES[step.kind].scope == "joint":
            return {cell: stale.get(cell, "timed side by side with the others") for cell in step.cells}
        return stale

    def _find_reason(self, cell: Cell, attempt: Attempt | None) -> str:
        """Find why a cell has to be done; empty where its stored result is used."""
        if attempt is None:
            return "not done yet"
        if cell.kind in self._fresh:
            return "asked for by --fresh"
        record = attempt.record
        if record is None or attempt.status != "done":
            return "failed before"
        change = self._find_change(record, attempt.fingerprint)
        if change and not (cell.kind == "train" and self._uses_trained and self._has_same_data(record)):
            return change
        if not self._store.has_artifacts(record):
            return "a file of it is missing or altered"
        if change:
            self._outdated[cell] = change
        return ""

    def _find_change(self, record: Record, fingerprint: str) -> str:
        """Find what has changed since a result was stored; empty where nothing has that decides it."""
        if record.cell.kind == "train":
            judged, needed = record.details.get("judged", {}), list_judged(record.cell, self._suite)
            if absent := [name for name, state in needed.items() if judged.get(name) != state]:
                return f"not evaluated on {', '.join(absent)} as installed now"
        expected = self._fingerprint(record.cell)
        if not expected:
            return "its training is done first"
        return "" if fingerprint == expected else explain_change(record, self._suite)

    def _has_same_data(self, record: Record) -> bool:
        """Tell whether a worker trained on the data that were read here."""
        seen = record.provenance.get("data")
        return isinstance(seen, dict) and seen.get("sha256") == self._data[record.cell.task]["sha256"]

    def _remember(self, record: Record) -> None:
        cell = record.cell
        if cell.kind == "train" and cell.seed_index == MEASURED_SEED:
            self._context.trained[cell.task, cell.model] = record

    def _fingerprint(self, cell: Cell) -> str:
        """Empty where the training that the cell measures has not been done: then nothing stored can match."""
        if not MEASURES[cell.kind].needs_training:
            inputs: dict[str, object] = {"data": self._data[cell.task]["sha256"]}
        elif trained := self._context.trained.get((cell.task, cell.model)):
            inputs = {artifact.role: artifact.sha256 for artifact in trained.artifacts}
        else:
            return ""
        return compute_fingerprint(cell, self._suite, self._tasks[cell.task], inputs)

    def _run_step(self, step: Step, todo: list[Cell], display: Display, outcome: Outcome) -> str:
        ready = [c for c in todo if not MEASURES[c.kind].needs_training or (c.task, c.model) in self._context.trained]
        for cell in todo:
            if cell not in ready:
                self._fail([cell], f"{cell.model} has no trained artifact: its training failed", outcome)
        if not ready:
            return "skipped, its training failed"
        before, begin_s = read_load(), time.monotonic()
        try:
            records = self._act(step.kind, ready, display)
            for record in records:
                self._check_data(record)
        except BenchError as error:
            self._fail(ready, str(error), outcome)
            return f"failed: {error.cause.splitlines()[0]}"
        took_s = (time.monotonic() - begin_s) / len(records)
        load: dict[str, JsonValue] = {
            "load_before": asdict(before),
            "load_after": asdict(read_load()),
            "took_s": took_s,
        }
        records = [r.model_copy(update={"provenance": self._describe(r.cell) | load | r.provenance}) for r in records]
        self._store.add_done([(record, self._fingerprint(record.cell)) for record in records])
        for record in records:
            self._remember(record)
        failures = {record.cell.key: "\n".join(record.failures) for record in records if record.failures}
        outcome.failures.update(failures)
        outcome.n_done += len(records) - len(failures)
        return f"failed in part: {next(iter(failures.values())).splitlines()[0]}" if failures else "done"

    def _describe(self, cell: Cell) -> dict[str, JsonValue]:
        """Provenance that all cells of a run share, and of a training the audit of its data."""
        audit = {"audit": self._audits[cell.task]} if cell.kind == "train" and cell.task in self._audits else {}
        return self._environment | audit

    def _act(self, kind: CellKind, cells: list[Cell], display: Display) -> list[Record]:
        try:
            return MEASURES[kind].run(self._context, cells, display.progress)
        except BenchError:
            raise
        except Exception as error:  # a fault of the program costs its own step: the store keeps it, the others come
            cause = f"{type(error).__name__}: {error}\n{traceback.format_exc(limit=-3).rstrip()}"
            raise BenchError(cause, choose_remedy(error)) from error

    def _check_data(self, record: Record) -> None:
        """Check that a worker trained on the data that were read here.

        Raises:
            UsageError: it did not, since the user's code draws others at each start.
        """
        task, seen = record.cell.task, record.provenance.get("data")
        if record.cell.kind == "train" and isinstance(seen, dict) and not self._has_same_data(record):
            raise UsageError(
                f"task {task!r} has other data in each process", "draw them from a fixed seed: default_rng(0)"
            )

    def _fail(self, cells: list[Cell], error: str, outcome: Outcome) -> None:
        self._store.add_failed([(cell.key, self._fingerprint(cell)) for cell in cells], error)
        outcome.failures.update({cell.key: error for cell in cells})
