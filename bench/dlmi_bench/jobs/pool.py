"""Jobs of cells side by side: as many at a time as there are CPUs, each in a worker of its own.

The system deals out the CPUs: another run beside this one would pin its jobs to the same ones.
"""

import os
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Self

from dlmi_bench.errors import BenchError, choose_remedy
from dlmi_bench.instruments.pinning import list_cpus
from dlmi_bench.jobs.protocol import CellRequest, OnProgress
from dlmi_bench.jobs.worker import Worker
from dlmi_bench.records import Cell, Record

# Memory of large tensors is kept for the next one instead of being given back: 5 to 9 % faster, and the same bits. It
# moves times, so that timed trainings have the system's own settings. Only the C library of GNU reads them.
ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": "1000000000", "MALLOC_TRIM_THRESHOLD_": "4000000000"}


@dataclass(frozen=True)
class Ended:
    """A job that ended, with its record or its error.

    Attributes:
        took_s: From the request to the answer [s].
    """

    request: CellRequest
    result: Record | BenchError
    took_s: float

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
    """

    def __init__(self, requests: Iterable[CellRequest], *, deadline_s: float | None = None) -> None:
        self._waiting = deque(requests)
        self._n_requests, self._deadline_s = len(self._waiting), deadline_s
        self._lock, self._is_over = threading.Lock(), False
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
            self._is_over = True
            for worker in self._workers.values():
                worker.kill()
        for thread in self._threads:
            thread.join()

    def wait(self, on_progress: OnProgress) -> Iterator[Ended]:
        """Yield each job when it ends; those that start no more after the deadline are left out."""
        n_ended, shares, n_serving = 0, dict[Cell, float](), len(self._threads)
        while n_serving:
            event = self._events.get()
            if event is None:
                n_serving -= 1
                continue
            if isinstance(event, Ended):
                n_ended += 1
                shares.pop(event.cell, None)
                yield event
            else:
                shares[event[0]] = event[1]
            done = (n_ended + sum(shares.values())) / self._n_requests
            on_progress(f"{n_ended} of {self._n_requests} trainings", done)

    def _serve(self, index: int) -> None:
        """Train one after another in one worker."""
        while request := self._take():
            self._events.put(self._train(index, request))
        if worker := self._workers.get(index):
            worker.close()
        self._events.put(None)

    def _take(self) -> CellRequest | None:
        with self._lock:
            is_late = self._deadline_s is not None and time.monotonic() >= self._deadline_s
            return None if self._is_over or is_late or not self._waiting else self._waiting.popleft()

    def _train(self, index: int, request: CellRequest) -> Ended:
        begin_s, cell = time.monotonic(), request.cell
        result: Record | BenchError
        try:
            result = self._find_worker(index).ask(request, lambda _, share: self._events.put((cell, share)))
        except BenchError as error:
            result = error
        except Exception as error:  # noqa: BLE001 - a fault of the program costs one training: the others go on
            result = BenchError(f"{type(error).__name__}: {error}", choose_remedy(error))
        return Ended(request, result, time.monotonic() - begin_s)

    def _find_worker(self, index: int) -> Worker:
        """The thread's worker; a new one where it died."""
        worker = self._workers.get(index)
        if worker and worker.is_alive:
            return worker
        if worker:
            worker.close()
        with self._lock:
            if self._is_over:
                raise BenchError("the run was ended", "run it again")
            self._workers[index] = worker = Worker(settings=ALLOCATOR)
        return worker
