"""Nodes behind a Dask scheduler: work is sent to them while it is wanted, and sent again where a node is lost.

Each node runs `dask worker ADDRESS --nthreads CPUS --resources exclusive=1`. Whoever has the resource has the node:
timed work goes there one piece at a time, and never while trainings for accuracies alone run, which take a thread each.
"""

import asyncio
import hashlib
import logging
import math
import socket
import time
import warnings
from collections import deque
from collections.abc import Callable, Collection, Generator, Iterator
from concurrent.futures import CancelledError
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any
from uuid import uuid4

from distributed import Client, Future, KilledWorker, LocalCluster

from dlmi_bench.errors import BenchError, UnavailableError, UsageError
from dlmi_bench.instruments.pinning import list_cpus
from dlmi_bench.jobs.protocol import OnProgress
from dlmi_bench.suite.context import SuiteContext
from dlmi_bench.suite.engines import Ended, Patience, Running, Work
from dlmi_bench.suite.engines.local import LocalEngine
from dlmi_bench.suite.engines.options import DaskOptions
from dlmi_bench.suite.engines.orders import Answer, Lost, make_order, unpack
from dlmi_bench.suite.engines.transport import do_order, end_run, pick_settings

# What Dask raises where nobody answers any more.
SAID_OF_NOBODY = (OSError, RuntimeError, ValueError, CancelledError, asyncio.CancelledError)
EXCLUSIVE = "exclusive"  # resource of a node, 1 of each
START = f"start one on each node: dask worker ADDRESS --nthreads CPUS --resources {EXCLUSIVE}=1"
AHEAD = 2  # pieces for each place, so that none waits for the driver
LISTED_S = 2.0  # a list of nodes serves as long as that
LOOK_S = 1.0  # between two looks at the scheduler and the clock while nothing ends


class LostSchedulerError(BenchError):
    """The scheduler of a run ended before the run did."""


@dataclass
class _Sent:
    """A piece of work on its way: since when, where, how often it was lost and what became of it then."""

    work: Work
    n_lost: int = 0
    begin_s: float = 0.0
    share: float = 0.0
    place: str = ""
    due_s: float = 0.0
    log: str = ""
    future: Future[Any] | None = None


class DaskEngine:
    """The nodes of a scheduler.

    Args:
        client: Connected to it.
        run: Name of the run, the same each time that the same folder is written.
        end: Ends what was begun for this engine alone.
        mend: Called now and then while work is under way; starts nodes in the place of lost ones.
    """

    has_nodes = True

    def __init__(self, client: Client, run: str, end: Callable[[], object], mend: Callable[[], object]) -> None:
        self._client, self._run, self._end, self._mend = client, run, end, mend
        self._events: SimpleQueue[tuple[str, Any]] = SimpleQueue()
        self._sent: dict[str, _Sent] = {}
        self._patience, self.n_lost = Patience(), 0
        self._nodes: list[dict[str, Any]] = []
        self._listed_s = self._mended_s = -math.inf
        client.subscribe_topic(run, lambda event: self._events.put(("told", event[1])))
        client.run(end_run, run)  # what a driver left behind that was killed

    def count_places(self, *, is_timed: bool) -> int:
        """Count the nodes, or the threads of all of them."""
        if time.monotonic() - self._listed_s >= LISTED_S:
            self._nodes, self._listed_s = list_nodes(self._client), time.monotonic()
        nodes = self._nodes
        return sum(bool(node["resources"].get(EXCLUSIVE)) if is_timed else node["nthreads"] for node in nodes)

    def list_running(self) -> list[Running]:
        """List the work that a node has told of."""
        return [Running(sent.work.cells, sent.share, sent.place) for sent in self._sent.values() if sent.place]

    def run(
        self, context: SuiteContext, works: Collection[Work], on_progress: OnProgress, deadline_s: float | None = None
    ) -> Generator[Ended]:
        """Yield each piece of work when it ends; see `Engine`."""
        here = [work for work in works if any(context.is_here_only(cell) for cell in work.cells)]
        away = deque(_Sent(work) for work in works if work not in here)
        try:
            yield from self._run_away(context, away, on_progress, deadline_s)
        except SAID_OF_NOBODY:
            self._look()
            raise
        finally:
            self._drop_all()
        yield from LocalEngine().run(context, here, on_progress, deadline_s)

    def _run_away(
        self, context: SuiteContext, waiting: deque[_Sent], on_progress: OnProgress, deadline_s: float | None
    ) -> Iterator[Ended]:
        n_works, n_ended, settings = len(waiting), 0, pick_settings()
        while waiting or self._sent:
            self._look()
            if deadline_s is not None and time.monotonic() >= deadline_s:
                waiting.clear()
            n_ahead = AHEAD if deadline_s is None else 1  # what waits at a node would start after the deadline
            self._send(context, waiting, settings, n_ahead)
            for ended in self._take(context, waiting):
                n_ended += 1
                yield ended
            done = (n_ended + sum(sent.share for sent in self._sent.values())) / max(n_works, 1)
            on_progress(f"{n_ended} of {n_works}, {self.count_places(is_timed=True)} nodes", done)

    def _send(self, context: SuiteContext, waiting: deque[_Sent], settings: dict[str, str], n_ahead: int) -> None:
        """Send what is due, for each place so many pieces."""
        for _ in range(len(waiting)):
            sent = waiting[0]
            if len(self._sent) >= n_ahead * max(1, self.count_places(is_timed=sent.work.is_timed)):
                return
            waiting.popleft()
            if sent.due_s > time.monotonic():
                waiting.append(sent)
                continue
            self._submit(context, sent, settings)

    def _submit(self, context: SuiteContext, sent: _Sent, settings: dict[str, str]) -> None:
        name = f"dlmi-bench-{uuid4().hex}"
        order, files = make_order(context, sent.work, run=self._run, name=name, settings=settings)
        resources = {EXCLUSIVE: 1} if sent.work.is_timed else None
        with warnings.catch_warnings(category=UserWarning, action="ignore"):  # of Dask, about large files
            future = self._client.submit(do_order, order, files, key=name, pure=False, resources=resources)
        sent.future, sent.begin_s, sent.share = future, time.monotonic(), 0.0
        self._sent[name] = sent
        future.add_done_callback(lambda done: self._events.put(("ended", done.key)))

    def _take(self, context: SuiteContext, waiting: deque[_Sent]) -> Iterator[Ended]:
        """Wait for something to happen, and yield what ended; what was lost is sent again, later each time."""
        try:
            what, said = self._events.get(timeout=LOOK_S)
        except Empty:
            return
        if what == "told":
            if sent := self._sent.get(said["name"]):
                sent.share, sent.place = float(said["fraction"]), str(said["node"])
            return
        if (sent := self._sent.pop(said, None)) is None or sent.future is None:
            return
        answer = self._read(sent.future, sent.work, context.folder)
        took_s, sent.future, result = time.monotonic() - sent.begin_s, None, answer.result
        sent.log += answer.log
        if not isinstance(result, Lost):
            yield Ended(sent.work, result, took_s, answer.place, sent.log, sent.n_lost)
            return
        sent.n_lost += 1
        self.n_lost += 1
        sent.log += f"lost: {result.cause}\n"
        pause_s = self._patience.choose_pause(sent.work.cells, sent.n_lost) if result.may_again else None
        if pause_s is None:
            remedy = "see the logs of the nodes: memory that runs out, or the time limit of a job, ends workers"
            error = BenchError(f"lost again and again: {result.cause}", remedy)
            yield Ended(sent.work, error, took_s, answer.place, sent.log, sent.n_lost)
            return
        sent.due_s, sent.place = time.monotonic() + pause_s, ""
        waiting.append(sent)

    def _look(self) -> None:
        """Look after the scheduler, and now and then after the nodes.

        Raises:
            LostSchedulerError: it does not answer any more.
        """
        if self._client.status != "running":
            remedy = "start it again, then say the same command: what has ended is kept"
            raise LostSchedulerError("the scheduler is gone", remedy)
        if time.monotonic() - self._mended_s >= LOOK_S:
            self._mended_s = time.monotonic()
            self._mend()

    def _read(self, future: Future[Any], work: Work, folder: Path) -> Answer:
        try:
            parcel, files = future.result()
        except KilledWorker as error:  # Dask has sent it again as often as it may
            return Answer(Lost(f"nodes died of it, the last one {error.last_worker}", may_again=False))
        except (asyncio.CancelledError, CancelledError, OSError) as error:  # nobody's fault: its node or scheduler went
            return Answer(Lost(f"{type(error).__name__}: {error}"))
        except Exception as error:  # noqa: BLE001 - whatever the other side raises is its answer
            remedy = "install the same dlmi-bench on driver and nodes"
            return Answer(BenchError(f"a node could not do its work: {type(error).__name__}: {error}", remedy))
        return unpack(parcel, files, work, folder)

    def _drop_all(self) -> None:
        """Forget what is still under way, and kill it."""
        if not self._sent:
            return
        for sent in self._sent.values():
            if sent.future:
                sent.future.release()
        self._sent.clear()
        with suppress(Exception):  # a scheduler that is gone has nothing to end
            self._client.run(end_run, self._run)

    def close(self) -> None:
        """Leave the scheduler, and end what was begun for this run alone."""
        with suppress(Exception):
            self._client.run(end_run, self._run)
        self._client.close()
        self._end()


def check_nodes(client: Client, address: str, patience_s: float) -> None:
    """Wait for the first node, and check that no machine is offered twice.

    Raises:
        UnavailableError: no node has come.
        UsageError: none of them can be had whole, or one is offered as two.
    """
    try:
        client.wait_for_workers(1, timeout=patience_s)
    except TimeoutError as error:
        raise UnavailableError(f"{address}: no worker within {patience_s:g} s", START) from error
    hosts = [node["host"] for node in list_nodes(client) if node["resources"].get(EXCLUSIVE)]
    if not hosts:
        raise UsageError(f"no worker has the resource {EXCLUSIVE}, without which nothing can be timed", START)
    if twice := sorted({host for host in hosts if hosts.count(host) > 1}):
        cause = f"{', '.join(twice)}: several workers with the resource {EXCLUSIVE} on one machine"
        raise UsageError(cause, "start one of them with it, and the others without: they would time each other")


def list_nodes(client: Client) -> list[dict[str, Any]]:
    """List the workers that the scheduler knows, as it describes them."""
    return [*client.scheduler_info(n_workers=-1).get("workers", {}).values()]


def open_dask(options: DaskOptions, folder: Path) -> DaskEngine:
    """Connect to a scheduler, or make a cluster of this machine alone.

    Raises:
        UnavailableError: no scheduler or no node answers.
        UsageError: its nodes cannot be used.
    """
    if options.scheduler:
        return connect(options.scheduler, folder, options.patience_s)
    cluster = LocalCluster(
        n_workers=1,
        threads_per_worker=len(list_cpus()) or 1,
        processes=False,  # its threads wait for workers of ours
        resources={EXCLUSIVE: 1},
        dashboard_address="127.0.0.1:0",
    )
    return connect(cluster.scheduler_address, folder, options.patience_s, end=cluster.close)


def connect(
    address: str,
    folder: Path,
    patience_s: float,
    *,
    end: Callable[[], object] = lambda: None,
    mend: Callable[[], object] = lambda: None,
) -> DaskEngine:
    """Make the engine of a scheduler; see `DaskEngine`.

    Args:
        folder: Of the results, which names the run.
        patience_s: How long scheduler and first node are waited for [s].
    """
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what it means for the run is said in our words
    try:
        client = Client(address, timeout=patience_s, set_as_default=False, name="dlmi-bench")
    except (OSError, ValueError) as error:
        end()
        remedy = "start one with `dask scheduler`, and name the address that it prints: --with scheduler=tcp://..."
        raise UnavailableError(f"no scheduler at {address}: {error}", remedy) from error
    name = hashlib.sha256(f"{socket.gethostname()}:{folder.resolve()}".encode()).hexdigest()[:12]
    try:
        check_nodes(client, address, patience_s)
        return DaskEngine(client, f"dlmi-bench-{name}", end, mend)
    except BaseException:
        client.close()
        end()
        raise
