"""Trainings that claims need: which models on which tasks, and how many seeds of each."""

from collections.abc import Iterable
from dataclasses import dataclass

from dlmi_bench.records import Cell
from dlmi_bench.suite.pace import compute_training_s
from dlmi_models import MODELS
from dlmi_reports.claims.file import ClaimFile
from dlmi_reports.claims.predicate import OnTask
from dlmi_tasks import TASKS, get_task


@dataclass(frozen=True, order=True)
class Arm:
    """A model on a task, whose seeds are the replicates of an experiment."""

    task: str
    model: str

    @property
    def typical_s(self) -> float:
        """Typical time of one training [s], for want of a measured one."""
        return compute_training_s(self.task, self.model)

    def list_cells(self, n_seeds: int) -> list[Cell]:
        """List the trainings of the first seeds: one for each fold of each."""
        n = n_seeds * get_task(self.task).n_folds
        return [Cell(kind="train", task=self.task, model=self.model, seed_index=index) for index in range(n)]


def list_arms(claim: OnTask) -> tuple[Arm, ...]:
    """List what the claim compares."""
    return tuple(Arm(task, model) for task, model in claim.list_arms())


def is_trainable(arm: Arm) -> bool:
    """Tell whether more seeds of it can be trained here; of finished weights there are no more."""
    if arm.task not in TASKS or arm.model not in MODELS:
        return False
    row = MODELS[arm.model]
    return not (row.is_own and row.own.checkpoints) and row.fits(get_task(arm.task).input_shape)


def select_decidable(file: ClaimFile, allowed: Iterable[Arm] | None) -> dict[str, OnTask]:
    """Select the claims, by id, that more seeds can decide here.

    Args:
        allowed: Arms beyond which none is trained, where the user named the models; None for any.
    """
    own = None if allowed is None else frozenset(allowed)
    return {
        claim.id: claim
        for claim in file.claim
        if isinstance(claim, OnTask)
        and claim.needs_seeds
        and all(is_trainable(arm) and (own is None or arm in own) for arm in list_arms(claim))
    }
