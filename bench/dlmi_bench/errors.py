"""Errors that a user can act on: what happened, where, and what to do about it."""

import traceback
from pathlib import Path

from dlmi_bench.extras import describe_missing, find_missing


class BenchError(Exception):
    """A problem with a cause outside the program.

    Args:
        cause: What is wrong, with the file and the line or field where there is one.
        remedy: What the user can do about it.
    """

    def __init__(self, cause: str, remedy: str) -> None:
        super().__init__(f"{cause}\n  remedy: {remedy}")
        self.cause = cause
        self.remedy = remedy


def choose_remedy(error: Exception) -> str:
    """What a user can do about an error that is no BenchError."""
    if isinstance(error, MemoryError):
        return "free memory, or raise its limit (ulimit -v)"
    if isinstance(error, ImportError) and (missing := describe_missing(error.name or "")):
        return missing.partition("; ")[2]
    if isinstance(error, ImportError):
        return "install the program again with its dependencies, or raise the limit of memory (ulimit -v)"
    return "run the same command again to retry"


def describe_fault(error: BaseException, path: str) -> str:
    """Say in one line what an import raised, with the last line of the user's that led to it."""
    if isinstance(error, SyntaxError):
        return f"{error.filename or path}, line {error.lineno}: SyntaxError: {error.msg}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "importlib" not in frame.filename]
    own = [frame for frame in frames if Path(frame.filename).parent == Path(path).parent] or frames[-1:]
    where = f"{own[-1].filename}, line {own[-1].lineno}" if own else path
    return f"{where}: {type(error).__name__}: {error}"


def describe_export_error(error: Exception) -> str:
    """Say what an exporter raised: the first line of its cause, since its own text is advice."""
    error = error.__cause__ if isinstance(error.__cause__, Exception) else error
    first = next((line for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {first[:200]}"


class DataError(BenchError):
    """A data file is missing, altered or malformed."""


class FetchError(BenchError):
    """Something could not be fetched, or what came is not what was asked for."""


class MeasurementError(BenchError):
    """An instrument refuses to report what it read."""


class StoreError(BenchError):
    """The results store cannot be read or written."""


class UsageError(BenchError):
    """The command line or a suite file asks for something that does not exist."""


class UnavailableError(BenchError):
    """Request that cannot run on this machine."""


def require(extra: str, what: str) -> None:
    """Refuse to begin `what` without the packages of an extra.

    Raises:
        UnavailableError: one of them is not installed.
    """
    if missing := find_missing(extra):
        cause, _, remedy = missing.partition("; ")
        raise UnavailableError(f"{what}: {cause}", remedy)
