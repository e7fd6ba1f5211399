"""Run of a suite: stored results that are current are kept, the rest is done, each step in one transaction."""

import time
import traceback
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from functools import partial

from pydantic import JsonValue

from dlmi_bench.errors import BenchError, choose_remedy
from dlmi_bench.instruments.host.activity import Load, read_load
from dlmi_bench.instruments.host.provenance import describe_environment
from dlmi_bench.jobs.plugins import describe_plugins
from dlmi_bench.records import UNTIMED, Cell, CellKind, Record
from dlmi_bench.store import Store
from dlmi_bench.store.rows import Attempt
from dlmi_bench.suite.beside import train_beside
from dlmi_bench.suite.context import SuiteContext
from dlmi_bench.suite.data import TaskData
from dlmi_bench.suite.display import Display, Left
from dlmi_bench.suite.fingerprint import compute_fingerprint
from dlmi_bench.suite.forecast import Forecast, PlannedStep, explain_change, restore_settings
from dlmi_bench.suite.measures import MEASURED_SEED, MEASURES, list_judged
from dlmi_bench.suite.pace import Pace
from dlmi_bench.suite.plan import Step, make_batch, make_reference_steps, make_steps, needs_training, select_shard
from dlmi_bench.suite.suites import Suite, select_models


@dataclass
class Outcome:
    """Numbers of cells kept and done, what failed in the others, and how many a deadline left undone."""

    n_kept: int = 0
    n_done: int = 0
    failures: dict[str, str] = field(default_factory=dict)
    n_left: int = 0

    def add(self, other: "Outcome") -> None:
        """Add what was done afterwards; of a cell that failed once and then did not, no failure is left."""
        self.n_kept += other.n_kept
        self.n_done += other.n_done
        self.n_left += other.n_left
        self.failures |= other.failures


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
        self._data = TaskData(suite.tasks)
        self._context = SuiteContext(suite, store.folder, self._data.tasks)
        self._models = {cell.model for step in self._steps for cell in step.cells}
        plugins = describe_plugins(suite.tasks, self._models)
        self._environment: dict[str, JsonValue] = {
            **describe_environment(),
            "suite": suite.model_dump(mode="json"),
            "plugins": [*plugins],
        }
        self._uses_trained = bool(fresh) and "train" not in fresh
        self._outdated: dict[Cell, str] = {}  # trainings that are used all the same, and what has changed
        self._pace = Pace(suite, ())
        self._ended: set[Cell] = set()  # of this run, which even --fresh does once

    def run(self, display: Display) -> Outcome:
        """Do every step that is not done yet. A failed step is recorded and the others still run."""
        for name in self._suite.tasks:
            self._data.prepare(name, select_models(self._suite, name), display)
        return self._run_steps(self._steps, display)

    def train(self, cells: Sequence[Cell], display: Display, *, deadline_s: float | None = None) -> Outcome:
        """Train more, side by side, for accuracies alone; after `run`, any number of times.

        Args:
            cells: Trainings, also of tasks and models that the suite lacks. Stored ones that hold are kept.
            deadline_s: No training starts after `time.monotonic()` has reached it; None for no limit.
        """
        for name in dict.fromkeys(cell.task for cell in cells):
            self._data.prepare(name, [cell.model for cell in cells if cell.task == name], display)
        plugins = describe_plugins(self._data.tasks, {cell.model for cell in cells} | self._models)
        self._environment["plugins"] = [*plugins]
        return self._run_steps([make_batch(cells)] if cells else [], display, deadline_s)

    def compute_references(self, tasks: Iterable[str], display: Display) -> Outcome:
        """Compute the figures of the data alone, also of tasks that the suite lacks."""
        steps = [step for task in tasks for step in make_reference_steps(task)]
        for step in steps:
            self._data.prepare(step.task, (), display)
        return self._run_steps(steps, display)

    def _run_steps(self, steps: Sequence[Step], display: Display, deadline_s: float | None = None) -> Outcome:
        outcome, stored = Outcome(), self._store.current()
        self._pace = Pace(self._suite, [attempt.record for attempt in stored.values() if attempt.record])
        stale = [[*self._list_stale(step, stored)] for step in steps]
        try:
            for index, step in enumerate(steps):
                display.start_step(step, index, len(steps), self._estimate_left(steps[index:], stale[index:]))
                # What is measured may have been trained meanwhile.
                is_late = MEASURES[step.kind].needs_training
                todo = [*self._list_stale(step, stored)] if is_late else stale[index]
                outcome.n_kept += len(step.cells) - len(todo)
                run = self._run_step if step.is_timed else partial(self._run_batch, deadline_s=deadline_s)
                display.end_step(step, run(step, todo, display, outcome) if todo else self._describe_kept(step))
        finally:
            self._context.close()
        return outcome

    def _estimate_left(self, steps: Sequence[Step], stale: Sequence[list[Cell]]) -> Left:
        """Time of the first of these steps, and of the later ones."""
        first_s, *later_s = (self._pace.estimate(*pair) for pair in zip(steps, stale, strict=True))
        return Left(first_s, sum(later_s))

    def plan(self, display: Display) -> Forecast:
        """Tell what `run` would do, why, and about how long it takes. Only data that results stand on are read."""
        stored = self._store.current()
        records = [attempt.record for attempt in stored.values() if attempt.record]
        for name in {record.cell.task for record in records} & self._data.tasks.keys():
            self._data.read(name, display)
        planned, pace = [], Pace(self._suite, records)
        for step in self._steps:
            reasons = self._list_stale(step, stored)
            n_rough = sum(not pace.knows(cell, is_timed=step.is_timed) for cell in reasons)
            planned.append(PlannedStep(step, reasons, pace.estimate(step, reasons), n_rough, self._describe_kept(step)))
        return Forecast(tuple(planned))

    def _describe_kept(self, step: Step) -> str:
        changes = [self._outdated[cell] for cell in step.cells if cell in self._outdated]
        return f"kept as it is: {changes[0]}" if changes else "kept"

    def _list_stale(self, step: Step, stored: Mapping[str, Attempt]) -> dict[Cell, str]:
        """List the cells to do, and why; what is measured side by side is done together, else it is not comparable."""
        stale = {}
        for cell in step.cells:
            attempt = stored.get(cell.key)
            if reason := self._find_reason(cell, attempt, is_timed=step.is_timed):
                stale[cell] = reason
            elif attempt and attempt.record:
                self._remember(attempt.record)
        if stale and MEASURES[step.kind].scope == "joint":
            return {cell: stale.get(cell, "timed side by side with the others") for cell in step.cells}
        return stale

    def _find_reason(self, cell: Cell, attempt: Attempt | None, *, is_timed: bool = True) -> str:
        """Find why a cell has to be done; empty where its stored result is used."""
        if attempt is None:
            return "not done yet"
        if cell.kind in self._fresh and cell not in self._ended:
            return "asked for by --fresh"
        record = attempt.record
        if record is None or attempt.status != "done":
            return "failed before"
        if is_timed and not record.is_timed:
            return UNTIMED
        change = self._find_change(record, attempt.fingerprint, is_timed=is_timed)
        if change and not (cell.kind == "train" and self._uses_trained and self._data.has_same(record)):
            return change
        if not self._store.has_artifacts(record):
            return "a file of it is missing or altered"
        if change:
            self._outdated[cell] = change
        return ""

    def _find_change(self, record: Record, fingerprint: str, *, is_timed: bool) -> str:
        """Find what has changed since a result was stored; empty where nothing has that decides it.

        A timed training also serves where nobody asks for its time, by whatever settings it was timed.
        """
        if record.cell.kind == "train":
            judged, needed = record.details.get("judged", {}), list_judged(record.cell, self._suite, is_timed=is_timed)
            if absent := [name for name, state in needed.items() if judged.get(name) != state]:
                return f"not evaluated on {', '.join(absent)} as installed now"
        suite = self._suite if is_timed else restore_settings(record, self._suite)
        expected = {self._fingerprint(record.cell, suite)}
        if expected == {""}:
            return "its training is done first"
        if not is_timed:
            expected.add(self._fingerprint(record.cell, suite, is_timed=False))
        return "" if fingerprint in expected else explain_change(record, suite)

    def _remember(self, record: Record) -> None:
        cell = record.cell
        if cell.kind == "train" and cell.seed_index == MEASURED_SEED and record.is_timed:
            self._context.trained[cell.task, cell.model] = record

    def _fingerprint(self, cell: Cell, suite: Suite, *, is_timed: bool = True) -> str:
        """Empty where the training that the cell measures has not been done: then nothing stored can match."""
        task = self._data.tasks[cell.task]
        if not MEASURES[cell.kind].needs_training:
            inputs: dict[str, object] = {"data": self._data.described[cell.task]["sha256"]}
        elif not needs_training(cell, self._suite):
            inputs = {"network": [task.input_shape, task.n_classes]}
        elif trained := self._context.trained.get((cell.task, cell.model)):
            inputs = {artifact.role: artifact.sha256 for artifact in trained.artifacts}
        else:
            return ""
        return compute_fingerprint(cell, suite, task, inputs, is_timed=is_timed)

    def _run_step(self, step: Step, todo: list[Cell], display: Display, outcome: Outcome) -> str:
        trained = self._context.trained
        ready = [c for c in todo if not needs_training(c, self._suite) or (c.task, c.model) in trained]
        for cell in todo:
            if cell not in ready:
                self._fail([cell], f"{cell.model} has no trained artifact: its training failed", outcome)
        if not ready:
            return "skipped, its training failed"
        before, begin_s = read_load(), time.monotonic()
        try:
            records = self._act(step.kind, ready, display)
            for record in records:
                self._data.check(record)
        except BenchError as error:
            self._fail(ready, str(error), outcome)
            return f"failed: {error.cause.splitlines()[0]}"
        failures = self._keep(records, before, (time.monotonic() - begin_s) / len(records), outcome)
        return f"failed in part: {next(iter(failures.values())).splitlines()[0]}" if failures else "done"

    def _run_batch(
        self, step: Step, todo: list[Cell], display: Display, outcome: Outcome, deadline_s: float | None = None
    ) -> str:
        """Train side by side, and keep each training when it ends."""
        before, n_ended, errors = read_load(), 0, []
        with closing(train_beside(self._context, todo, display.progress, deadline_s)) as trainings:
            for ended in trainings:
                n_ended += 1
                try:
                    record = ended.get_record()
                    self._data.check(record)
                except BenchError as error:
                    errors.append(error)
                    self._fail([ended.cell], str(error), outcome, is_timed=False)
                else:
                    self._keep([record], before, ended.took_s, outcome, is_timed=False)
        outcome.n_left += (n_left := len(todo) - n_ended)
        said = [f"{n_left} left for want of time"] if n_left else []
        said += [f"{len(errors)} failed: {errors[0].cause.splitlines()[0]}"] if errors else []
        said += [f"{n_kept} kept"] if (n_kept := len(step.cells) - len(todo)) else []
        return ", ".join([f"{n_ended - len(errors)} done", *said]) if said else "done"

    def _keep(
        self, records: list[Record], before: Load, took_s: float, outcome: Outcome, *, is_timed: bool = True
    ) -> dict[str, str]:
        """Store what was done, with where and when; return what failed in it."""
        load: dict[str, JsonValue] = {
            "load_before": asdict(before),
            "load_after": asdict(read_load()),
            "took_s": took_s,
        }
        records = [
            r.model_copy(update={"provenance": self._environment | self._data.describe_audit(r) | load | r.provenance})
            for r in records
        ]
        self._store.add_done([(r, self._fingerprint(r.cell, self._suite, is_timed=is_timed)) for r in records])
        for record in records:
            self._remember(record)
            self._pace.learn(record.cell, took_s, is_timed=is_timed, n_models=len(records))
        self._ended.update(record.cell for record in records)
        failures = {record.cell.key: "\n".join(record.failures) for record in records if record.failures}
        outcome.failures.update(failures)
        outcome.n_done += len(records) - len(failures)
        return failures

    def _act(self, kind: CellKind, cells: list[Cell], display: Display) -> list[Record]:
        try:
            return MEASURES[kind].run(self._context, cells, display.progress)
        except BenchError:
            raise
        except Exception as error:  # a fault of the program costs its own step: the store keeps it, the others come
            cause = f"{type(error).__name__}: {error}\n{traceback.format_exc(limit=-3).rstrip()}"
            raise BenchError(cause, choose_remedy(error)) from error

    def _fail(self, cells: list[Cell], error: str, outcome: Outcome, *, is_timed: bool = True) -> None:
        tried = [(cell.key, self._fingerprint(cell, self._suite, is_timed=is_timed)) for cell in cells]
        self._store.add_failed(tried, error)
        outcome.failures.update({cell.key: error for cell in cells})
