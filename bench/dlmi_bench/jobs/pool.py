"""Jobs of cells side by side: as many at a time as there are CPUs, each in a worker of its own.

The system deals out the CPUs: another run beside this one would pin its jobs to the same ones.
"""

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Self

from dlmi_bench.errors import BenchError, choose_remedy
from dlmi_bench.instruments.pinning import list_cpus
from dlmi_bench.jobs.protocol import CellRequest, OnProgress
from dlmi_bench.jobs.worker import Worker, WorkerDeathError
from dlmi_bench.records import Cell, Record

# Memory of large tensors is kept for the next one instead of being given back: 5 to 9 % faster, and the same bits. It
# moves times, so that timed trainings have the system's own settings. Only the C library of GNU reads them.
ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": "1000000000", "MALLOC_TRIM_THRESHOLD_": "4000000000"}


@dataclass(frozen=True)
class Ended:
    """A job that ended, with its record or its error.

    Attributes:
        took_s: From the request to the answer [s].
        place: Name of the worker.
        log: What it printed meanwhile.
        n_lost: How many workers died of it before.
    """

    request: CellRequest
    result: Record | BenchError
    took_s: float
    place: str = "worker"
    log: str = ""
    n_lost: int = 0

    @property
    def cell(self) -> Cell:
        return self.request.cell

    def get_record(self) -> Record:
        """The record.

        Raises:
            BenchError: the job failed.
        """
        if isinstance(self.result, BenchError):
            raise self.result
        return self.result


class Pool:
    """Threads that each ask one worker and sleep meanwhile. What ended comes out in one thread, the caller's.

    On the way out all workers are killed: jobs that have not ended leave nothing behind.

    Args:
        deadline_s: No job starts after `time.monotonic()` has reached it; None for no limit.
        choose_pause: Pause before a cell is done again of which so many workers died [s]; None where it is given up.
    """

    def __init__(
        self,
        requests: Iterable[CellRequest],
        *,
        deadline_s: float | None = None,
        choose_pause: Callable[[Sequence[Cell], int], float | None] = lambda *_: None,
    ) -> None:
        self._waiting, self._choose_pause = deque(requests), choose_pause
        self._over = threading.Event()
        self._shares: dict[Cell, float] = {}
        self._n_requests, self._deadline_s = len(self._waiting), deadline_s
        self._lock = threading.Lock()
        self._workers: dict[int, Worker] = {}
        self._events: SimpleQueue[Ended | tuple[Cell, float] | None] = SimpleQueue()
        n_cpus = len(list_cpus()) or os.cpu_count() or 1
        self._threads = [
            threading.Thread(target=self._serve, args=(index,), daemon=True)
            for index in range(min(n_cpus, self._n_requests))
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._over.set()
            for worker in self._workers.values():
                worker.kill()
        for thread in self._threads:
            thread.join()

    def list_running(self) -> dict[Cell, float]:
        """List the jobs under way that have told how far they are, with their shares."""
        return dict(self._shares)

    def wait(self, on_progress: OnProgress) -> Iterator[Ended]:
        """Yield each job when it ends; those that start no more after the deadline are left out."""
        n_ended, n_serving = 0, len(self._threads)
        while n_serving:
            event = self._events.get()
            if event is None:
                n_serving -= 1
                continue
            if isinstance(event, Ended):
                n_ended += 1
                self._shares.pop(event.cell, None)
                yield event
            else:
                self._shares[event[0]] = event[1]
            done = (n_ended + sum(self._shares.values())) / self._n_requests
            on_progress(f"{n_ended} of {self._n_requests} trainings", done)

    def _serve(self, index: int) -> None:
        """Train one after another in one worker."""
        try:
            while request := self._take():
                self._events.put(self._train(index, request))
            if worker := self._workers.get(index):
                worker.close()
        finally:
            self._events.put(None)  # else whoever waits would wait for ever

    def _take(self) -> CellRequest | None:
        with self._lock:
            is_late = self._deadline_s is not None and time.monotonic() >= self._deadline_s
            return None if self._over.is_set() or is_late or not self._waiting else self._waiting.popleft()

    def _train(self, index: int, request: CellRequest) -> Ended:
        """Do a job, again after a pause where its worker died; how often is up to `choose_pause`."""
        begin_s, cell, n_lost, log = time.monotonic(), request.cell, 0, ""
        while True:
            result = self._ask(index, request)
            log += self._workers[index].take_log() if index in self._workers else ""
            if not isinstance(result, WorkerDeathError):
                break
            pause_s = self._choose_pause([cell], n_lost + 1)
            if pause_s is None or self._over.wait(pause_s):
                break
            n_lost += 1
        return Ended(request, result, time.monotonic() - begin_s, f"worker-{index + 1}", log, n_lost)

    def _ask(self, index: int, request: CellRequest) -> Record | BenchError:
        try:
            return self._find_worker(index).ask(request, lambda _, share: self._events.put((request.cell, share)))
        except BenchError as error:
            return error
        except Exception as error:  # noqa: BLE001 - a fault of the program costs one training: the others go on
            return BenchError(f"{type(error).__name__}: {error}", choose_remedy(error))

    def _find_worker(self, index: int) -> Worker:
        """The thread's worker; a new one where it died."""
        worker = self._workers.get(index)
        if worker and worker.is_alive:
            return worker
        if worker:
            worker.close()
        with self._lock:
            if self._over.is_set():
                raise BenchError("the run was ended", "run it again")
            self._workers[index] = worker = Worker(settings=ALLOCATOR)
        return worker
