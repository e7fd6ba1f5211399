"""Trainings side by side: who trains where, what fails, what is kept, and what stops them."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from dlmi_bench.errors import BenchError
from dlmi_bench.jobs import pool as pools
from dlmi_bench.jobs import training
from dlmi_bench.jobs.pool import Ended, Pool
from dlmi_bench.jobs.protocol import TrainRequest
from dlmi_bench.jobs.worker import WorkerDeathError, run_here
from dlmi_bench.records import UNTIMED, Cell, Figure, Mark, Record, unavailable
from dlmi_bench.store import Store
from dlmi_bench.suite.display import Display
from dlmi_bench.suite.measures import list_judged
from dlmi_bench.suite.runner import Runner
from dlmi_bench.suite.suites import Suite
from dlmi_tasks import get_task

SHARED = Figure(name="shared_training_s", value=1, kind="measured", source="x")
SUITE = Suite(tasks=("usps",), models=("softmax",), measures=(), n_seeds=5, n_timed=2)


class Quiet(Display):
    """Shows nothing."""


def make_cell(index: int, model: str = "softmax") -> Cell:
    return Cell(kind="train", task="usps", model=model, seed_index=index)


def make_request(index: int) -> TrainRequest:
    return TrainRequest(cell=make_cell(index), out="", energy_window_s=1, backends={}, n_pictured=0, is_timed=False)


def answer(request: TrainRequest, _: object = None) -> Record:
    """A training beside others, as a worker would send it."""
    details: Any = {"judged": list_judged(request.cell, SUITE, is_timed=request.is_timed)}
    figures = () if request.is_timed else (SHARED,)
    return Record(cell=request.cell, figures=figures, provenance={"data": {"sha256": {}}}, details=details)


@dataclass
class Workers:
    """Stands for the class Worker: each that is made answers by `do`, and all are remembered."""

    do: Callable[[TrainRequest, "FakeWorker"], Record] = answer
    made: list["FakeWorker"] = field(default_factory=list)
    asked: list[TrainRequest] = field(default_factory=list)

    def __call__(self, **_: object) -> "FakeWorker":
        self.made.append(FakeWorker(self))
        return self.made[-1]


class FakeWorker:
    """One of them; `killed` is set once it was killed."""

    def __init__(self, workers: Workers) -> None:
        self.workers, self.killed, self.is_alive, self.is_closed = workers, threading.Event(), True, False

    def ask(self, request: TrainRequest, on_progress: Callable[[str, float], None]) -> Record:
        self.workers.asked.append(request)
        on_progress("training", 0.5)
        try:
            return self.workers.do(request, self)
        except BenchError as error:
            self.is_alive = "died" not in error.cause
            raise

    def kill(self) -> None:
        self.killed.set()

    def take_log(self) -> str:
        return ""

    def close(self) -> None:
        self.is_closed = True


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> Workers:
    """Fake workers on three CPUs."""
    fake = Workers()
    monkeypatch.setattr(pools, "Worker", fake)
    monkeypatch.setattr(pools, "list_cpus", lambda: [2, 5, 7])
    return fake


def train(*indices: int, deadline_s: float | None = None) -> list[Ended]:
    with Pool(map(make_request, indices), deadline_s=deadline_s) as pool:
        return list(pool.wait(lambda *_: None))


def test_each_cpu_has_one_training_at_a_time(workers: Workers) -> None:
    """Three meet at a barrier, so three run at once, as many as there are CPUs; seven are all done."""
    barrier, first = threading.Barrier(3), set(range(3))

    def meet(request: TrainRequest, _: object) -> Record:
        if request.cell.seed_index in first:
            barrier.wait(10)
        return answer(request)

    workers.do = meet
    ended = train(*range(7))
    assert sorted(one.cell.seed_index for one in ended) == list(range(7))
    assert len(workers.made) == 3
    assert all(worker.is_closed for worker in workers.made)


def test_failed_training_leaves_the_others(workers: Workers) -> None:
    """An error is the result of its own training; a worker that died is replaced, one that lives goes on."""

    def fail(request: TrainRequest, _: object) -> Record:
        causes = {1: "worker died", 2: "diverged"}
        if cause := causes.get(request.cell.seed_index):
            raise BenchError(cause, "try again")
        return answer(request)

    workers.do = fail
    found = {one.cell.seed_index: one.result for one in train(*range(9))}
    assert {index: str(result) for index, result in found.items() if isinstance(result, BenchError)} == {
        1: "worker died\n  remedy: try again",
        2: "diverged\n  remedy: try again",
    }
    assert len(found) == 9
    assert sum(not worker.is_alive for worker in workers.made) == 1


def test_job_whose_worker_died_is_done_again(workers: Workers) -> None:
    """As long as there is a pause for it, each time in a new worker; a pause is chosen by the number of deaths."""
    asked, deaths = list[tuple[int, int]](), {1: 2, 2: 9}

    def die(request: TrainRequest, _: object) -> Record:
        index = request.cell.seed_index
        if deaths.get(index, 0):
            deaths[index] -= 1
            raise WorkerDeathError("worker died", "free memory")
        return answer(request)

    def choose_pause(cells: Sequence[Cell], n_lost: int) -> float | None:
        asked.append((cells[0].seed_index, n_lost))
        return 0.0 if n_lost < 4 else None

    workers.do = die
    with Pool(map(make_request, range(4)), choose_pause=choose_pause) as pool:
        found = {one.cell.seed_index: one for one in pool.wait(lambda *_: None)}
    assert {index: one.n_lost for index, one in found.items()} == {0: 0, 1: 2, 2: 3, 3: 0}
    assert [index for index, one in found.items() if isinstance(one.result, BenchError)] == [2]
    assert sorted(asked) == [(1, 1), (1, 2), (2, 1), (2, 2), (2, 3), (2, 4)]
    assert sum(not worker.is_alive for worker in workers.made) == 6


def test_nothing_starts_after_the_deadline(workers: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock passes it during the second training of one CPU: what runs ends, the third does not start."""
    now_s = [0.0]
    monkeypatch.setattr(pools, "list_cpus", lambda: [2])
    monkeypatch.setattr(pools.time, "monotonic", lambda: now_s[0])

    def take(request: TrainRequest, _: object) -> Record:
        now_s[0] += 6
        return answer(request)

    workers.do = take
    ended = train(0, 1, 2, deadline_s=10)
    assert [(one.cell.seed_index, one.took_s) for one in ended] == [(0, 6), (1, 6)]
    assert train(0, deadline_s=10) == []


def test_way_out_kills_what_runs(workers: Workers) -> None:
    """Leaving at the first result, as Ctrl-C does, kills the two that still train; nothing else starts."""

    def wait(request: TrainRequest, worker: FakeWorker) -> Record:
        if request.cell.seed_index:
            assert worker.killed.wait(10)
            raise BenchError("worker died", "")
        return answer(request)

    workers.do = wait
    requests = [make_request(index) for index in (0, 1, 2, 3)]
    with Pool(requests) as pool:
        first = next(pool.wait(lambda *_: None))
    assert first.cell.seed_index == 0
    assert not any(thread.is_alive() for thread in pool._threads)
    assert all(worker.killed.is_set() for worker in workers.made)


@pytest.fixture
def running(tmp_path: Path, workers: Workers, monkeypatch: pytest.MonkeyPatch) -> Runner:
    """A runner whose store has two timed trainings of softmax."""
    store = Store(tmp_path)
    runner = Runner(SUITE, store)
    monkeypatch.setattr(runner._data, "prepare", lambda name, *_: runner._data.described.update({name: {"sha256": {}}}))
    runner._data.described = {"usps": {"sha256": {}}}
    for index in range(2):
        timed = answer(make_request(index).model_copy(update={"is_timed": True}))
        timed = timed.model_copy(update={"provenance": {"suite": {"energy_window_s": 99.0}}})
        other = SUITE.model_copy(update={"energy_window_s": 99.0})
        store.add_done([(timed, runner._fingerprint(timed.cell, other))])
    return runner


def test_timed_training_serves_where_accuracy_is_asked_for_but_not_the_other_way(
    running: Runner, workers: Workers
) -> None:
    """Timed by other settings, the first two are kept; trained beside others, the third is no timed one."""
    cells = [make_cell(index) for index in range(4)]
    outcome = running.train(cells, Quiet())
    assert (outcome.n_kept, outcome.n_done) == (2, 2)
    assert sorted(request.cell.seed_index for request in workers.asked) == [2, 3]
    outcome = running.train(cells, Quiet())
    assert (outcome.n_kept, outcome.n_done) == (4, 0)
    stored = running._store.current()[cells[2].key]
    assert running._find_reason(cells[2], stored, is_timed=False) == ""
    assert running._find_reason(cells[2], stored) == UNTIMED


def test_first_seed_of_an_arm_may_be_beside_others_and_is_no_measured_one(running: Runner) -> None:
    """Its artifact is not the one that costs are measured on."""
    cell = make_cell(0, "mlp-24-16")
    assert running.train([cell], Quiet()).n_done == 1
    assert (cell.task, cell.model) not in running._context.trained


def test_failure_is_stored_and_the_rest_goes_on(running: Runner, workers: Workers) -> None:
    """It is tried again when asked for again; other data than were read here are a failure too."""

    def fail(request: TrainRequest, _: object) -> Record:
        if request.cell.seed_index == 2:
            raise BenchError("diverged", "use a smaller rate")
        if request.cell.seed_index == 3:
            return answer(request).model_copy(update={"provenance": {"data": {"sha256": {"images": "x"}}}})
        return answer(request)

    workers.do = fail
    cells = [make_cell(index) for index in (2, 3, 4)]
    outcome = running.train(cells, Quiet())
    assert (outcome.n_done, sorted(outcome.failures)) == (1, [cells[0].key, cells[1].key])
    status = {key: attempt.status for key, attempt in running._store.current().items()}
    assert [status[cell.key] for cell in cells] == ["failed", "failed", "done"]
    assert "other data in each process" in outcome.failures[cells[1].key]
    workers.do = answer
    assert running.train(cells, Quiet()).n_done == 2


def test_what_a_deadline_leaves_is_counted(running: Runner) -> None:
    """Its time is over before it begins."""
    outcome = running.train([make_cell(index) for index in range(5)], Quiet(), deadline_s=0.0)
    assert (outcome.n_kept, outcome.n_done, outcome.n_left, outcome.failures) == (2, 0, 3, {})


def test_fresh_run_does_each_training_once(running: Runner, workers: Workers) -> None:
    """What this run has trained is not trained again when it is asked for twice."""
    running._fresh = {"train"}
    cells = [make_cell(index) for index in range(3)]
    assert running.train(cells, Quiet()).n_done == 3
    assert running.train(cells, Quiet()).n_kept == 3


def test_same_weights_and_accuracies_without_times(tmp_path: Path) -> None:
    """A training beside others leaves the judged file, bit for bit, and the same accuracies."""
    backends = {"onnxruntime": "", "eager": ""}
    common = {"cell": make_cell(1), "out": str(tmp_path), "energy_window_s": 0.1, "backends": backends, "n_pictured": 0}
    timed, beside = (
        run_here(TrainRequest.model_validate(common | changes), lambda *_: None)
        for changes in ({}, {"is_timed": False})
    )
    assert set(beside.artifacts) < set(timed.artifacts)
    assert {"onnx", "test_scores", "test_labels"} < {artifact.role for artifact in beside.artifacts}
    assert not {"torch", "onnx-int8"} & {artifact.role for artifact in beside.artifacts}
    names = ("test_accuracy", "train_accuracy", "validation_accuracy", "epochs_to_target", "n_epochs")
    assert [timed.figure(name) for name in names] == [beside.figure(name) for name in names]
    assert (timed.is_timed, beside.is_timed) == (True, False)
    durations = [f.name for f in timed.figures if f.name.endswith("_s")]
    assert durations == ["training_s", "evaluation_s", "time_to_target_s", "loading_s"]
    assert [beside.figure(name) for name in durations] == [unavailable(name, UNTIMED) for name in durations]
    joules = [f for f in beside.figures if f.name.endswith("_j")]
    assert {f.reason for f in joules} == {UNTIMED}
    assert beside.figure("shared_training_s").value > 0  # type: ignore[union-attr,operator]
    assert {e["training_s"] for e in beside.details["curve"]} == {None}


def test_training_that_was_cut_short_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over the task's time limit it ends; every accuracy of its network carries the mark, and others do not."""
    task = replace(get_task("usps"), time_limit_s=0.0)
    monkeypatch.setattr(training, "get_task", lambda _: task)
    common = {"out": str(tmp_path), "energy_window_s": 0.1, "backends": {"onnxruntime": ""}, "n_pictured": 0}
    request = TrainRequest.model_validate(common | {"cell": make_cell(1), "is_timed": False})
    cut = run_here(request, lambda *_: None)
    marked = {f.name for f in cut.figures if any(note.mark is Mark.CUT for note in f.notes)}
    names = ("n_epochs", "train_accuracy", "validation_accuracy", "test_accuracy", "test_balanced_accuracy")
    assert marked >= set(names)
    assert not [name for name in marked if name.endswith(("_s", "_j", "auc"))]
    note = "cut: ended by the task's time limit of 0 s after 1 epochs"
    assert {str(note) for name in names for note in cut.figure(name).notes} == {note}  # type: ignore[union-attr]
    assert cut.figure("n_epochs").value == 1  # type: ignore[union-attr]


def test_what_no_other_process_has_is_trained_here_one_by_one(
    running: Runner, workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Models of a notebook: this process is asked, without a worker, until the deadline is over."""
    now_s, asked = [0.0], []

    def ask(request: TrainRequest, _: object, cell: Cell) -> Record:
        asked.append((cell.seed_index, request.is_timed))
        now_s[0] += 6
        return answer(request)

    monkeypatch.setattr(pools.time, "monotonic", lambda: now_s[0])
    monkeypatch.setattr(running._context, "is_here_only", lambda _: True)
    monkeypatch.setattr(running._context, "ask", ask)
    outcome = running.train([make_cell(index) for index in range(6)], Quiet(), deadline_s=10.0)
    assert asked == [(2, False), (3, False)]
    assert (outcome.n_kept, outcome.n_done, outcome.n_left) == (2, 2, 2)
    assert workers.made == []
