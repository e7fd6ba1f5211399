"""Worker processes: results, errors, deaths, and no orphans."""

import os
import subprocess
import sys
import time
from contextlib import suppress
from importlib import import_module
from inspect import signature
from pathlib import Path
from pkgutil import walk_packages
from typing import Any, get_type_hints

import psutil
import pytest

import dlmi_bench
from dlmi_bench.errors import UsageError
from dlmi_bench.instruments.host.facts import THREAD_VARIABLES, read_facts
from dlmi_bench.jobs.protocol import OnProgress, Request
from dlmi_bench.jobs.worker import JobError, Worker

# Modules that need a package which is not everywhere, or run something when they are imported.
OPTIONAL = ("machine", "openvino", "module_benchmark", "pyperf_rows", "pytest_rows", "torch_timer", "plugin")

JOBS = """
import os, sys
from dlmi_bench.errors import DataError
def add(payload, on_progress):
    print("noise on stdout")
    on_progress("adding", 0.5)
    return payload["a"] + payload["b"]
def leave(payload, on_progress):
    import subprocess; return subprocess.Popen(["sleep", "600"], start_new_session=payload["escapes"]).pid
def speak(payload, on_progress):
    os.write(2, b"caf\\xe9\\n"); os.write(2, payload["last"].encode()); os._exit(3)
def misuse(payload, on_progress):
    from dlmi_bench.errors import UsageError; raise UsageError("no such thing", "name another")
def environment(payload, on_progress):
    return dict(os.environ)
def get_pid(payload, on_progress):
    return os.getpid()
def fail(payload, on_progress):
    raise DataError("file x, line 3", "mend it")
def crash(payload, on_progress):
    return 1 / 0
def die(payload, on_progress):
    print("last words", file=sys.stderr, flush=True)
    os.kill(os.getpid(), 9)
def sleep(payload, on_progress):
    import time; on_progress(str(os.getpid()), 0.0); time.sleep(600)
"""


@pytest.fixture(autouse=True)
def jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "some_jobs.py").write_text(JOBS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


def ask(worker: Worker, job: str, payload: dict[str, Any], on_progress: OnProgress | None = None) -> Any:
    """The answer of a job, by a request made for it."""
    parts = {"job": job, "__module__": __name__, "__annotations__": dict.fromkeys(payload, Any)}
    return worker.ask(type("Asked", (Request[Any],), parts)(**payload), on_progress)


def test_results_and_progress_come_back() -> None:
    """A job's result and its progress arrive; what it prints does not disturb them; the worker serves again."""
    seen: list[tuple[str, float]] = []
    with Worker() as worker:
        assert ask(worker, "some_jobs:add", {"a": 1, "b": 2}, lambda *event: seen.append(event)) == 3
        assert ask(worker, "some_jobs:add", {"a": 3, "b": 4}) == 7
    assert seen == [("adding", 0.5)]


def test_errors_keep_cause_and_remedy() -> None:
    """A known error comes back with its remedy, an unknown one with its place, and the worker lives on."""
    with Worker() as worker:
        with pytest.raises(JobError, match="file x, line 3") as known:
            ask(worker, "some_jobs:fail", {})
        assert known.value.remedy == "mend it"
        with pytest.raises(JobError, match=r"ZeroDivisionError(.|\n)*some_jobs.py"):
            ask(worker, "some_jobs:crash", {})
        assert worker.is_alive


def test_death_is_reported_with_its_last_words() -> None:
    """A killed worker is an error that names the signal and shows what it last said."""
    with Worker() as worker:
        with pytest.raises(JobError, match=r"SIGKILL(.|\n)*last words"):
            ask(worker, "some_jobs:die", {})
        assert not worker.is_alive


def test_bytes_that_are_no_text_hide_no_last_words() -> None:
    """A library that writes Latin-1 is quoted with its bytes, and what follows is there; nobody blames the memory."""
    with Worker() as worker, pytest.raises(JobError, match=r"exit code 3(.|\n)*caf\\xe9\nfarewell") as caught:
        ask(worker, "some_jobs:speak", {"last": "farewell"})
    assert "memory" not in caught.value.remedy


def test_wrong_use_stays_wrong_use() -> None:
    """It has an exit code of its own, also where a worker finds it out."""
    with Worker() as worker, pytest.raises(UsageError, match="no such thing"):
        ask(worker, "some_jobs:misuse", {})


def test_workers_run_on_one_thread_each_with_its_own_layout() -> None:
    """Thread variables are 1; hash seed and size of the environment differ between replicates and repeat by index."""
    found = []
    for index in (0, 1, 1):
        with Worker(index) as worker:
            found.append(ask(worker, "some_jobs:environment", {}))
    assert all(environment[name] == "1" for environment in found for name in THREAD_VARIABLES)
    layouts = [(e["PYTHONHASHSEED"], len(e["DLMI_BENCH_PADDING"])) for e in found]
    assert layouts[0] != layouts[1]
    assert layouts[1] == layouts[2]


def test_recorded_threads_are_those_of_the_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the caller's own variables say, what is recorded is what a worker was started with."""
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    with Worker() as worker:
        environment = ask(worker, "some_jobs:environment", {})
    recorded = read_facts()["threads"].value
    assert recorded == {name: environment[name] for name in (*THREAD_VARIABLES, "OMP_WAIT_POLICY")}
    assert set(recorded.values()) == {"1", "PASSIVE"}  # type: ignore[union-attr]


def test_no_worker_outlives_its_parent(tmp_path: Path) -> None:
    """When the parent is killed with SIGKILL in the middle of a job, the worker is gone within seconds."""
    program = (
        "from dlmi_bench.jobs.protocol import Request\n"
        "from dlmi_bench.jobs.worker import Worker\n"
        "class Sleep(Request[None]):\n    job = 'some_jobs:sleep'\n"
        "Worker().ask(Sleep(), lambda pid, _: print(pid, flush=True))"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    assert psutil.pid_exists(pid)
    os.kill(parent.pid, 9)
    parent.wait()
    parent.stdout.close()
    wait_for_end(pid)


def wait_for_end(pid: int) -> None:
    """Until the process is gone, or dead and only not yet waited for."""
    deadline = time.monotonic() + 30
    with suppress(psutil.NoSuchProcess):
        while psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < deadline, "the process is still there"
            time.sleep(0.05)


def test_worker_that_died_between_two_jobs_is_an_error_of_the_next() -> None:
    """The job that it did not take fails with its reason, and leaving the worker raises nothing else."""
    with Worker() as worker:
        pid = int(ask(worker, "some_jobs:get_pid", {}))
        os.kill(pid, 9)
        wait_for_end(pid)
        with pytest.raises(JobError, match="SIGKILL"):
            ask(worker, "some_jobs:add", {"a": 1, "b": 2})


@pytest.mark.parametrize("escapes", [False, True])
def test_what_a_job_leaves_behind_holds_nobody_up(escapes: bool) -> None:
    """A process that it started ends with the worker; one that left its session lives on, unwaited for."""
    with Worker() as worker:
        pid = ask(worker, "some_jobs:leave", {"escapes": escapes})
    if escapes:
        os.kill(pid, 9)  # it was there
    wait_for_end(pid)


def list_requests() -> list[type[Request[Any]]]:
    """Every request of the project, wherever it is declared."""
    for module in walk_packages(dlmi_bench.__path__, "dlmi_bench."):
        if module.name.rpartition(".")[2] not in ("__main__", *OPTIONAL):
            import_module(module.name)
    found, todo = [], [Request]
    while todo:
        for kind in todo.pop().__subclasses__():
            todo.append(kind)
            if "job" in vars(kind) and kind.job.startswith("dlmi_bench."):
                found.append(kind)
    return found


def test_every_request_names_a_job_of_its_types() -> None:
    """What parent and worker agree on is what the functions say: they take the request and return its answer."""
    requests = list_requests()
    assert len(requests) >= 16
    for request in requests:
        module, _, name = request.job.partition(":")
        function = getattr(import_module(module), name)
        hints = get_type_hints(function)
        taken = next(iter(signature(function).parameters))
        assert hints[taken] is request, request.job
        generic = next(base for base in request.__mro__ if base.__pydantic_generic_metadata__["origin"] is Request)
        (answer,) = generic.__pydantic_generic_metadata__["args"]
        assert hints["return"] == (answer if answer is not None else type(None)), request.job


def test_parent_of_a_run_never_imports_torch() -> None:
    """What plans, asks, stores and shows loads no torch; nor does a profile, a gate or a report."""
    modules = (
        "suite.runner",
        "profiling.profile",
        "profiling.text",
        "gating.gate",
        "jobs.protocol",
        "suite.fingerprint",
        "cli.main",
    )
    code = "; ".join(
        [
            *(f"import dlmi_bench.{name}" for name in modules),
            "from dlmi_bench.suite.plan import make_steps",
            "from dlmi_bench.suite.suites import SUITES",
            "from dlmi_bench.suite.fingerprint import list_modules",
            "[list_modules(cell) for step in make_steps(SUITES['smoke']) for cell in step.cells]",
            "import sys; print(*sys.modules)",
        ]
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "torch" not in done.stdout.split()
