"""The results store: one SQLite row per attempt at a cell, written in one transaction; files by their hash beside it.

Rows are only ever added. The current state of a cell is its latest row; failed and outdated ones stay readable.
"""

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import NamedTuple

from pydantic import ValidationError

from dlmi_bench.errors import StoreError
from dlmi_bench.records import SCHEMA_VERSION, Artifact, Record

SCHEMA = """
CREATE TABLE attempts (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('done', 'failed')),
    record TEXT,
    error TEXT,
    finished_at TEXT NOT NULL
);
CREATE INDEX attempts_by_key ON attempts (key, id);
"""
FILENAME = "store.sqlite"
BUSY_TIMEOUT_S = 30.0
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
INSERT = "INSERT INTO attempts (key, fingerprint, status, record, error, finished_at) VALUES (?, ?, ?, ?, ?, ?)"
SELECT = "SELECT key, fingerprint, status, record, error, finished_at FROM attempts"
NEWEST = "WHERE id IN (SELECT max(id) FROM attempts GROUP BY key)"


class StoredRow(NamedTuple):
    """An attempt as it is stored; the record is JSON."""

    key: str
    fingerprint: str
    status: str
    record: str | None
    error: str | None
    finished_at: str


@dataclass(frozen=True)
class Attempt:
    """One row: a finished cell with its record, or a failed one with its reason and what figures there are."""

    key: str
    fingerprint: str
    status: str
    record: Record | None
    error: str | None
    finished_at: str


class Store:
    """The folder that a run writes to; with `must_exist` it is only read.

    Raises:
        StoreError: no store there (with `must_exist`), a damaged one, one of another schema or program, or one that is
            in use or not permitted.
    """

    def __init__(self, folder: Path, *, must_exist: bool = False) -> None:
        self.folder = folder
        self._path = folder / FILENAME
        if must_exist and not self._path.is_file():
            raise self._miss()
        if not must_exist:
            folder.mkdir(parents=True, exist_ok=True)
        try:
            self._db = _open_to_read(self._path) if must_exist else _connect(self._path, "mode=rwc")
            is_new = self._is_new()  # before anything is written
            if not must_exist:
                self._prepare(is_new=is_new)
        except sqlite3.DatabaseError as error:
            raise self._explain(error) from error
        if must_exist and is_new:
            raise self._miss()

    def _prepare(self, *, is_new: bool) -> None:
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        if not is_new:
            return
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            if self._is_new():  # still: another process may have made one
                for statement in filter(str.strip, SCHEMA.split(";")):
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def _is_new(self) -> bool:
        """Check the file: True for a new one, False for a store of this schema.

        Raises:
            StoreError: it is another program's, or another version's.
        """
        # In this order: the version of a store that another process makes meanwhile is there before its table is seen.
        (n_tables,) = self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        (found,) = self._db.execute("PRAGMA user_version").fetchone()
        if found == 0 and n_tables:
            raise StoreError(f"{self._path}: the database of another program", "name another --out")
        if found not in (0, SCHEMA_VERSION):
            what = "an older" if found < SCHEMA_VERSION else "a newer"
            raise StoreError(
                f"{self._path}: written by {what} version (schema {found}, this program reads {SCHEMA_VERSION})",
                "use the version that wrote it, or another --out",
            )
        return bool(found == 0)

    def _miss(self) -> StoreError:
        return StoreError(f"{self._path}: no results there", f"run `dlmi-bench run --out {self.folder}` first")

    def _explain(self, error: sqlite3.DatabaseError) -> StoreError:
        return StoreError(f"{self._path}: {error}", REMEDIES.get(_find_code(error), DAMAGED))

    def close(self) -> None:
        self._db.close()

    def add_done(self, records: Iterable[tuple[Record, str]]) -> None:
        """Measured cells with their fingerprints, all or none of them; those with failures are no finished ones."""
        self.add_rows([_to_row(record, fingerprint) for record, fingerprint in records])

    def add_failed(self, keys: Iterable[tuple[str, str]], error: str) -> None:
        """Failed cells (key, fingerprint) with the reason they share."""
        self.add_rows([StoredRow(key, fingerprint, "failed", None, error, _now()) for key, fingerprint in keys])

    def add_rows(self, rows: Sequence[StoredRow]) -> None:
        """Attempts as they are, all or none of them."""
        try:
            with self._db:
                self._db.execute("BEGIN IMMEDIATE")
                self._db.executemany(INSERT, rows)
        except sqlite3.DatabaseError as error:
            raise self._explain(error) from error

    def rows(self) -> list[StoredRow]:
        """Every attempt, oldest first."""
        return self._select("ORDER BY id")

    def _select(self, which: str) -> list[StoredRow]:
        try:
            return [StoredRow(*row) for row in self._db.execute(f"{SELECT} {which}")]
        except sqlite3.DatabaseError as error:
            raise self._explain(error) from error

    def current(self) -> dict[str, Attempt]:
        """Latest attempt of every cell, by key, in the order of their first appearance."""
        return {row.key: _to_attempt(row) for row in self._select(f"{NEWEST} ORDER BY id")}

    def failures(self) -> list[Attempt]:
        """Every failed attempt, also those that a later attempt replaced."""
        return [_to_attempt(row) for row in self.rows() if row.status == "failed"]

    def has_artifacts(self, record: Record) -> bool:
        """Check that every file of the record is still there, to the last bit."""
        paths = [(artifact_path(self.folder, a), a.sha256) for a in record.artifacts]
        return all(path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == h for path, h in paths)


def _connect(path: Path, how: str) -> sqlite3.Connection:
    address = f"{path.absolute().as_uri()}?{how}"
    return sqlite3.connect(address, timeout=BUSY_TIMEOUT_S, isolation_level=None, uri=True)


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
    """SQLite's primary code; 0 of what the module itself finds, such as text that is not UTF-8."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def artifact_path(folder: Path, artifact: Artifact) -> Path:
    """Path of the artifact in the store of `folder`."""
    return folder / "artifacts" / artifact.sha256[:2] / f"{artifact.sha256}{artifact.suffix}"


def put_artifact(folder: Path, role: str, content: bytes, suffix: str) -> Artifact:
    """Keep bytes under their hash; atomic. A damaged file of that name is replaced."""
    sha256 = hashlib.sha256(content).hexdigest()
    artifact = Artifact(role=role, sha256=sha256, size_bytes=len(content), suffix=suffix)
    path = artifact_path(folder, artifact)
    path.parent.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(content)
    Path(file.name).replace(path)
    return artifact


def parse_record(row: StoredRow) -> Record | None:
    """The record of a cell; None of one that failed altogether.

    Raises:
        StoreError: it is damaged.
    """
    try:
        return Record.model_validate_json(row.record) if row.record else None
    except (ValidationError, json.JSONDecodeError) as problem:
        cause = f"store: record of {row.key} is damaged: {problem}"
        raise StoreError(cause, "move the store away and run again") from None


def _to_row(record: Record, fingerprint: str) -> StoredRow:
    status, error = ("failed", "\n".join(record.failures)) if record.failures else ("done", None)
    return StoredRow(record.cell.key, fingerprint, status, record.model_dump_json(), error, _now())


def _to_attempt(row: StoredRow) -> Attempt:
    return Attempt(row.key, row.fingerprint, row.status, parse_record(row), row.error, row.finished_at)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
