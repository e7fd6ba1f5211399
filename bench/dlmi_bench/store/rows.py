"""Rows of a store: attempts as they are kept, each with a digest of itself, and what is believed of them."""

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import product
from typing import NamedTuple

from pydantic import ValidationError

from dlmi_bench.errors import StoreError
from dlmi_bench.records import Record
from dlmi_bench.store.artifacts import AGAIN


class StoredRow(NamedTuple):
    """An attempt as it is stored; the record is JSON. `digest` is None in rows of stores that had none."""

    key: str
    fingerprint: str
    status: str
    record: str | None
    error: str | None
    finished_at: str
    digest: str | None = None

    def sign(self) -> "StoredRow":
        """Row with the digest of its other fields."""
        return self._replace(digest=hashlib.sha256(json.dumps(self[:-1]).encode()).hexdigest())


@dataclass(frozen=True, slots=True)  # there may be hundreds of thousands
class Attempt:
    """One row: a finished cell with its record, or a failed one with its reason and what figures there are.

    `has_digest` is False of one that an older version wrote, whose integrity is not known.
    """

    key: str
    fingerprint: str
    status: str
    record: Record | None
    error: str | None
    finished_at: str
    has_digest: bool = True


def parse_record(row: StoredRow) -> Record | None:
    """The record of a cell; None of one that failed altogether.

    Raises:
        StoreError: it is damaged, or of another cell.
    """
    if not row.record:
        return None
    try:
        record = Record.model_validate_json(row.record)
    except (ValidationError, RecursionError) as problem:
        raise StoreError(f"store: record of {row.key} is damaged: {problem}", AGAIN) from None
    if record.cell.key != row.key:
        raise StoreError(f"store: record of {row.key} is damaged: it is that of {record.cell.key}", AGAIN)
    return record


# What the columns of a row can be: key, fingerprint, status, record, error, time and digest.
TYPES = {(str, str, str, record, error, str, digest) for record, error, digest in product((str, type(None)), repeat=3)}


def check_row(row: StoredRow) -> StoredRow:
    """The row, or a failed attempt in place of one that is damaged: nothing else in it is believed."""
    types = tuple(map(type, row))
    if types in TYPES and row.digest in (None, row.sign().digest):
        return row
    why = f"this attempt is damaged in the store: its digest does not fit; {AGAIN}"
    return StoredRow(str(row.key), "", "failed", None, why, str(row.finished_at)).sign()


def make_row(record: Record, fingerprint: str) -> StoredRow:
    """Row of a measured cell; one with failures is not done."""
    status, error = ("failed", "\n".join(record.failures)) if record.failures else ("done", None)
    return StoredRow(record.cell.key, fingerprint, status, record.model_dump_json(), error, _now()).sign()


def make_failed_row(key: str, fingerprint: str, error: str) -> StoredRow:
    """Row of a cell of which nothing was measured."""
    return StoredRow(key, fingerprint, "failed", None, error, _now()).sign()


def make_attempt(row: StoredRow) -> Attempt:
    """Attempt that a row holds; a failed one where its record is damaged."""
    has_digest = row.digest is not None
    try:
        record = parse_record(row)
    except StoreError as error:
        return Attempt(row.key, row.fingerprint, "failed", None, error.cause, row.finished_at, has_digest)
    return Attempt(row.key, row.fingerprint, row.status, record, row.error, row.finished_at, has_digest)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
