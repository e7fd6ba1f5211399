"""Errors that a user can act on: what happened, where, and what to do about it."""

import traceback
from collections.abc import Iterable
from difflib import get_close_matches
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
    return "run the same command again; if it fails again, report these lines"


def choose_source_remedy(error: BaseException) -> str:
    """What a user can do about an error that a file of theirs raised on import."""
    if isinstance(error, ModuleNotFoundError) and error.name:
        return f"install {error.name} in the environment of dlmi-bench, or correct the file"
    return "correct the file"


def describe_cause(error: Exception) -> str:
    """Say what happened, without the remedy of an error that has one: it would stand inside another error's cause."""
    return error.cause if isinstance(error, BenchError) else str(error)


def suggest(name: str, known: Iterable[str]) -> str:
    """Ask whether a known name was meant that resembles `name`; empty if none does."""
    by_lower = {other.lower(): other for other in known}
    n = 1 if name.lower() in by_lower else 3
    near = [by_lower[other] for other in get_close_matches(name.lower(), by_lower, n, cutoff=0.5)]
    return f"did you mean {' or '.join(near)}?" if near else ""


def list_choices(name: str, known: Iterable[str], other: str = "") -> str:
    """Write the remedy for a name that is not known: what was perhaps meant, and all that is known.

    Args:
        other: What may be given instead of a known name.
    """
    names = list(known)
    near, choices = suggest(name, names), f"use one of {', '.join(names)}{other}"
    return f"{near} Otherwise {choices}" if near else choices


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
