"""What became of the cells of a run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from dlmi_bench.errors import BenchError
from dlmi_bench.suite.engines import Work


@dataclass
class Outcome:
    """Numbers of cells kept, done and left undone by a deadline, what failed in others, and tries that were lost."""

    n_kept: int = 0
    n_done: int = 0
    failures: dict[str, str] = field(default_factory=dict)
    n_left: int = 0
    n_lost: int = 0

    def add(self, other: "Outcome") -> None:
        """Add what was done afterwards; of a cell that failed once and then did not, no failure is left."""
        self.n_kept += other.n_kept
        self.n_done += other.n_done
        self.n_left += other.n_left
        self.n_lost += other.n_lost
        self.failures |= other.failures


def describe_end(
    works: Sequence[Work], n_ended: int, errors: Sequence[BenchError], failures: Mapping[str, str], n_kept: int
) -> str:
    """Say in one line what became of a step, or of several that nodes did at once.

    Args:
        n_ended: Pieces of work.
        errors: Of pieces that failed as a whole.
        failures: What failed in the others, by cell.
        n_kept: Cells of the step that are in no piece.
    """
    causes = [*(error.cause for error in errors), *failures.values()]
    first = causes[0].splitlines()[0] if causes else ""
    if len(works) == 1 and works[0].is_timed:
        return f"failed{'' if errors else ' in part'}: {first}" if causes else "done"
    n_left, n_failed = len(works) - n_ended, len(errors) + len(failures)
    said = [f"{n_left} left for want of time"] if n_left else []
    said += [f"{n_failed} failed: {first}"] if causes else []
    said += [f"{n_kept} kept"] if n_kept else []
    return ", ".join([f"{n_ended - n_failed} done", *said]) if said else "done"
