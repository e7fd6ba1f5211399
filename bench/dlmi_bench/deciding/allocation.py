"""Which trainings come next: those of the claims that they decide most probably for their time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dlmi_bench.deciding.arms import Arm
from dlmi_bench.records import Cell
from dlmi_bench.stats.families import PRIMARY_SHARE

WORTH = PRIMARY_SHARE / (1 - PRIMARY_SHARE)  # of deciding a primary claim, in secondary ones
ENOUGH_S = 60.0  # of work for each processor at a time: workers take some seconds to start


@dataclass(frozen=True)
class OpenClaim:
    """A claim that is not decided.

    Attributes:
        chances: Probability of a decision by number of seeds, for each later look.
        is_primary: Whether it answers its family's question.
        n_seeds: Seeds that all of its arms have.
    """

    id: str
    arms: tuple[Arm, ...]
    n_seeds: int
    chances: Mapping[int, float]
    is_primary: bool = True

    @property
    def next_look(self) -> int:
        """Number of seeds at the next look."""
        return min(self.chances)

    def list_missing(self, n_seeds: int, counts: Mapping[Arm, int]) -> list[Cell]:
        """List the trainings that its arms lack until they have so many seeds."""
        return [
            cell
            for arm in self.arms
            for cell in arm.list_cells(n_seeds)[len(arm.list_cells(min(n_seeds, counts.get(arm, 0)))) :]
        ]

    def compute_rate(self, counts: Mapping[Arm, int], training_s: Mapping[Arm, float]) -> float:
        """Compute the decisions that can be expected per second, of the look where they are most, by their worth."""

        def compute(n_seeds: int) -> float:
            cells = self.list_missing(n_seeds, counts)
            cost_s = sum(training_s[Arm(cell.task, cell.model)] for cell in cells)
            return self.chances[n_seeds] / max(cost_s, 1e-9)

        return max(map(compute, self.chances)) * (WORTH if self.is_primary else 1.0)


def choose_cells(
    claims: Sequence[OpenClaim], counts: Mapping[Arm, int], training_s: Mapping[Arm, float], n_at_once: int
) -> list[Cell]:
    """Choose the next trainings: the claims with most decisions per second, until every processor has enough to do.

    Args:
        counts: Seeds that each arm has.
        training_s: Time of one training of each arm [s].
        n_at_once: Trainings that run side by side.
    """
    chosen: dict[Cell, float] = {}
    for claim in sorted(claims, key=lambda claim: -claim.compute_rate(counts, training_s)):
        if sum(chosen.values()) >= ENOUGH_S * n_at_once:
            break
        missing = sorted(claim.list_missing(claim.next_look, counts), key=lambda cell: cell.seed_index)
        chosen |= {cell: training_s[Arm(cell.task, cell.model)] for cell in missing}
    return list(chosen)
