"""The border of the libraries that read ONNX files: what they raise, and how much memory they may take."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING

from dlmi_bench.errors import BenchError, DataError

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto

STATM = Path("/proc/self/statm")
GROWTH_BYTES = 2**29  # of memory that reading any file may take; a file of a few bytes can ask for any amount
GROWTH = 16  # the same, for each byte of the file: it is copied between libraries
MAX_SAID = 300  # characters of a library's own text
ONE_THREAD = RLock()  # the limit is that of the process, and is restored


@contextmanager
def graph_faults(where: Path | str = "") -> Iterator[None]:
    """Turn whatever reading or walking a graph raises into one error that names `where`; as a decorator too.

    Raises:
        DataError: the file cannot be read or is not usable.
    """
    prefix = f"{where}: " if where else ""
    try:
        yield
    except DataError as error:
        raise DataError(error.cause if str(where) in error.cause else prefix + error.cause, error.remedy) from error
    except BenchError:
        raise
    except OSError as error:
        raise DataError(f"{prefix}{error.strerror or error}", "name a file that can be read") from error
    except Exception as error:  # the libraries raise classes of many kinds, none of them documented
        said = " ".join(str(error).split())[:MAX_SAID]
        cause = f"{prefix}not a usable ONNX file ({type(error).__name__}: {said})"
        raise DataError(cause, "export it again") from error


@contextmanager
def limited_memory(size_bytes: int) -> Iterator[None]:
    """Let a request for memory fail that is out of proportion to a file; the system would end the process later."""
    if not STATM.exists():
        yield
        return
    from resource import RLIM_INFINITY, RLIMIT_AS, getrlimit, setrlimit

    with ONE_THREAD:
        soft, hard = getrlimit(RLIMIT_AS)
        taken = int(STATM.read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        allowed = taken + GROWTH_BYTES + GROWTH * size_bytes
        setrlimit(RLIMIT_AS, (allowed if soft == RLIM_INFINITY else min(soft, allowed), hard))
        try:
            yield
        finally:
            setrlimit(RLIMIT_AS, (soft, hard))


def infer_graph(model: "ModelProto") -> "GraphProto":
    """The graph with all shapes that can be inferred; a range of numbers is written down, however long it is."""
    import onnx

    with limited_memory(model.ByteSize()):
        return onnx.shape_inference.infer_shapes(model, data_prop=True).graph
