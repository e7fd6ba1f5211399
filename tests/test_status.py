"""A run from outside: its state in a file, logs of its workers, disk, and what is done again after a worker died."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from dlmi_bench.cli.schemas import make_schema
from dlmi_bench.errors import BenchError, DataError, StoreError
from dlmi_bench.jobs.worker import WorkerDeathError
from dlmi_bench.records import Artifact, Cell, Figure, Record
from dlmi_bench.store import Store
from dlmi_bench.suite.context import SuiteContext
from dlmi_bench.suite.data import TaskData
from dlmi_bench.suite.display import Left
from dlmi_bench.suite.engines import Ended, Patience, Running, Work
from dlmi_bench.suite.engines.local import LocalEngine
from dlmi_bench.suite.plan import Step
from dlmi_bench.suite.status import disk
from dlmi_bench.suite.status import file as files
from dlmi_bench.suite.status.disk import check_room, describe_room, estimate_bytes, find_free_bytes
from dlmi_bench.suite.status.file import StatusDisplay, read_status
from dlmi_bench.suite.status.logs import FOLDER, MAX_BYTES, add_log
from dlmi_bench.suite.status.summary import format_summary, summarise
from dlmi_bench.suite.suites import Suite
from stand_ins import Command
from test_runner import Quiet, set_run

CELL = Cell(kind="train", task="usps", model="softmax")
FIGURE = Figure(name="a_s", value=1, kind="measured", source="x")
DEATH = WorkerDeathError("worker died (signal SIGKILL)", "free memory")


def make_record(index: int, *sizes: int, model: str = "softmax") -> Record:
    made = tuple(Artifact(role=f"r{i}", sha256="0" * 64, size_bytes=n, suffix=".bin") for i, n in enumerate(sizes))
    cell = CELL.model_copy(update={"seed_index": index, "model": model})
    return Record(cell=cell, figures=(FIGURE,), artifacts=made)


class Engine(LocalEngine):
    """One piece of work is under way on a node, after two that were lost."""

    def __init__(self) -> None:
        super().__init__()
        self.n_lost = 2

    def list_running(self) -> list[Running]:
        return [Running((CELL,), 0.25, "n1")]


def display(folder: Path) -> StatusDisplay:
    return StatusDisplay(Quiet(), folder, Engine(), "mine", "dask")


STEP = Step("train", "usps", (CELL,), "train softmax, seed 1 of 2")


def test_state_of_a_run_is_in_a_file(tmp_path: Path) -> None:
    """While it runs, how it ended, and `killed` where nobody holds the lock any more."""
    assert read_status(tmp_path) is None
    store = Store(tmp_path)
    with display(tmp_path) as shown:
        shown.start_step(STEP, 2, 5, Left(60.0, 100.0, 7))
        shown._write()
        found = read_status(tmp_path)
        assert found is not None
        assert (found.state, found.index, found.total, found.n_cells_left) == ("running", 3, 5, 7)
        assert 100 < found.left_s <= 160
        assert found.running[0].model_dump() == {"cell": CELL.key, "share": 0.25, "place": "n1"}
        store.close()
        killed = read_status(tmp_path)
        assert killed is not None
        assert killed.state == "killed"
    ended = read_status(tmp_path)
    assert ended is not None
    assert (ended.state, ended.running, ended.left_s) == ("ended", (), 0)


@pytest.mark.parametrize(("error", "state"), [(KeyboardInterrupt, "interrupted"), (StoreError("a", "b"), "failed")])
def test_how_a_run_ended_is_kept(tmp_path: Path, error: BaseException | type[BaseException], state: str) -> None:
    """Ctrl-C is no failure."""
    with pytest.raises(BaseException), display(tmp_path):  # noqa: B017 - two kinds of it
        raise error
    assert json.loads((tmp_path / "status.json").read_text())["state"] == state


def test_file_is_written_now_and_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred events in a second are one writing; ten seconds later there is another."""
    now_s, written = [1000.0], []
    monkeypatch.setattr(files.time, "monotonic", lambda: now_s[0])
    monkeypatch.setattr(files, "write_text", lambda path, _: written.append(path))
    with display(tmp_path) as shown:
        for _ in range(100):
            shown.progress("training", 0.5)
        assert len(written) == 1
        now_s[0] += files.EVERY_S
        shown.progress("training", 0.5)
        assert len(written) == 2


def test_damaged_state_is_an_error_with_its_file(tmp_path: Path) -> None:
    """And nothing else of it is believed."""
    (tmp_path / "status.json").write_text('{"state": "running"')
    with pytest.raises(DataError, match=r"status\.json"):
        read_status(tmp_path)


def test_summary_says_what_is_done_failed_and_open(tmp_path: Path) -> None:
    """From the installed command, as text of 80 columns and as JSON by its schema."""
    store = Store(tmp_path / "out")
    store.add_done([(make_record(0, 1000), "f")])
    store.add_failed([("train/usps/cnn-4/0", "f")], "diverged\x1b[2J\nmore")
    with display(store.folder) as shown:
        shown.start_step(STEP, 0, 1, Left(60.0, 0.0, 3))
        shown._write()
        text = format_summary(summarise(store.folder))
    assert f"running: suite mine on dask, process {os.getpid()} on " in text
    assert "step 1 of 1: usps: train softmax, seed 1 of 2, about 60 s left; 3 cells to do" in text
    assert "  train/usps/softmax/0 25 % on n1" in text
    assert "done: 1 cells (1 train); 2 tries were lost with their worker" in text
    assert "failed: 1 cells\n  train/usps/cnn-4/0: diverged\ufffd[2J" in text
    assert " are open\ndisk: " in text
    assert " to come, " in text
    store.close()
    command = Command(tmp_path)
    found = command.json("status")
    assert isinstance(found, dict)
    assert found["run"]["state"] == "ended"
    assert found["failed"] == {"train/usps/cnn-4/0": "diverged\x1b[2J"}
    assert make_schema("status")["title"] == "dlmi-bench status"
    assert max(map(len, command("status").stdout.splitlines())) <= 80


def test_run_that_has_ended_nothing_yet_has_a_status(tmp_path: Path) -> None:
    """No claim is judged where nothing is measured; a folder without a run is an error."""
    Store(tmp_path).close()
    assert "no run has left its state here" in format_summary(summarise(tmp_path))
    with pytest.raises(StoreError, match="no results there"):
        summarise(tmp_path / "none")


def test_log_of_a_worker_is_turned_over(tmp_path: Path) -> None:
    """One file each, whose name leads nowhere; an error is in it, and what was printed, without control characters."""
    work = Work("train", (CELL,))
    add_log(tmp_path, Ended(work, [make_record(0)], 2.0, "../n 1", "loss \x1b[31m3\n", 2))
    add_log(tmp_path, Ended(work, BenchError("diverged", "slower"), 2.0, "../n 1"))
    path = tmp_path / FOLDER / ".._n_1.log"
    first, second, third, *_ = path.read_text().splitlines()
    assert first.endswith(" train/usps/softmax/0: done in 2.0 s, after 2 tries that were lost")
    assert second == "loss \ufffd[31m3"
    assert third.endswith(" train/usps/softmax/0: failed in 2.0 s")
    path.write_text("x" * (MAX_BYTES + 1))
    add_log(tmp_path, Ended(work, [make_record(0)], 2.0, "../n 1"))
    assert path.with_suffix(".log.1").stat().st_size == MAX_BYTES + 1
    assert len(path.read_text().splitlines()) == 1


def test_disk_is_foreseen_by_other_seeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mean of the same model counts, else that of all models; nothing where nothing is known."""
    stored = [make_record(0, 100, 50), make_record(1, 250), make_record(0, 1000, model="cnn-4")]
    cells = [make_record(2).cell, make_record(3).cell, make_record(0, model="other").cell]
    assert estimate_bytes(cells, stored) == 200 + 200 + round((150 + 250 + 1000) / 3)
    assert estimate_bytes(cells, []) is None
    assert estimate_bytes([], stored) == 0
    assert find_free_bytes(tmp_path / "not" / "there") > 0
    monkeypatch.setattr(disk, "find_free_bytes", lambda _: 1 << 20)
    assert describe_room(tmp_path, 5 << 20) == "disk: about 5.00 MiB to come, 1.00 MiB free; that is not enough"
    assert describe_room(tmp_path, None) == ""
    with pytest.raises(StoreError, match=r"its disk is full, 1\.00 MiB are left"):
        check_room(tmp_path)


def make_dying(n_deaths: int) -> Callable[..., list[Record]]:
    deaths = [DEATH] * n_deaths

    def run(*_: object) -> list[Record]:
        if deaths:
            raise deaths.pop()
        return [make_record(0)]

    return run


@pytest.mark.parametrize(("n_deaths", "n_lost", "paused"), [(0, 0, []), (2, 2, [1, 10]), (4, 3, [1, 10, 60])])
def test_work_whose_worker_died_is_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_deaths: int, n_lost: int, paused: list[float]
) -> None:
    """Later each time; after the fourth death it has failed, and another seed of that model is tried once only."""
    slept: list[float] = []
    engine = LocalEngine(sleep=slept.append)
    context = SuiteContext(Suite(tasks=("usps",)), tmp_path, TaskData(["usps"]))
    set_run(monkeypatch, "train", make_dying(n_deaths))
    (ended,) = engine.run(context, [Work("train", (CELL,))], lambda *_: None)
    assert (ended.n_lost, slept) == (n_lost, paused)
    assert isinstance(ended.result, BenchError) is (n_deaths == 4)
    set_run(monkeypatch, "train", make_dying(1))
    (again,) = engine.run(context, [Work("train", (make_record(1).cell,))], lambda *_: None)
    assert isinstance(again.result, BenchError) is (n_deaths == 4)


def test_patience_ends() -> None:
    """Three pauses; what was given up has none, of whatever seed."""
    patience, other = Patience(), CELL.model_copy(update={"seed_index": 9})
    assert [patience.choose_pause([CELL], n) for n in (1, 2, 3, 4)] == [1, 10, 60, None]
    assert patience.choose_pause([other], 1) is None
    assert patience.choose_pause([CELL.model_copy(update={"model": "cnn-4"})], 1) == 1
