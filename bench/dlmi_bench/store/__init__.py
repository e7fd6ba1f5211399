"""The results store: one SQLite row per attempt at a cell, written in one transaction; files by their hash beside it.

Rows are only ever added. The current state of a cell is its latest row; failed and outdated ones stay readable. Each
row carries a digest of itself, each file is named by its hash, and both are checked at every reading: a damaged row is
a failed attempt, so that the next run does its cell again.
"""

import shutil
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from dlmi_bench.errors import StoreError, UsageError
from dlmi_bench.files import is_utf8
from dlmi_bench.records import Record
from dlmi_bench.store.artifacts import read_artifact
from dlmi_bench.store.lock import Lock
from dlmi_bench.store.rows import Attempt, StoredRow, check_row, make_attempt, make_failed_row, make_row

SCHEMA = """
CREATE TABLE attempts (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('done', 'failed')),
    record TEXT,
    error TEXT,
    finished_at TEXT NOT NULL,
    digest TEXT
);
CREATE INDEX attempts_by_key ON attempts (key, id);
"""
OBJECTS = [("index", "attempts_by_key"), ("table", "attempts")]  # of a store, and no views or triggers
STORE_VERSION = 2
WITHOUT_DIGEST = 1  # the version before rows had digests
FILENAME = "store.sqlite"
BUSY_TIMEOUT_S = 30.0
WRITE_TIMEOUT_S = 3600.0  # what was measured waits longer than who reads
MAX_FIELD_BYTES = 1 << 28
FULL_BYTES = 1 << 20  # less than that is left on a disk that is full
DAMAGED = "move it away; `dlmi-bench run` starts a new one"
BUSY = "another process is using it; wait until it is done"
FORBIDDEN = "change its permissions and those of its folder, or name another --out"
REMEDIES = {
    sqlite3.SQLITE_BUSY: BUSY,
    sqlite3.SQLITE_LOCKED: BUSY,
    sqlite3.SQLITE_READONLY: FORBIDDEN,
    sqlite3.SQLITE_CANTOPEN: FORBIDDEN,
    sqlite3.SQLITE_PERM: FORBIDDEN,
    sqlite3.SQLITE_IOERR: "its disk or file system fails; name another --out",
    sqlite3.SQLITE_FULL: "no space is left; free some, or name another --out",
}
COLUMNS = "key, fingerprint, status, record, error, finished_at"
INSERT = f"INSERT INTO attempts (id, {COLUMNS}, digest) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 - constants
FIRST_TRAINING = "SELECT min(finished_at) FROM attempts WHERE key LIKE 'train/%' AND record IS NOT NULL"
IS_NEWEST = "id IN (SELECT max(id) FROM attempts GROUP BY key)"


class Store:
    """The folder that a run writes to; with `must_exist` it is only read.

    Raises:
        StoreError: no store there (with `must_exist`), a damaged one, one of another schema or program, or one that is
            in use or not permitted.
        UsageError: the name of the folder is not UTF-8.
    """

    def __init__(self, folder: Path, *, must_exist: bool = False) -> None:
        if not is_utf8(folder):
            raise UsageError(f"{str(folder)!r}: its name is not UTF-8", "name another --out: runtimes cannot open this")
        self.folder = folder
        self._path = folder / FILENAME
        self._lock: Lock | None = None
        if must_exist and not self._path.is_file():
            raise self._miss()
        try:
            if not must_exist:
                folder.mkdir(parents=True, exist_ok=True)
            self._db = _open_to_read(self._path) if must_exist else _connect(self._path, "mode=rwc")
            version = self._find_version()  # before anything is written
            if not must_exist:
                self._lock = Lock(folder)
                self._prepare(self._find_version())  # as the writer before may have left it
        except sqlite3.DatabaseError as error:
            raise self._explain(error) from error
        except PermissionError as error:
            raise StoreError(f"{folder}: {error.strerror}", FORBIDDEN) from error
        if must_exist and version == 0:
            raise self._miss()
        self._select_rows = f"SELECT {COLUMNS}, {'NULL' if must_exist and version < STORE_VERSION else 'digest'}"

    def _prepare(self, version: int) -> None:
        """Make the table, or give that of an older store a column for digests; clear what a killed run left."""
        for part in self.folder.glob("artifacts/*/.*.part"):
            part.unlink(missing_ok=True)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        if version == STORE_VERSION:
            return
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            statements = SCHEMA.split(";") if version == 0 else ["ALTER TABLE attempts ADD COLUMN digest TEXT"]
            for statement in filter(str.strip, statements):
                self._db.execute(statement)
            self._db.execute(f"PRAGMA user_version = {STORE_VERSION}")

    def _find_version(self) -> int:
        """Check the file: 0 for a new one, else the version of the store.

        Raises:
            StoreError: it is another program's, or another version's.
        """
        # In this order: the version of a store that another process makes meanwhile is there before its table is seen.
        objects = self._db.execute("SELECT type, name FROM sqlite_master ORDER BY type, name").fetchall()
        (found,) = self._db.execute("PRAGMA user_version").fetchone()
        if found not in (0, WITHOUT_DIGEST, STORE_VERSION):
            what = "an older" if found < STORE_VERSION else "a newer"
            raise StoreError(
                f"{self._path}: written by {what} version (schema {found}, this program reads {STORE_VERSION})",
                "use the version that wrote it, or another --out",
            )
        if objects and objects != (OBJECTS if found else []):
            raise StoreError(f"{self._path}: the database of another program", "name another --out")
        return int(found)

    def _miss(self) -> StoreError:
        return StoreError(f"{self._path}: no results there", f"run `dlmi-bench run --out {self.folder}` first")

    def _explain(self, error: sqlite3.DatabaseError) -> StoreError:
        code = _find_code(error)
        if code == sqlite3.SQLITE_IOERR and shutil.disk_usage(self.folder).free < FULL_BYTES:
            code = sqlite3.SQLITE_FULL  # which SQLite does not see where it maps a file
        return StoreError(f"{self._path}: {error}", REMEDIES.get(code, DAMAGED))

    def close(self) -> None:
        """Close the database, then free it for another writer."""
        self._db.close()
        if self._lock:
            self._lock.close()

    def add_done(self, records: Iterable[tuple[Record, str]]) -> None:
        """Measured cells with their fingerprints, all or none of them; those with failures are no finished ones."""
        self.add_rows([make_row(record, fingerprint) for record, fingerprint in records])

    def add_failed(self, keys: Iterable[tuple[str, str]], error: str) -> None:
        """Failed cells (key, fingerprint) with the reason they share."""
        self.add_rows([make_failed_row(key, fingerprint, error) for key, fingerprint in keys])

    def add_rows(self, rows: Sequence[StoredRow]) -> None:
        """Attempts as they are, all or none of them. Another program that has the file locked is waited for."""
        self.add_placed((None, row) for row in rows)

    def add_placed(self, rows: Iterable[tuple[int | None, StoredRow]]) -> None:
        """Attempts with their places among all, 1 for the oldest; None for the next one. All or none of them."""
        try:
            self._db.execute(f"PRAGMA busy_timeout = {round(1000 * WRITE_TIMEOUT_S)}")
            with self._db:
                self._db.execute("BEGIN IMMEDIATE")
                self._db.executemany(INSERT, ((place, *row) for place, row in rows))
        except sqlite3.DatabaseError as error:
            raise self._explain(error) from error

    def rows(self) -> list[StoredRow]:
        """Every attempt, oldest first; a damaged one as a failed one."""
        return [row for row, _ in self.stream()]

    def stream(self, which: str = "") -> Iterator[tuple[StoredRow, bool]]:
        """Yield every attempt, oldest first, and whether it is the latest of its cell; a damaged one as a failed one.

        One at a time, as the store was when the first one was read.
        """
        try:
            rows = self._db.execute(f"{self._select_rows}, {IS_NEWEST} FROM attempts {which} ORDER BY id")
            for *row, is_newest in rows:
                yield check_row(StoredRow(*row)), bool(is_newest)
        except sqlite3.DatabaseError as error:
            raise self._explain(error) from error

    def current(self) -> dict[str, Attempt]:
        """Latest attempt of every cell, by key, in the order of their first appearance."""
        return {row.key: make_attempt(row) for row, _ in self.stream(f"WHERE {IS_NEWEST}")}

    def count_cells(self) -> int:
        """Count the cells that have an attempt."""
        try:
            (found,) = self._db.execute("SELECT count(DISTINCT key) FROM attempts").fetchone()
        except sqlite3.DatabaseError as error:
            raise self._explain(error) from error
        return int(found)

    def find_first_training(self) -> str:
        """Find when the first training was done, whatever replaced it since; empty if there is none."""
        try:
            (found,) = self._db.execute(FIRST_TRAINING).fetchone()
        except sqlite3.DatabaseError as error:
            raise self._explain(error) from error
        return "" if found is None else str(found)

    def failures(self) -> list[Attempt]:
        """Every failed attempt, also those that a later attempt replaced."""
        return [attempt for row, _ in self.stream() if (attempt := make_attempt(row)).status == "failed"]

    def has_artifacts(self, record: Record) -> bool:
        """Check that every file of the record is still there, to the last bit."""
        try:
            for artifact in record.artifacts:
                read_artifact(self.folder, artifact)
        except StoreError:
            return False
        return True


def _connect(path: Path, how: str) -> sqlite3.Connection:
    address = f"{path.absolute().as_uri()}?{how}"
    db = sqlite3.connect(address, timeout=BUSY_TIMEOUT_S, isolation_level=None, uri=True)
    db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_FIELD_BYTES)
    db.text_factory = lambda content: content.decode(errors="backslashreplace")  # the digest tells that it is damaged
    db.execute("PRAGMA trusted_schema = OFF")
    return db


def _open_to_read(path: Path) -> sqlite3.Connection:
    """SQLite keeps a log beside a store while it is open, and in a folder that cannot be written it reads none."""
    try:
        db = _connect(path, "mode=rw")  # without writes; mode=ro would leave its log there
        db.execute("PRAGMA query_only = ON")
        db.execute("SELECT count(*) FROM sqlite_master")
    except sqlite3.OperationalError as error:
        log = path.with_name(f"{path.name}-wal")
        if REMEDIES.get(_find_code(error)) != FORBIDDEN or (log.is_file() and log.stat().st_size):
            raise  # the newest rows are in the log
        db = _connect(path, "immutable=1")
    return db


def _find_code(error: sqlite3.DatabaseError) -> int:
    """SQLite's primary code; 0 of what the module itself finds."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF
