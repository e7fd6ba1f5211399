"""Search by successive halving: all recipes of a model begin with few epochs, the better half of them goes on.

Recipes go on by the validation loss of a trial's last epoch, which says more than an accuracy near 99 %. The best trial
of a model, of however many epochs, is the most accurate one; models on the front of accuracy against parameters are the
winners of their group. Source: K. Jamieson, A. Talwalkar, AISTATS (2016).
"""

from dataclasses import dataclass, replace
from math import ceil, inf

from dlmi_bench.jobs.protocol import TuneRequest
from dlmi_bench.records import Cell, Record
from dlmi_bench.stats.intervals import compute_front
from dlmi_bench.stats.tuning import Tried
from dlmi_bench.store import Store
from dlmi_bench.tuning.session import Say, TunedModel, TuningOutcome, try_all
from dlmi_bench.tuning.space import Group, Space
from dlmi_bench.units import format_percent
from dlmi_tasks import get_task

MAX_RECIPES = 100  # of a model; trial i of share k is number 100 k + i


@dataclass(frozen=True)
class Found:
    """A model with its best trial, of however many epochs; `is_winner` where no smaller one of its group is as good."""

    group: str
    model: str
    record: Record
    is_winner: bool = False

    @property
    def n_nonzero(self) -> float:
        """Parameters that are not zero."""
        return read_value(self.record, "n_nonzero")

    @property
    def accuracy(self) -> float:
        """Accuracy on validation; 0 for a training that failed."""
        return read_value(self.record, "validation_accuracy", 0.0)

    @property
    def loss(self) -> float:
        """Cross-entropy on validation; infinite for a training that failed."""
        return read_value(self.record, "validation_loss")


def read_value(record: Record, name: str, missing: float = inf) -> float:
    """A figure of a trial, or what stands for it where there is none."""
    figure = record.figure(name)
    return missing if figure is None or figure.value is None else figure.value


def search_space(space: Space, store: Store, say: Say) -> tuple[TuningOutcome, list[Found]]:
    """Search; trials that the store has are kept, the others are done, each is stored at once.

    Raises:
        DataError, FetchError: the task's data cannot be had.
    """
    pairs = [(group, model) for group in space.group for model in group.models]
    outcome = TuningOutcome([TunedModel(space.task, model) for _, model in pairs])
    left = {model: [*range(len(group.recipes))] for group, model in pairs}
    for k, share in enumerate(space.shares):
        asked = [(group, model, i) for group, model in pairs for i in left[model]]
        say(f"{len(asked)} trials of {format_percent(share, 0)} % of the epochs")
        requests = [
            _make_request(space.task, model, group.recipes[i], share, MAX_RECIPES * k + i) for group, model, i in asked
        ]
        records = try_all(requests, outcome, store, say)
        for tuned in outcome.models:
            own = sorted((r for c, r in records.items() if c.model == tuned.model), key=_rank)
            tuned.records += own
            left[tuned.model] = [r.cell.seed_index % MAX_RECIPES for r in own[: ceil(len(own) / 2)]]
    best = {tuned.model: min(tuned.records, key=_judge) for tuned in outcome.models if tuned.records}
    return outcome, [found for group in space.group for found in _list_found(group, best)]


def _judge(record: Record) -> tuple[float, float]:
    return 1 - read_value(record, "validation_accuracy", 0.0), _rank(record)


def _rank(record: Record) -> float:
    return read_value(record, "validation_loss")


def _make_request(task: str, model: str, tried: Tried, share: float, index: int) -> TuneRequest:
    n_epochs = float(tried.get("n_epochs", get_task(task).recipe(model).n_epochs))
    cell = Cell(kind="tuning", task=task, model=model, seed_index=index)
    return TuneRequest(cell=cell, tried={**tried, "n_epochs": max(1, round(share * n_epochs))})


def _list_found(group: Group, best: dict[str, Record]) -> list[Found]:
    """The models of a group, smallest first."""
    found = [Found(group.name, model, best[model]) for model in group.models if model in best]
    found.sort(key=lambda f: f.n_nonzero)
    is_on = compute_front([f.n_nonzero for f in found], [f.accuracy for f in found])
    return [replace(f, is_winner=w) for f, w in zip(found, is_on, strict=True)]
