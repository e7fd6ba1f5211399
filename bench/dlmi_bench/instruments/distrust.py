"""The border of the libraries that read ONNX files: what they raise, and how much memory they may take."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dlmi_bench.errors import BenchError, DataError

STATM = Path("/proc/self/statm")
MAX_GROWTH_BYTES = 8 * 2**30  # of memory; a file of a few bytes can ask for any amount
MAX_SAID = 300  # characters of a library's own text


@contextmanager
def graph_faults(where: Path | str = "") -> Iterator[None]:
    """Turn whatever reading or walking a graph raises into one error that names `where`; as a decorator too.

    Raises:
        DataError: the file cannot be read or is not usable.
    """
    prefix = f"{where}: " if where else ""
    try:
        with _limited_memory():
            yield
    except DataError as error:
        raise DataError(error.cause if str(where) in error.cause else prefix + error.cause, error.remedy) from error
    except BenchError:
        raise
    except OSError as error:
        raise DataError(f"{prefix}{error.strerror}", "name a file that can be read") from error
    except Exception as error:  # the libraries raise classes of many kinds, none of them documented
        said = " ".join(str(error).split())[:MAX_SAID]
        cause = f"{prefix}not a usable ONNX file ({type(error).__name__}: {said})"
        raise DataError(cause, "export it again") from error


@contextmanager
def _limited_memory() -> Iterator[None]:
    """Let a request for more than MAX_GROWTH_BYTES fail, where the system would end the process later."""
    if not STATM.exists():
        yield
        return
    from resource import RLIM_INFINITY, RLIMIT_AS, getrlimit, setrlimit

    soft, hard = getrlimit(RLIMIT_AS)
    taken = int(STATM.read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    allowed = taken + MAX_GROWTH_BYTES
    setrlimit(RLIMIT_AS, (allowed if soft == RLIM_INFINITY else min(soft, allowed), hard))
    try:
        yield
    finally:
        setrlimit(RLIMIT_AS, (soft, hard))
