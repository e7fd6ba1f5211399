"""Errors that a user can act on: what happened, where, and what to do about it."""


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
    if isinstance(error, ImportError):
        return "install the program again with its dependencies, or raise the limit of memory (ulimit -v)"
    return "run the same command again to retry"


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
