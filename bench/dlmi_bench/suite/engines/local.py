"""This machine: timed work one after another, trainings for accuracies alone side by side."""

import time
import traceback
from collections.abc import Callable, Collection, Generator, Iterable

from dlmi_bench.errors import BenchError, choose_remedy
from dlmi_bench.instruments.pinning import list_cpus
from dlmi_bench.jobs.pool import Pool
from dlmi_bench.jobs.protocol import OnProgress
from dlmi_bench.jobs.worker import WorkerDeathError
from dlmi_bench.records import Cell, Record
from dlmi_bench.suite.context import SuiteContext
from dlmi_bench.suite.engines import Ended, Patience, Running, Work
from dlmi_bench.suite.measures import MEASURES, make_train_request


class LocalEngine:
    """The machine that the run was started on."""

    has_nodes = False

    def __init__(self, sleep: Callable[[float], None] = time.sleep) -> None:
        self._patience, self._sleep, self.n_lost = Patience(), sleep, 0
        self._now: Running | None = None
        self._pool: Pool | None = None

    def count_places(self, *, is_timed: bool) -> int:
        """Count the CPUs; one where the machine has to be the work's own."""
        return 1 if is_timed else len(list_cpus()) or 1

    def list_running(self) -> list[Running]:
        """List the work that is under way."""
        beside = self._pool.list_running() if self._pool else {}
        return [*([self._now] if self._now else []), *(Running((cell,), share) for cell, share in beside.items())]

    def run(
        self, context: SuiteContext, works: Collection[Work], on_progress: OnProgress, deadline_s: float | None = None
    ) -> Generator[Ended]:
        """Yield each piece of work when it ends; see `Engine`."""
        yield from (self._run_timed(context, work, on_progress) for work in works if work.is_timed)
        beside = [cell for work in works if not work.is_timed for cell in work.cells]
        others = [make_train_request(context, c, is_timed=False) for c in beside if not context.is_here_only(c)]
        with Pool(others, deadline_s=deadline_s, choose_pause=self._patience.choose_pause) as self._pool:
            for ended in self._pool.wait(on_progress):
                self.n_lost += ended.n_lost
                work, result = Work("train", (ended.cell,), is_timed=False), ended.result
                found = result if isinstance(result, BenchError) else [result]
                yield Ended(work, found, ended.took_s, ended.place, ended.log, ended.n_lost)
        self._pool = None
        yield from self._train_here(context, filter(context.is_here_only, beside), on_progress, deadline_s)

    def _run_timed(self, context: SuiteContext, work: Work, on_progress: OnProgress) -> Ended:
        """Do a piece of work, again after a pause where its worker died."""
        begin_s, n_lost = time.monotonic(), 0
        self._now = Running(work.cells)
        while isinstance(result := _act(context, work, on_progress), WorkerDeathError):
            if (pause_s := self._patience.choose_pause(work.cells, n_lost + 1)) is None:
                break
            self._sleep(pause_s)
            n_lost += 1
            self.n_lost += 1
        self._now = None
        return Ended(work, result, time.monotonic() - begin_s, "worker", context.take_log(), n_lost)

    def _train_here(
        self, context: SuiteContext, cells: Iterable[Cell], on_progress: OnProgress, deadline_s: float | None
    ) -> Generator[Ended]:
        """Train one by one, in this process, what no other process has."""
        for cell in cells:
            if deadline_s is not None and time.monotonic() >= deadline_s:
                return
            work, begin_s = Work("train", (cell,), is_timed=False), time.monotonic()
            yield Ended(work, _act(context, work, on_progress), time.monotonic() - begin_s, "here")

    def close(self) -> None:
        """Nothing is left: every worker ends with its work, or with the context."""


def _act(context: SuiteContext, work: Work, on_progress: OnProgress) -> list[Record] | BenchError:
    try:
        if not work.is_timed:
            requests = [make_train_request(context, cell, is_timed=False) for cell in work.cells]
            return [context.ask(request, on_progress, request.cell) for request in requests]
        return MEASURES[work.kind].run(context, [*work.cells], on_progress)
    except BenchError as error:
        return error
    except Exception as error:  # noqa: BLE001 - a fault of the program costs its own step: the others come
        cause = f"{type(error).__name__}: {error}\n{traceback.format_exc(limit=-3).rstrip()}"
        return BenchError(cause, choose_remedy(error))
