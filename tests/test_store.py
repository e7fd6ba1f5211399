"""The store: whole or not at all, nothing lost, clear answers for what it cannot read."""

import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace

import pytest

from dlmi_bench.errors import StoreError
from dlmi_bench.records import Cell, Figure, Record
from dlmi_bench.store import BUSY, FILENAME, FORBIDDEN, Store
from dlmi_bench.store.artifacts import artifact_path, put_artifact


def make_record(model: str, value: float = 1.0) -> Record:
    figure = Figure(name="a_s", value=value, kind="measured", source="x")
    return Record(cell=Cell(kind="counts", task="t", model=model), figures=(figure,))


NOBODY = 65534


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that everybody may enter, with a finished store."""
    with TemporaryDirectory() as name:
        store = Store(Path(name))
        store.add_done([(make_record("a"), "f")])
        store.close()
        yield Path(name)


@contextmanager
def seal(folder: Path) -> Iterator[None]:
    """This process can read the folder and not write to it; root becomes somebody else for that."""
    folder.chmod(0o555)
    if os.getuid() == 0:
        try:
            os.seteuid(NOBODY)
        except OSError as error:  # EINVAL where a namespace has no other user
            pytest.skip(f"root cannot become somebody else here: {error.strerror}")
    try:
        yield
    finally:
        os.seteuid(os.getuid())
        folder.chmod(0o755)


def test_latest_attempt_is_current_and_failures_stay(tmp_path: Path) -> None:
    """A failed cell is kept with its reason, and a later success does not erase it."""
    store = Store(tmp_path)
    record = make_record("m")
    store.add_failed([(record.cell.key, "f1")], "out of memory")
    assert store.current()[record.cell.key].status == "failed"
    store.add_done([(record, "f2")])
    current = store.current()[record.cell.key]
    assert (current.status, current.fingerprint, current.record) == ("done", "f2", record)
    assert [attempt.error for attempt in store.failures()] == ["out of memory"]


def test_cell_that_failed_in_part_keeps_its_figures(tmp_path: Path) -> None:
    """It is a failed attempt with a record: its figures can be read, and nothing calls it done."""
    store = Store(tmp_path)
    record = make_record("a").model_copy(update={"failures": ("no b", "no c")})
    store.add_done([(record, "f"), (make_record("d"), "f")])
    current = store.current()[record.cell.key]
    assert (current.status, current.record, current.error) == ("failed", record, "no b\nno c")
    assert [attempt.key for attempt in store.failures()] == [record.cell.key]


def test_results_survive_the_process(tmp_path: Path) -> None:
    """What was added is there for the next program."""
    store = Store(tmp_path)
    store.add_done([(make_record("a"), "f"), (make_record("b"), "f")])
    store.close()
    assert list(Store(tmp_path).current()) == ["counts/t/a/0", "counts/t/b/0"]


def test_a_step_is_stored_whole_or_not_at_all(tmp_path: Path) -> None:
    """When a process is killed between BEGIN and COMMIT none of its rows remain, and earlier ones do."""
    Store(tmp_path).add_done([(make_record("a"), "f")])
    program = (
        "import os, sys; from pathlib import Path; from dlmi_bench.store import Store\n"
        "s = Store(Path(sys.argv[1])); s._db.execute('BEGIN IMMEDIATE')\n"
        "s._db.execute(\"INSERT INTO attempts VALUES (NULL, 'k', 'f', 'failed', NULL, 'x', 'now', NULL)\")\n"
        "os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)
    assert done.returncode == -9
    assert list(Store(tmp_path).current()) == ["counts/t/a/0"]


@pytest.mark.parametrize(("version", "words"), [(999, "newer"), (-1, "older")])
def test_other_schemas_are_named(tmp_path: Path, version: int, words: str) -> None:
    """A store of another version is refused with what to do, and left untouched."""
    Store(tmp_path).close()
    with sqlite3.connect(tmp_path / FILENAME) as db:
        db.execute(f"PRAGMA user_version = {version}")
    db.close()
    with pytest.raises(StoreError, match=words):
        Store(tmp_path)


def test_damaged_file_is_named(tmp_path: Path) -> None:
    """A file that is no database is an error with a remedy."""
    (tmp_path / FILENAME).write_bytes(b"no database at all, but long enough to look like one" * 20)
    with pytest.raises(StoreError, match="move it away"):
        Store(tmp_path)


def test_missing_store_is_not_created_by_reading(tmp_path: Path) -> None:
    """A report of nothing says so and makes no folder."""
    with pytest.raises(StoreError, match="no results there"):
        Store(tmp_path / "nowhere", must_exist=True)
    assert not (tmp_path / "nowhere").exists()


def test_reading_leaves_no_trace(tmp_path: Path) -> None:
    """A store opened to be read takes no rows, and its folder is as it was when it closes."""
    store = Store(tmp_path)
    store.add_done([(make_record("a"), "f")])
    store.close()
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    reading = Store(tmp_path, must_exist=True)
    assert list(reading.current()) == ["counts/t/a/0"]
    with pytest.raises(StoreError, match="readonly"):
        reading.add_failed([("k", "f")], "x")
    reading.close()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_store_in_a_sealed_folder_is_read(public: Path) -> None:
    """What may not be written can be read; writing is an error about permissions, not about damage."""
    with seal(public):
        assert list(Store(public, must_exist=True).current()) == ["counts/t/a/0"]
        with pytest.raises(StoreError) as found:
            Store(public)
    assert found.value.remedy == FORBIDDEN


def test_rows_that_only_the_log_has_are_not_passed_over(public: Path) -> None:
    """A log beside a sealed store, which SQLite cannot read there, is an error: the older rows are no answer."""
    (public / f"{FILENAME}-wal").write_bytes(b"rows")
    with seal(public), pytest.raises(StoreError) as found:
        Store(public, must_exist=True)
    assert found.value.remedy == FORBIDDEN


def test_store_in_use_is_read_and_not_called_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While another program writes, the rows before can be read, and who would write is told to wait."""
    monkeypatch.setattr("dlmi_bench.store.WRITE_TIMEOUT_S", 0.01)
    store = Store(tmp_path)
    store.add_done([(make_record("a"), "f")])
    other = sqlite3.connect(tmp_path / FILENAME)
    other.execute("BEGIN IMMEDIATE")
    assert list(Store(tmp_path, must_exist=True).current()) == ["counts/t/a/0"]
    with pytest.raises(StoreError) as found:
        store.add_failed([("k", "f")], "x")
    assert found.value.remedy == BUSY
    other.rollback()
    store.add_failed([("k", "f")], "x")
    other.close()


def test_step_waits_for_a_store_that_is_locked_for_a_while(tmp_path: Path) -> None:
    """What was measured is kept when the other program lets go, however long that takes within the hour."""
    store = Store(tmp_path)
    other = sqlite3.connect(tmp_path / FILENAME, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    release = threading.Timer(0.5, other.rollback)
    release.start()
    store.add_failed([("k", "f")], "x")
    release.join()
    other.close()
    assert [row.key for row in store.rows()] == ["k"]


def test_full_disk_loses_no_earlier_row(tmp_path: Path) -> None:
    """Rows that do not fit are refused as such, none of them is kept, and smaller ones still go in."""
    store = Store(tmp_path)
    store.add_done([(make_record("a"), "f")])
    store._db.execute("PRAGMA max_page_count = 8")
    with pytest.raises(StoreError, match="no space is left"):
        store.add_failed([("small", "f"), ("large", "f")], "x" * 100_000)
    store.add_failed([("k", "f")], "x")
    assert [row.key for row in store.rows()] == ["counts/t/a/0", "k"]


def test_store_that_cannot_be_opened_is_not_called_damaged(tmp_path: Path) -> None:
    """A folder of the name of the store is a matter of the place."""
    (tmp_path / FILENAME).mkdir()
    with pytest.raises(StoreError) as found:
        Store(tmp_path)
    assert found.value.remedy == FORBIDDEN


@pytest.mark.parametrize("must_exist", [True, False])
def test_database_of_another_program_is_left_alone(tmp_path: Path, must_exist: bool) -> None:
    """Neither reading nor writing commands touch it."""
    with sqlite3.connect(tmp_path / FILENAME) as db:
        db.execute("CREATE TABLE photos (name TEXT)")
    db.close()
    before = (tmp_path / FILENAME).read_bytes()
    with pytest.raises(StoreError, match="another program"):
        Store(tmp_path, must_exist=must_exist)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {FILENAME: before}


def test_artifacts_lie_under_their_hash(tmp_path: Path) -> None:
    """Equal bytes are kept once; a record knows when its file is gone or altered."""
    first, second = (put_artifact(tmp_path, "x", b"abc", ".npy") for _ in range(2))
    assert first == second
    path = artifact_path(tmp_path, first)
    assert path.read_bytes() == b"abc"
    record = make_record("m").model_copy(update={"artifacts": (first,)})
    store = Store(tmp_path)
    assert store.has_artifacts(record)
    path.write_bytes(b"abd")
    assert not store.has_artifacts(record)


def test_damage_within_the_file_is_named(tmp_path: Path) -> None:
    """A page of zeros, which opening does not read, is a StoreError when its rows are."""
    store = Store(tmp_path)
    store.add_done([(make_record(f"m{i}"), "f") for i in range(200)])
    store.close()
    path = tmp_path / FILENAME
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2] + bytes(8192) + content[len(content) // 2 + 8192 :])
    damaged = Store(tmp_path)
    with pytest.raises(StoreError, match="malformed"):
        damaged.rows()
    with pytest.raises(StoreError, match="malformed"):
        damaged.current()


def test_disk_that_is_full_is_called_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite says "disk I/O error" of a full disk where it maps a file; with room left it is what it says."""
    store, error = Store(tmp_path), sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR
    assert "its disk or file system fails" in store._explain(error).remedy
    monkeypatch.setattr("dlmi_bench.store.shutil.disk_usage", lambda _: SimpleNamespace(free=0))
    assert "no space is left" in store._explain(error).remedy
