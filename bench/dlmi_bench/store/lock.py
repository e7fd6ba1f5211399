"""The writer's lock of a store: one process at a time, named to the others. The system frees it when that one ends."""

import fcntl
import json
import os
import socket
from contextlib import suppress
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
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner = _describe(os.read(file, MAX_BYTES))
            os.close(file)
            if not isinstance(error, BlockingIOError):
                raise
            remedy = "wait until it has ended, or name another --out"
            raise StoreError(f"{folder}: {owner} is writing to it", remedy) from None
        self.close = finalize(self, _release, file)
        own = {"pid": os.getpid(), "host": socket.gethostname(), "since": datetime.now(UTC).isoformat(" ", "seconds")}
        os.ftruncate(file, 0)
        os.write(file, json.dumps(own).encode())


def is_held(folder: Path) -> bool:
    """Tell whether a process is writing into `folder`."""
    try:
        file = os.open(folder / FILENAME, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # a file system without locks
        return False
    finally:
        os.close(file)  # which gives the lock back
    return False


def _release(file: int) -> None:
    """Close the file, which frees the lock. It stays: if it went, two processes could lock two files of one name."""
    with suppress(OSError):  # a disk that is full or gone
        os.ftruncate(file, 0)  # the name of the host is nobody's business once it has ended
    os.close(file)


def _describe(content: bytes) -> str:
    try:
        owner = json.loads(content)
        return f"process {owner['pid']} on {owner['host']} (since {owner['since']})"
    except (ValueError, KeyError, TypeError):  # it has just begun
        return "another process"
