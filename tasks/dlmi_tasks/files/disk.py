"""Files of the cache: written whole or not at all, in a folder that is shared, and that may be read-only or full."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from dlmi_bench.files import atomic_file

CACHE_REMEDY = "free some space, or name a folder that can be written in DLMI_BENCH_CACHE"


@contextmanager
def hold(path: Path) -> Iterator[None]:
    """Make other processes that ask for `path` wait until this one has made it.

    Where no lock file can be made nothing else can be either, and what is there is only read.
    """
    from filelock import FileLock

    with ExitStack() as stack:
        with suppress(OSError, NotImplementedError):
            path.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(FileLock(f"{path}.lock"))
        yield


def keep(path: Path, write: Callable[[Any], object]) -> None:
    """Write a file of the cache. One that cannot be written is no error: what it holds is made again next time."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(path) as file:
            write(file)
    except OSError as error:
        text = f"{path}: not kept ({error.strerror or error}), so it is made again next time; {CACHE_REMEDY}"
        warnings.warn(text, RuntimeWarning, stacklevel=2)
