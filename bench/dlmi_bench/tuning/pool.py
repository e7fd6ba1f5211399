"""Trials side by side: one worker a CPU. Who stops listening kills those that still run."""

import os
import threading
import time
from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from queue import SimpleQueue

from dlmi_bench.errors import BenchError, choose_remedy
from dlmi_bench.instruments.pinning import list_cpus
from dlmi_bench.jobs.protocol import TuneRequest
from dlmi_bench.jobs.worker import Worker
from dlmi_bench.records import Record


@dataclass(frozen=True)
class Ended:
    """A trial that ended, with its record or its error, and the time from the request to the answer [s]."""

    request: TuneRequest
    result: Record | BenchError
    took_s: float


class _Server(threading.Thread):
    """A thread that asks one worker for one trial after another, and sleeps meanwhile."""

    def __init__(self, cpu: int | None, waiting: "deque[TuneRequest]", ended: "SimpleQueue[Ended]") -> None:
        super().__init__(daemon=True)
        self._cpu, self._waiting, self._ended = cpu, waiting, ended
        self._lock, self._is_over = threading.Lock(), False
        self._worker: Worker | None = None

    def run(self) -> None:
        while not self._is_over:
            try:
                request = self._waiting.popleft()
            except IndexError:
                break
            self._ended.put(self._ask(request.model_copy(update={"cpu": self._cpu})))
        if self._worker:
            self._worker.close()

    def stop(self) -> None:
        with self._lock:
            self._is_over = True
            if self._worker:
                self._worker.kill()
        if self.is_alive():
            self.join()

    def _ask(self, request: TuneRequest) -> Ended:
        begin_s = time.monotonic()
        result: Record | BenchError
        try:
            result = self._find_worker().ask(request)
        except BenchError as error:
            result = error
        except Exception as error:  # noqa: BLE001 - a fault of the program costs one trial: the others go on
            result = BenchError(f"{type(error).__name__}: {error}", choose_remedy(error))
        return Ended(request, result, time.monotonic() - begin_s)

    def _find_worker(self) -> Worker:
        """The thread's worker; a new one where it died."""
        if self._worker and self._worker.is_alive:
            return self._worker
        if self._worker:
            self._worker.close()
        with self._lock:
            if self._is_over:
                raise BenchError("tuning was ended", "run it again")
            self._worker = Worker()
        return self._worker


def ask_beside(requests: Sequence[TuneRequest]) -> Generator[Ended]:
    """Yield each trial when it ends. Close it to kill what still runs."""
    cpus: list[int] | list[None] = list_cpus() or [None] * (os.cpu_count() or 1)
    waiting, ended = deque(requests), SimpleQueue[Ended]()
    servers = [_Server(cpu, waiting, ended) for cpu in cpus[: len(requests)]]
    try:
        for server in servers:
            server.start()
        for _ in requests:
            yield ended.get()
    finally:
        for server in servers:
            server.stop()
