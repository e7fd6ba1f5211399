"""Real schedulers, real nodes as processes on this machine, and what kills do to them."""

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

pytest.importorskip("distributed")

from dlmi_bench.records import Record
from dlmi_bench.store import Store
from slurm import find_obstacle, find_port, find_program, slurm, wait_for
from stand_ins import Command

pytestmark = pytest.mark.slow

N_KILLS = int(os.environ.get("DLMI_BENCH_KILLS", "12"))
SUITE = """
tasks = ["usps"]
models = ["softmax"]
measures = ["counts", "latency"]
backends = ["onnxruntime"]
n_seeds = 6
n_timed = 1
n_processes = 2
n_rounds = 20
energy_window_s = 0.01
"""
N_CELLS = 8
Final = dict[str, tuple[object, ...]]


def read_final(out: Path) -> Final:
    """Accuracy and hashes of each training, the count of parameters of each model; times are nobody's twice."""
    store = Store(out, must_exist=True)
    records = [attempt.record for attempt in store.current().values() if attempt.record and attempt.status == "done"]
    store.close()
    return {record.cell.key: _describe(record) for record in records}


def _describe(record: Record) -> tuple[object, ...]:
    if record.cell.kind == "train":
        accuracy = record.figure("test_accuracy", backend="onnxruntime")
        files = {a.role: a.sha256 for a in record.artifacts if a.role in ("onnx", "test_scores")}
        return accuracy and accuracy.value, tuple(sorted(files.items()))
    parameters = record.figure("parameters")
    return (record.cell.kind, parameters and parameters.value)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("engines")
    (made / "mine.toml").write_text(SUITE)
    return made


@pytest.fixture(scope="module")
def alone(folder: Path) -> Final:
    """What a run on this machine alone ends in."""
    assert Command(folder)("run", "--suite", "mine.toml", "--out", "alone").returncode == 0
    return read_final(folder / "alone")


@dataclass
class Cluster:
    """A scheduler and two workers as processes; whichever is killed can be started again."""

    folder: Path
    port: int = field(default_factory=find_port)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def address(self) -> str:
        return f"tcp://127.0.0.1:{self.port}"

    def start(self, name: str) -> None:
        """Start it, unless it runs."""
        if name in self.processes and self.processes[name].poll() is None:
            return
        words = {
            "scheduler": ["dask_scheduler", "--host", "127.0.0.1", "--port", str(self.port), "--no-dashboard"],
            "one": [*self._worker("one"), "--resources", "exclusive=1"],
            "two": self._worker("two"),
        }
        with (self.folder / f"{name}.log").open("a") as log:
            command = [sys.executable, "-m", f"distributed.cli.{words[name][0]}", *words[name][1:]]
            self.processes[name] = subprocess.Popen(
                command, cwd=self.folder, stdout=log, stderr=log, start_new_session=True
            )

    def _worker(self, name: str) -> list[str]:
        own = ["--nthreads", "1", "--no-dashboard", "--death-timeout", "300", "--local-directory", f"{name}.space"]
        return ["dask_worker", self.address, "--name", name, *own]

    def start_all(self) -> None:
        for name in ("scheduler", "one", "two"):
            self.start(name)

    def kill(self, name: str) -> None:
        """Kill it with all that it started, as the loss of a machine does."""
        process = self.processes[name]
        for child in [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]:
            kill_process(child)
        process.wait()


def kill_process(process: psutil.Process) -> None:
    with suppress(psutil.NoSuchProcess):
        process.kill()


@contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    made = Cluster(folder)
    made.start_all()
    try:
        yield made
    finally:
        for name, process in made.processes.items():
            if process.poll() is None:
                made.kill(name)


def start_driver(folder: Path, out: str, address: str) -> subprocess.Popen[bytes]:
    words = ["run", "--suite", "mine.toml", "--out", out, "--executor", "dask", "--with", f"scheduler={address}"]
    with (folder / f"{out}.log").open("a") as log:
        return subprocess.Popen([sys.executable, "-m", "dlmi_bench", *words], cwd=folder, stdout=log, stderr=log)


def count_rows(out: Path) -> int:
    if not (out / "store.sqlite").exists():
        return 0
    try:
        store = Store(out, must_exist=True)
    except Exception:  # noqa: BLE001 - it is just being made
        return 0
    try:
        return len(store.rows())
    finally:
        store.close()


def test_worker_killed_in_the_middle(folder: Path, alone: Final) -> None:
    """Its piece is done by the other one or by its successor; accuracies and hashes are those of a local run."""
    with cluster(folder) as nodes:
        driver = start_driver(folder, "killed", nodes.address)
        wait_for(lambda: count_rows(folder / "killed") >= 2, "two trainings", 300)
        nodes.kill("two")
        nodes.start("two")
        assert driver.wait(600) == 0
    assert read_final(folder / "killed") == alone
    status = json.loads((folder / "killed" / "status.json").read_text())
    assert status["state"] == "ended"


def test_lost_scheduler_ends_the_run_in_words(folder: Path, alone: Final) -> None:
    """The driver says what happened and what to do; the same command goes on."""
    with cluster(folder) as nodes:
        driver = start_driver(folder, "headless", nodes.address)
        wait_for(lambda: count_rows(folder / "headless") >= 2, "two trainings", 300)
        nodes.kill("scheduler")
        assert driver.wait(600) == 1
        said = (folder / "headless.log").read_text()
        assert "the scheduler is gone" in said
        assert "what has ended is kept" in said
        n_before = count_rows(folder / "headless")
        nodes.start_all()
        assert start_driver(folder, "headless", nodes.address).wait(600) == 0
    assert n_before >= 2
    assert count_rows(folder / "headless") == N_CELLS
    assert read_final(folder / "headless") == alone


def test_storm_of_kills(folder: Path, alone: Final) -> None:
    """Driver, scheduler and workers are killed at moments drawn from a seed: nothing is lost or counted twice."""
    order, done = random.Random(0), dict.fromkeys(("driver", "scheduler", "one", "two"), 0)
    out, before = folder / "storm", []
    with cluster(folder) as nodes:
        driver = start_driver(folder, "storm", nodes.address)
        while sum(done.values()) < N_KILLS:
            time.sleep(order.uniform(0.5, 12.0))
            who = order.choice([*done])
            if who == "driver":
                driver.kill()
                driver.wait()
            elif nodes.processes[who].poll() is None:
                nodes.kill(who)
            done[who] += 1
            before = check_rows(out, before)
            nodes.start_all()
            if driver.poll() is not None:
                if driver.returncode == 0:
                    clear(out)  # it was quicker, and has to begin again
                    before = []
                driver = start_driver(folder, "storm", nodes.address)
        if driver.wait(900):
            assert start_driver(folder, "storm", nodes.address).wait(900) == 0
    assert read_final(out) == alone
    assert not [*out.rglob("*.part")]
    print(f"{done}: final figures as of an undisturbed run")  # noqa: T201 - for the closing line of the slow session


def check_rows(out: Path, before: list[object]) -> list[object]:
    """Rows that were there are still there, in their order."""
    if not count_rows(out):
        return before
    store = Store(out, must_exist=True)
    rows: list[object] = [*store.rows()]
    store.close()
    assert rows[: len(before)] == before
    return rows


def clear(out: Path) -> None:
    import shutil

    shutil.rmtree(out)


@pytest.mark.skipif(bool(find_obstacle()), reason=find_obstacle() or "-")
def test_slurm_of_one_node(folder: Path, alone: Final, tmp_path: Path) -> None:
    """A job is a node; one that `scancel` ends in the middle is asked for again, and at the end the queue is empty."""
    with slurm(tmp_path) as config:
        environment = os.environ | {"SLURM_CONF": str(config)}

        def ask(program: str, *words: str) -> list[str]:
            command = [str(find_program(program)), *words]
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
            return done.stdout.splitlines()

        words = ["run", "--suite", "mine.toml", "--out", "slurm", "--executor", "slurm"]
        words += ["--with", "partition=cpu", "--with", "minutes=30", "--with", "host=127.0.0.1"]
        with (folder / "slurm.log").open("w") as log:
            command = [sys.executable, "-m", "dlmi_bench", *words]
            driver = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
        wait_for(lambda: count_rows(folder / "slurm") >= 2, "two trainings", 300)
        (first,) = [line.split()[0] for line in ask("squeue", "-h", "-o", "%i %T") if "RUNNING" in line]
        ask("scancel", first)
        assert driver.wait(900) == 0, (folder / "slurm.log").read_text()
        wait_for(lambda: not ask("squeue", "-h"), "empty queue", 60)
    assert read_final(folder / "slurm") == alone


@pytest.mark.parametrize("cluster_of", ["local"])
def test_jobs_without_slurm(folder: Path, alone: Final, cluster_of: str) -> None:
    """submitit's processes in the place of jobs: the same path, where no Slurm is."""
    words = ("--executor", "slurm", "--with", f"cluster={cluster_of}", "--with", "minutes=30")
    assert Command(folder)("run", "--suite", "mine.toml", "--out", cluster_of, *words).returncode == 0
    assert read_final(folder / cluster_of) == alone
