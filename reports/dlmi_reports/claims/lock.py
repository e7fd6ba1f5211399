"""Claims as they were locked before a run, to name later what has changed since."""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, AwareDatetime, JsonValue, model_validator

from dlmi_bench.errors import UsageError
from dlmi_bench.files import parsing, read_bytes, write_text
from dlmi_bench.records import Plain, Sha256
from dlmi_reports.claims.file import ClaimFile
from dlmi_reports.claims.kinds import Claim

NAME = "claims.lock.json"  # in a folder of results, the lock of the claims about them
MAX_LOCK_BYTES = 1 << 22
Fields = dict[str, JsonValue]
UtcTime = Annotated[AwareDatetime, AfterValidator(lambda time: time.astimezone(UTC))]


class LockedFields(Plain):
    """Fields as they were, with the sha256 of their canonical JSON."""

    sha256: Sha256
    fields: Fields

    @model_validator(mode="after")
    def _check(self) -> Self:
        if hash_fields(self.fields) != self.sha256:
            raise ValueError("the digest does not fit the fields")
        return self


class Lock(Plain):
    """A file of claims as it was before a run.

    Attributes:
        version: Version of dlmi-bench that locked it.
        file: Name of the file of claims; empty for the course's.
        settings: What the file says besides its claims.
        data: Hashes of the data of each task that the claims are about.
        suite: Settings of the run; empty where none were given.
    """

    schema_version: Literal[1] = 1
    locked_at: UtcTime
    version: str
    file: str
    settings: LockedFields
    claims: dict[str, LockedFields]
    data: dict[str, dict[str, Sha256]]
    suite: Fields = {}

    @property
    def text(self) -> str:
        """Content of its file."""
        return self.model_dump_json(indent=1) + "\n"

    @property
    def sha256(self) -> str:
        """Digest of its file, to be published before the run."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def make_lock(
    stated: ClaimFile, *, version: str, file: str, data: dict[str, dict[str, str]], suite: Fields | None = None
) -> Lock:
    """Lock the claims as they are now."""
    return Lock(
        locked_at=datetime.now(UTC).replace(microsecond=0),
        version=version,
        file=file,
        settings=_lock_fields(dump_settings(stated)),
        claims={claim.id: _lock_fields(dump_claim(claim)) for claim in stated.claim},
        data=data,
        suite=suite or {},
    )


def dump_settings(stated: ClaimFile) -> Fields:
    """Dump what the file says besides its claims."""
    return stated.model_dump(mode="json", exclude={"claim"})


def dump_claim(claim: Claim) -> Fields:
    return claim.model_dump(mode="json")


def _lock_fields(fields: Fields) -> LockedFields:
    return LockedFields(sha256=hash_fields(fields), fields=fields)


def hash_fields(fields: Mapping[str, Any]) -> str:
    """Compute the sha256 of canonical JSON: keys in order, no spaces, ASCII."""
    return hashlib.sha256(json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def list_tasks(stated: ClaimFile) -> list[str]:
    """List the tasks that the claims are about, each once."""
    return list(dict.fromkeys(task for claim in stated.claim for task in claim.list_population("task")))


def refuse_replacing(folder: Path) -> None:
    """Raise UsageError where the folder holds a lock."""
    if (path := folder / NAME).exists():
        raise UsageError(f"{path}: exists; a lock is never replaced", "remove it to lock again, or name another --out")


def write_lock(lock: Lock, folder: Path) -> Path:
    """Write the lock into a folder of results that has none; returns the path."""
    refuse_replacing(folder)
    return write_text(folder / NAME, lock.text)


def load_lock(folder: Path) -> Lock | None:
    """Load the lock that a folder of results holds; None if it holds none.

    Raises:
        DataError: it is damaged, or was edited.
    """
    path = folder / NAME
    if not path.exists():
        return None
    with parsing(path, "restore the file as it was written, or remove it"):
        return Lock.model_validate_json(read_bytes(path, MAX_LOCK_BYTES))
