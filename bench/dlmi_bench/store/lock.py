"""The writer's lock of a store: one process at a time, named to the others. The system frees it when that one ends."""

import fcntl
import json
import os
import socket
from datetime import UTC, datetime
from pathlib import Path
from weakref import finalize

from dlmi_bench.errors import StoreError

FILENAME = "writer.lock"
MAX_BYTES = 1000  # of what the file says


class Lock:
    """Exclusive right to write into `folder`, until `close` is called, nothing refers to it, or the process ends.

    Raises:
        StoreError: another process has it; says which, where and since when.
        OSError: the file system has no locks, or the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / FILENAME
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        self.close = finalize(self, os.close, file)  # the file stays: if it went, two could lock two of one name
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            cause = f"{folder}: {_describe(os.read(file, MAX_BYTES))} is writing to it"
            raise StoreError(cause, "wait until it has ended, or name another --out") from None
        owner = {"pid": os.getpid(), "host": socket.gethostname(), "since": datetime.now(UTC).isoformat(" ", "seconds")}
        os.ftruncate(file, 0)
        os.write(file, json.dumps(owner).encode())


def _describe(content: bytes) -> str:
    try:
        owner = json.loads(content)
        return f"process {owner['pid']} on {owner['host']} (since {owner['since']})"
    except (ValueError, KeyError, TypeError):  # it has just begun
        return "another process"
