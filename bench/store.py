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

from bench.errors import StoreError
from bench.records import SCHEMA_VERSION, Artifact, Record

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
INSERT = "INSERT INTO attempts (key, fingerprint, status, record, error, finished_at) VALUES (?, ?, ?, ?, ?, ?)"
SELECT = "SELECT key, fingerprint, status, record, error, finished_at FROM attempts"
NEWEST = "WHERE id IN (SELECT max(id) FROM attempts GROUP BY key)"


class Row(NamedTuple):
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
    """The folder that a run writes to.

    Raises:
        StoreError: no store there (with `must_exist`), a damaged one, or one of another schema.
    """

    def __init__(self, folder: Path, *, must_exist: bool = False) -> None:
        self.folder = folder
        path = folder / FILENAME
        if must_exist and not path.is_file():
            raise StoreError(f"{path}: no results there", f"run `dlmi-bench run --out {folder}` first")
        folder.mkdir(parents=True, exist_ok=True)
        try:
            self._db = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
            self._prepare(path)
        except sqlite3.DatabaseError as error:
            raise StoreError(f"{path}: {error}", DAMAGED) from error

    def _prepare(self, path: Path) -> None:
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.execute("BEGIN IMMEDIATE")
        (found,) = self._db.execute("PRAGMA user_version").fetchone()
        if found == 0:
            for statement in filter(str.strip, SCHEMA.split(";")):
                self._db.execute(statement)
            self._db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        self._db.execute("COMMIT")
        if found not in (0, SCHEMA_VERSION):
            what = "an older" if found < SCHEMA_VERSION else "a newer"
            raise StoreError(
                f"{path}: written by {what} version (schema {found}, this program reads {SCHEMA_VERSION})",
                "use the version that wrote it, or another --out",
            )

    def close(self) -> None:
        self._db.close()

    def add_done(self, records: Iterable[tuple[Record, str]]) -> None:
        """Measured cells with their fingerprints, all or none of them; those with failures are no finished ones."""
        self.add_rows([_to_row(record, fingerprint) for record, fingerprint in records])

    def add_failed(self, keys: Iterable[tuple[str, str]], error: str) -> None:
        """Failed cells (key, fingerprint) with the reason they share."""
        self.add_rows([Row(key, fingerprint, "failed", None, error, _now()) for key, fingerprint in keys])

    def add_rows(self, rows: Sequence[Row]) -> None:
        """Attempts as they are, all or none of them."""
        self._db.execute("BEGIN IMMEDIATE")
        self._db.executemany(INSERT, rows)
        self._db.execute("COMMIT")

    def rows(self) -> list[Row]:
        """Every attempt, oldest first."""
        return self._select("ORDER BY id")

    def _select(self, which: str) -> list[Row]:
        try:
            return [Row(*row) for row in self._db.execute(f"{SELECT} {which}")]
        except sqlite3.DatabaseError as error:
            raise StoreError(f"{self.folder / FILENAME}: {error}", DAMAGED) from error

    def current(self) -> dict[str, Attempt]:
        """Latest attempt of every cell, by key, in the order of their first appearance."""
        return {row.key: _to_attempt(row) for row in self._select(f"{NEWEST} ORDER BY id")}

    def failures(self) -> list[Attempt]:
        """Every failed attempt, also those that a later one mended."""
        return [_to_attempt(row) for row in self.rows() if row.status == "failed"]

    def has_artifacts(self, record: Record) -> bool:
        """Whether every file of the record is still there, to the last bit."""
        paths = [(artifact_path(self.folder, a), a.sha256) for a in record.artifacts]
        return all(path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == h for path, h in paths)


def artifact_path(folder: Path, artifact: Artifact) -> Path:
    """Where the store in `folder` keeps the file."""
    return folder / "artifacts" / artifact.sha256[:2] / f"{artifact.sha256}{artifact.suffix}"


def put_artifact(folder: Path, role: str, content: bytes, suffix: str) -> Artifact:
    """Keep bytes under their hash; atomic. A damaged file of that name is mended by the way."""
    sha256 = hashlib.sha256(content).hexdigest()
    artifact = Artifact(role=role, sha256=sha256, size_bytes=len(content), suffix=suffix)
    path = artifact_path(folder, artifact)
    path.parent.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(content)
    Path(file.name).replace(path)
    return artifact


def parse_record(row: Row) -> Record | None:
    """The record of a cell; None of one that failed altogether.

    Raises:
        StoreError: it is damaged.
    """
    try:
        return Record.model_validate_json(row.record) if row.record else None
    except (ValidationError, json.JSONDecodeError) as problem:
        cause = f"store: record of {row.key} is damaged: {problem}"
        raise StoreError(cause, "move the store away and run again") from None


def _to_row(record: Record, fingerprint: str) -> Row:
    status, error = ("failed", "\n".join(record.failures)) if record.failures else ("done", None)
    return Row(record.cell.key, fingerprint, status, record.model_dump_json(), error, _now())


def _to_attempt(row: Row) -> Attempt:
    return Attempt(row.key, row.fingerprint, row.status, parse_record(row), row.error, row.finished_at)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
