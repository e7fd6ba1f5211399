"""Engines: where the work of a run is done. `local` is this machine; `dask` and `slurm` send it to nodes of a cluster.

A piece of work is one training, or one kind of measurement of all models of a task side by side. The store has one
writer, the driver: nodes send records and files back, and write nothing that another process writes.
"""

from collections.abc import Collection, Generator, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from dlmi_bench.errors import BenchError
from dlmi_bench.jobs.protocol import OnProgress
from dlmi_bench.records import Cell, CellKind, Record

if TYPE_CHECKING:
    from dlmi_bench.suite.context import SuiteContext


@dataclass(frozen=True)
class Work:
    """Cells that are done together, in one place.

    Attributes:
        is_timed: Whether it has the machine to itself.
    """

    kind: CellKind
    cells: tuple[Cell, ...]
    is_timed: bool = True


@dataclass(frozen=True)
class Ended:
    """A piece of work that ended, with its records or its error.

    Attributes:
        took_s: From when it was sent to its end [s].
        place: Name of the worker that did it.
        log: What was printed meanwhile.
        n_lost: How often it was lost before, with the worker that did it.
    """

    work: Work
    result: Sequence[Record] | BenchError
    took_s: float
    place: str = "worker"
    log: str = ""
    n_lost: int = 0

    @property
    def cells(self) -> tuple[Cell, ...]:
        return self.work.cells

    def get_records(self) -> Sequence[Record]:
        """The records.

        Raises:
            BenchError: the work failed.
        """
        if isinstance(self.result, BenchError):
            raise self.result
        return self.result


@dataclass(frozen=True)
class Running:
    """Work under way.

    Attributes:
        share: Of it that is done, as far as it tells.
        place: Name of the worker that does it; empty where only the cluster knows.
    """

    cells: tuple[Cell, ...]
    share: float = 0.0
    place: str = ""


def join_works(works: Iterable[Work]) -> list[Work]:
    """Join what measures the models of a task in one way: they are compared, so one node measures them all."""
    joined: dict[object, list[Work]] = {}
    for work in works:
        is_alone = work.kind == "train"
        joined.setdefault(work if is_alone else (work.kind, work.cells[0].task), []).append(work)
    return [replace(group[0], cells=tuple(c for work in group for c in work.cells)) for group in joined.values()]


class Patience:
    """How long work that was lost waits before it is done again; what is lost each time is given up for all seeds."""

    PAUSES_S = (1.0, 10.0, 60.0)

    def __init__(self) -> None:
        self._hopeless: set[tuple[str, str, str]] = set()

    def choose_pause(self, cells: Sequence[Cell], n_lost: int) -> float | None:
        """Choose the pause after it was lost so often [s]; None where it is given up."""
        whats = {(cell.kind, cell.task, cell.model) for cell in cells}
        if n_lost > len(self.PAUSES_S):
            self._hopeless |= whats
        return None if whats & self._hopeless else self.PAUSES_S[n_lost - 1]


class Engine(Protocol):
    """A place where work is done.

    Attributes:
        has_nodes: Whether work is done elsewhere, several pieces at once, on machines that need not be like this one.
        n_lost: Tries that were lost with their worker.
    """

    has_nodes: bool
    n_lost: int

    def count_places(self, *, is_timed: bool) -> int:
        """Count the pieces of work that can be done at once."""

    def list_running(self) -> "list[Running]":
        """List the work that is under way."""

    def run(
        self, context: "SuiteContext", works: Collection[Work], on_progress: OnProgress, deadline_s: float | None = None
    ) -> Generator[Ended]:
        """Yield each piece of work when it ends. Close it to kill what still runs.

        Args:
            deadline_s: Nothing starts after `time.monotonic()` has reached it, and what did not start is left out.
        """

    def close(self) -> None:
        """Free what the engine has begun."""
