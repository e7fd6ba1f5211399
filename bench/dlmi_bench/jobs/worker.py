"""Worker processes: jobs go in and events come out as lines of JSON, so nothing is ever unpickled.

The parent sleeps in a read while a worker measures. A worker lives no longer than its parent: when its standard input
closes, it exits at once.
"""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import traceback
import warnings
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from inspect import signature
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Self, get_type_hints

from pydantic import TypeAdapter, ValidationError

from dlmi_bench.errors import BenchError, UsageError, choose_remedy
from dlmi_bench.instruments.host.facts import limit_threads
from dlmi_bench.instruments.pinning import list_cpus
from dlmi_bench.jobs.plugins import load_known
from dlmi_bench.jobs.protocol import Answer, OnProgress, Request
from dlmi_bench.jobs.source_files import is_replaying
from dlmi_bench.search_path import append_user_path, protect_child

MAX_PRINTED = 2000  # lines of a worker that are kept until somebody takes them
DRAIN_S = 2.0  # for what a dead worker said last, which is in the pipe


class JobError(BenchError):
    """A job failed inside its worker."""


class WorkerDeathError(JobError):
    """A worker ended in the middle of a job, which may end well elsewhere."""


@dataclass(frozen=True)
class Software:
    """A checkout of this project, perhaps of another commit, and the interpreter that can run it."""

    checkout: Path
    python: Path

    @property
    def source_roots(self) -> str:
        """Value of PYTHONPATH with which the checkout's packages are found, and this project's are not."""
        roots = [self.checkout / name for name in SOURCE_ROOTS]
        return os.pathsep.join(map(str, [self.checkout] if self.is_older else roots))

    @property
    def is_older(self) -> bool:
        """True where the checkout is older than today's package names."""
        return not (self.checkout / "bench" / "dlmi_bench").is_dir()

    def find_name(self, name: str) -> str:
        """Find the name that a module or a job of today has in the checkout."""
        return OLDER_NAMES[name] if self.is_older else name


SOURCE_ROOTS = ("bench", "models", "tasks", "reports")
# What a gate asks of another commit, by the names that it had before 0.2.0.
OLDER_NAMES = {
    "dlmi_bench.jobs.worker": "bench.executors",
    "dlmi_bench.instruments.host.provenance": "bench.environment",
    "dlmi_bench.gating.sides.candidate:run_export_job": "bench.gate.candidate:run_export_job",
    "dlmi_bench.gating.latency.rounds:run_prepare_job": "bench.gate.rounds:run_prepare_job",
    "dlmi_bench.gating.latency.rounds:run_round_job": "bench.gate.rounds:run_round_job",
}


class Worker:
    """One fresh process, of one thread unless told otherwise.

    Args:
        index: Number of the process among its replicates; seeds its hash function and the size of its environment,
            which both move code and data around in memory and with them the time of a call.
        software: Another interpreter and another checkout to run instead of this one.
        n_threads: Of each numerical library in it.
        settings: Variables of its environment, besides those of this process.

    Raises:
        UsageError: a file of the user's is being run for what it defines; it would measure in each worker.
    """

    def __init__(
        self,
        index: int = 0,
        software: Software | None = None,
        *,
        n_threads: int = 1,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        if is_replaying():
            raise UsageError("a study measures while it is being read", "call compare first, or guard it by __main__")
        environment = dict(os.environ) | limit_threads(n_threads) | dict(settings or {})
        environment["PYTHONHASHSEED"] = str(index)
        environment["DLMI_BENCH_PADDING"] = "x" * random.Random(index).randrange(4096)  # noqa: S311
        protect_child(environment)
        module, self._software = "dlmi_bench.jobs.worker", software
        if software:
            environment["PYTHONPATH"], module = software.source_roots, software.find_name(module)
        self._process = subprocess.Popen(
            [str(software.python) if software else sys.executable, "-P", "-m", module],
            cwd=software.checkout if software else None,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            text=True,
            errors="backslashreplace",  # of what a model's libraries print; the protocol is ASCII
            start_new_session=True,  # Ctrl-C is for the parent to handle
        )
        self._last: deque[str] = deque(maxlen=20)  # lines that it printed
        self._printed: deque[str] = deque(maxlen=MAX_PRINTED)
        self._drainer = threading.Thread(target=self._drain_stderr, daemon=True)
        self._drainer.start()

    def ask(
        self, request: Request[Answer], on_progress: OnProgress | None = None, *, timeout_s: float | None = None
    ) -> Answer:
        """Run the request's job in the worker, which is killed when it takes longer than `timeout_s`.

        Raises:
            UsageError: the job raised one.
            JobError: it raised anything else, the worker died, did not answer in time or answered something else.
        """
        start_s, timer = time.monotonic(), threading.Timer(timeout_s or 0.0, self.kill)
        if timeout_s is not None:
            timer.start()
        try:
            return request.parse_answer(self._exchange(request, on_progress))
        except ValidationError as error:
            raise JobError(f"{request.job}: unknown answer ({error})", "run the same version on both sides") from error
        except JobError as error:
            if timeout_s is None or time.monotonic() - start_s < timeout_s:
                raise
            raise JobError(f"no answer from {request.job} within {timeout_s:g} s", "allow it more time") from error
        finally:
            timer.cancel()

    def _exchange(self, request: Request[Any], on_progress: OnProgress | None) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        function = self._software.find_name(request.job) if self._software else request.job
        try:
            self._process.stdin.write(
                json.dumps({"function": function, "payload": request.model_dump(mode="json")}) + "\n"
            )
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._death(function) from None
        for line in self._process.stdout:
            event = json.loads(line)
            if "result" in event:
                return event["result"]
            if "error" in event:
                raise (UsageError if event["is_usage"] else JobError)(event["error"], event["remedy"])
            if on_progress:
                on_progress(event["doing"], event["fraction"])
        raise self._death(function)

    def take_log(self) -> str:
        """What the worker has printed since it was asked last; the end of it where that is much."""
        lines = [self._printed.popleft() for _ in range(len(self._printed))]
        return "".join(lines)

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def close(self) -> None:
        with suppress(BrokenPipeError):  # a job that a dead worker did not take is flushed once more
            if self._process.stdin:
                self._process.stdin.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.kill()
        self._end()
        if self._process.stdout:
            self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if kind is not None:
            self.kill()
        self.close()

    def _death(self, function: str) -> WorkerDeathError:
        code = self._end()
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        last = "".join(self._last).strip()
        cause = f"worker died ({how}) during {function}" + (f"\n{last}" if last else "")
        if code == -signal.SIGKILL:
            return WorkerDeathError(cause, "free memory, which usually ran out, then run the same command again")
        return WorkerDeathError(cause, "the model or a library ended the process: try the model alone, or run it again")

    def kill(self) -> None:
        """Kill the worker and all processes that its jobs started: they are one session."""
        if not hasattr(os, "killpg"):
            self._process.kill()
            return
        with suppress(ProcessLookupError, PermissionError):  # none of them is left
            os.killpg(self._process.pid, signal.SIGKILL)

    def _end(self) -> int:
        """Wait for the worker and for what it printed last; processes that left its session are not waited for."""
        code = self._process.wait()
        self.kill()
        self._drainer.join(DRAIN_S)
        return code

    def _drain_stderr(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as lines:
            for line in lines:
                self._last.append(line)
                self._printed.append(line)


def _read_jobs(jobs: "SimpleQueue[str]") -> None:
    for line in sys.stdin:
        jobs.put(line)
    os._exit(0)  # the parent is gone


@cache
def _find_job(name: str) -> tuple[Callable[..., Any], TypeAdapter[Any], TypeAdapter[Any]]:
    """The function, and the types of its request and its answer, as it is annotated."""
    module, _, function_name = name.partition(":")
    function = getattr(import_module(module), function_name)
    hints = get_type_hints(function)
    request, *_ = (hints.get(parameter, Any) for parameter in signature(function).parameters)
    return function, TypeAdapter(request), TypeAdapter(hints.get("return", Any))


def _run_job(name: str, payload: object, emit: Callable[..., None]) -> None:
    try:
        function, request, answer = _find_job(name)
        result = function(
            request.validate_python(payload), lambda doing, fraction: emit(doing=doing, fraction=fraction)
        )
        emit(result=answer.dump_python(result, mode="json"))
    except BenchError as error:
        emit(error=error.cause, remedy=error.remedy, is_usage=isinstance(error, UsageError))
    except Exception as error:  # noqa: BLE001 - whatever a job raises is its result; the parent records it
        where = traceback.format_exc(limit=-3)
        cause = f"{type(error).__name__}: {error}\n{where}"
        emit(error=cause, remedy=choose_remedy(error), is_usage=False)


def run_here(request: Request[Answer], on_progress: OnProgress) -> Answer:
    """Run a job in this process, for objects that no other has; threads, CPUs and torch's settings are put back.

    Raises:
        UsageError: the job raised one.
        JobError: it raised anything else.
    """
    import torch

    n_threads, is_strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    cpus, state = list_cpus(), torch.get_rng_state()
    function, _, _ = _find_job(request.job)
    try:
        with warnings.catch_warnings(category=FutureWarning, action="ignore"):  # of libraries about themselves
            answer: Answer = function(request, on_progress)
    except BenchError:
        raise
    except Exception as error:
        cause = f"{type(error).__name__}: {error}\n{traceback.format_exc(limit=-3)}"
        raise JobError(cause, choose_remedy(error)) from error
    finally:
        torch.set_num_threads(n_threads)
        torch.use_deterministic_algorithms(is_strict)
        torch.set_rng_state(state)
        if cpus and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, cpus)
    return answer


def main() -> None:
    """The worker's side: jobs from standard input, events to what was standard output."""
    append_user_path()
    load_known()
    events = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # a library that prints must not disturb the protocol

    def emit(**event: object) -> None:
        events.write(json.dumps(event) + "\n")

    jobs: SimpleQueue[str] = SimpleQueue()
    threading.Thread(target=_read_jobs, args=(jobs,), daemon=True).start()
    while True:
        job = json.loads(jobs.get())
        _run_job(job["function"], job["payload"], emit)


if __name__ == "__main__":
    main()
