"""Run of a suite: stored results that are current are kept, the rest is done, each step in one transaction."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict

from pydantic import JsonValue

from dlmi_bench.errors import BenchError
from dlmi_bench.instruments.host.activity import Load, read_load
from dlmi_bench.instruments.host.provenance import describe_environment
from dlmi_bench.jobs.plugins import describe_plugins
from dlmi_bench.records import UNTIMED, Cell, CellKind, Record
from dlmi_bench.store import Store
from dlmi_bench.store.rows import Attempt
from dlmi_bench.suite.context import SuiteContext
from dlmi_bench.suite.data import TaskData
from dlmi_bench.suite.display import Display, Left
from dlmi_bench.suite.engines import Engine, Work, join_works
from dlmi_bench.suite.engines.local import LocalEngine
from dlmi_bench.suite.fingerprint import fingerprint_cell
from dlmi_bench.suite.forecast import Forecast, PlannedStep, explain_change, restore_settings
from dlmi_bench.suite.measures import MEASURED_SEED, MEASURES, list_judged
from dlmi_bench.suite.outcome import Outcome, describe_end
from dlmi_bench.suite.pace import Pace
from dlmi_bench.suite.plan import (
    Step,
    join_steps,
    make_batch,
    make_reference_steps,
    make_steps,
    make_waves,
    needs_training,
    select_shard,
)
from dlmi_bench.suite.status.disk import check_room, estimate_bytes
from dlmi_bench.suite.status.logs import add_log
from dlmi_bench.suite.suites import Suite, select_models


class Runner:
    """One run of one suite into one store.

    Args:
        fresh: Kinds of cell to do again although the store has them. Where they are named and are no trainings,
            stored trainings on the same data are used as they are, whatever has changed since.
        shard: Index and number of the shares of the trainings, one of which is done.
        engine: Where the work is done; this machine by default.
    """

    def __init__(
        self,
        suite: Suite,
        store: Store,
        *,
        fresh: Collection[CellKind] = (),
        shard: tuple[int, int] | None = None,
        engine: Engine | None = None,
    ) -> None:
        self._suite, self._engine = suite, engine or LocalEngine()
        self._steps = make_steps(suite)
        if shard:
            self._steps = select_shard(self._steps, *shard)
        self._store = store
        self._fresh = fresh
        self._data = TaskData(suite.tasks)
        self._context = SuiteContext(suite, store.folder, self._data)
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
            self._prepare(name, select_models(self._suite, name), display)
        return self._run_steps(self._steps, display)

    def train(self, cells: Sequence[Cell], display: Display, *, deadline_s: float | None = None) -> Outcome:
        """Train more, side by side, for accuracies alone; after `run`, any number of times.

        Args:
            cells: Trainings, also of tasks and models that the suite lacks. Stored ones that hold are kept.
            deadline_s: No training starts after `time.monotonic()` has reached it; None for no limit.
        """
        for name in dict.fromkeys(cell.task for cell in cells):
            self._prepare(name, [cell.model for cell in cells if cell.task == name], display)
        plugins = describe_plugins(self._data.tasks, {cell.model for cell in cells} | self._models)
        self._environment["plugins"] = [*plugins]
        return self._run_steps([make_batch(cells)] if cells else [], display, deadline_s)

    def _prepare(self, task: str, models: Iterable[str], display: Display) -> None:
        """Read the data of a task. What models are pretrained on is kept where they are trained."""
        self._data.prepare(task, () if self._engine.has_nodes else models, display.progress)

    def compute_references(self, tasks: Iterable[str], display: Display) -> Outcome:
        """Compute the figures of the data alone, also of tasks that the suite lacks."""
        steps = [step for task in tasks for step in make_reference_steps(task)]
        for step in steps:
            self._data.prepare(step.task, (), display.progress)
        return self._run_steps(steps, display)

    def count_places(self) -> int:
        """Count the trainings for accuracies alone that run at once."""
        return self._engine.count_places(is_timed=False)

    def _run_steps(self, steps: Sequence[Step], display: Display, deadline_s: float | None = None) -> Outcome:
        outcome, stored = Outcome(), self._store.current()
        self._pace = Pace(self._suite, [attempt.record for attempt in stored.values() if attempt.record])
        waves = make_waves(steps) if self._engine.has_nodes else [[step] for step in steps]
        stale = [[[*self._list_stale(step, stored)] for step in wave] for wave in waves]
        try:
            for index, wave in enumerate(waves):
                whole = join_steps(wave)
                display.start_step(whole, index, len(waves), self._estimate_left(waves[index:], stale[index:]))
                # What is measured may have been trained meanwhile.
                is_late = MEASURES[whole.kind].needs_training
                todo = [[*self._list_stale(step, stored)] for step in wave] if is_late else stale[index]
                n_kept = len(whole.cells) - sum(map(len, todo))
                outcome.n_kept += n_kept
                works = self._make_works(wave, todo, outcome)
                if works:
                    said = self._run_works(works, n_kept, display, outcome, deadline_s)
                else:
                    said = "skipped, its training failed" if any(todo) else self._describe_kept(whole)
                display.end_step(whole, said)
        finally:
            self._context.close()
        return outcome

    def _estimate_left(self, waves: Sequence[Sequence[Step]], stale: Sequence[Sequence[list[Cell]]]) -> Left:
        """Time of the first of these waves, and of the later ones."""
        first_s, *later_s = (
            sum(self._estimate(step, cells, self._pace) for step, cells in zip(wave, todo, strict=True))
            for wave, todo in zip(waves, stale, strict=True)
        )
        n_cells = sum(len(cells) for todo in stale for cells in todo)
        return Left(first_s, sum(later_s), n_cells)

    def _estimate(self, step: Step, cells: Collection[Cell], pace: Pace) -> float:
        return pace.estimate(step, cells, self._engine.count_places(is_timed=step.is_timed))

    def plan(self, display: Display) -> Forecast:
        """Tell what `run` would do, why, and about how long it takes. Only data that results stand on are read."""
        stored = self._store.current()
        records = [attempt.record for attempt in stored.values() if attempt.record]
        for name in {record.cell.task for record in records} & self._data.tasks.keys():
            self._data.read(name, display.progress)
        planned, pace = [], Pace(self._suite, records)
        for step in self._steps:
            reasons = self._list_stale(step, stored)
            n_rough = sum(not pace.knows(cell, is_timed=step.is_timed) for cell in reasons)
            estimated_s = self._estimate(step, reasons, pace)
            planned.append(PlannedStep(step, reasons, estimated_s, n_rough, self._describe_kept(step)))
        todo = [cell for step in planned for cell in step.reasons]
        return Forecast(tuple(planned), estimate_bytes(todo, records))

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
        machine = record.machine_id if self._engine.has_nodes else None
        expected = {self._fingerprint(record.cell, suite, machine=machine)}
        if expected == {""}:
            return "its training is done first"
        if not is_timed:
            expected.add(self._fingerprint(record.cell, suite, is_timed=False, machine=machine))
        return "" if fingerprint in expected else explain_change(record, suite)

    def _remember(self, record: Record) -> None:
        cell = record.cell
        if cell.kind == "train" and cell.seed_index == MEASURED_SEED and record.is_timed:
            self._context.trained[cell.task, cell.model] = record

    def _fingerprint(self, cell: Cell, suite: Suite, *, is_timed: bool = True, machine: str | None = None) -> str:
        return fingerprint_cell(self._context, cell, suite, is_timed=is_timed, machine=machine)

    def _make_works(self, steps: Sequence[Step], todo: Sequence[list[Cell]], outcome: Outcome) -> list[Work]:
        """Make the pieces of work of these steps. Cells whose training failed have failed with it."""
        works = []
        for step, cells in zip(steps, todo, strict=True):
            ready = [cell for cell in cells if self._is_ready(cell)]
            for cell in cells:
                if cell not in ready:
                    self._fail([cell], f"{cell.model} has no trained artifact: its training failed", outcome)
            groups = [tuple(ready)] if step.is_timed else [(cell,) for cell in ready]
            works += [Work(step.kind, group, step.is_timed) for group in groups if group]
        return join_works(works) if self._engine.has_nodes else works

    def _is_ready(self, cell: Cell) -> bool:
        return not needs_training(cell, self._suite) or (cell.task, cell.model) in self._context.trained

    def _run_works(
        self, works: list[Work], n_kept: int, display: Display, outcome: Outcome, deadline_s: float | None = None
    ) -> str:
        """Do the work, and keep each piece when it ends."""
        before, n_ended, errors, failures = read_load(), 0, list[BenchError](), dict[str, str]()
        with closing(self._engine.run(self._context, works, display.progress, deadline_s)) as pieces:
            for ended in pieces:
                n_ended += 1
                work = ended.work
                outcome.n_lost += ended.n_lost
                add_log(self._store.folder, ended)
                try:
                    records = ended.get_records()
                    for record in records:
                        self._data.check(record)
                except BenchError as error:
                    errors.append(error)
                    self._fail(work.cells, str(error), outcome, is_timed=work.is_timed)
                    check_room(self._store.folder)  # else all that comes would fail in turn
                else:
                    took_s = ended.took_s / len(records)
                    failures |= self._keep(records, before, took_s, outcome, is_timed=work.is_timed)
        outcome.n_left += len(works) - n_ended
        return describe_end(works, n_ended, errors, failures, n_kept)

    def _keep(
        self, records: Sequence[Record], before: Load, took_s: float, outcome: Outcome, *, is_timed: bool = True
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
        self._store.add_done(
            [(r, self._fingerprint(r.cell, self._suite, is_timed=is_timed, machine=r.machine_id)) for r in records]
        )
        for record in records:
            self._remember(record)
            own_s = record.provenance["took_s"]  # of a node, without the queue before it
            took_s = own_s if isinstance(own_s, int | float) else took_s
            self._pace.learn(record.cell, took_s, is_timed=is_timed, n_models=len(records))
        self._ended.update(record.cell for record in records)
        failures = {record.cell.key: "\n".join(record.failures) for record in records if record.failures}
        outcome.failures.update(failures)
        outcome.n_done += len(records) - len(failures)
        return failures

    def _fail(self, cells: Iterable[Cell], error: str, outcome: Outcome, *, is_timed: bool = True) -> None:
        tried = [(cell.key, self._fingerprint(cell, self._suite, is_timed=is_timed)) for cell in cells]
        self._store.add_failed(tried, error)
        outcome.failures.update({cell.key: error for cell in cells})
