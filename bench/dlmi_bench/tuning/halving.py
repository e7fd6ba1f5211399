"""Search by successive halving: all recipes of a model begin with few epochs, the better half of them goes on.

Recipes go on by the validation loss of a trial's last epoch, which says more than an accuracy near 99 %; where there
are folds, by the mean over them. The last one left is the model's; models on the front of accuracy against parameters
are the winners of their group. Source: K. Jamieson, A. Talwalkar, AISTATS (2016).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, inf
from statistics import fmean

from dlmi_bench.jobs.protocol import TuneRequest
from dlmi_bench.records import Cell, Record
from dlmi_bench.stats.intervals import compute_front
from dlmi_bench.stats.tuning import Tried
from dlmi_bench.store import Store
from dlmi_bench.tuning.session import Say, TunedModel, TuningOutcome, try_all
from dlmi_bench.tuning.space import Group, Space
from dlmi_bench.units import format_percent
from dlmi_tasks import get_task

MAX_RECIPES = 100  # of a model; fold f of recipe i at share k is number 10 000 f + 100 k + i
MAX_TRIALS = MAX_RECIPES**2


@dataclass(frozen=True)
class Found:
    """A model with the trials of its last recipe, one of each fold.

    Attributes:
        is_winner: Whether no smaller model of its group is as accurate.
    """

    group: str
    model: str
    records: Sequence[Record]
    is_winner: bool = False

    @property
    def n_nonzero(self) -> float:
        """Parameters that are not zero."""
        return average(self.records, "n_nonzero")

    @property
    def accuracy(self) -> float:
        """Mean accuracy on validation; a training that failed has 0."""
        return average(self.records, "validation_accuracy", 0.0)

    @property
    def loss(self) -> float:
        """Mean cross-entropy on validation; infinite where a training failed."""
        return average(self.records, "validation_loss")


def average(records: Sequence[Record], name: str, missing: float = inf) -> float:
    """Mean of a figure over trials; `missing` stands for one that is not there."""
    figures = (record.figure(name) for record in records)
    return fmean(missing if figure is None or figure.value is None else figure.value for figure in figures)


def search_space(space: Space, store: Store, say: Say) -> tuple[TuningOutcome, list[Found]]:
    """Search; trials that the store has are kept, the others are done, each is stored at once.

    Raises:
        DataError, FetchError: the task's data cannot be had.
    """
    pairs = [(group, model) for group in space.group for model in group.models]
    outcome = TuningOutcome([TunedModel(space.task, model) for _, model in pairs])
    left = {model: [*range(len(group.recipes))] for group, model in pairs}
    best: dict[str, Sequence[Record]] = {}
    for k, share in enumerate(space.shares):
        requests = [
            _make_request(space.task, model, group.recipes[i], share, fold, MAX_RECIPES * k + i)
            for group, model in pairs
            for i in left[model]
            for fold in range(group.n_folds)
        ]
        say(f"{len(requests)} trials of {format_percent(share, 0)} % of the epochs")
        records = try_all(requests, outcome, store, say)
        for tuned in outcome.models:
            own = [record for cell, record in records.items() if cell.model == tuned.model]
            ranked = sorted(_group(own).items(), key=lambda pair: _rank(pair[1]))
            tuned.records += own
            left[tuned.model] = [i for i, _ in ranked[: ceil(len(ranked) / 2)]]
            if ranked:
                best[tuned.model] = ranked[0][1]
    return outcome, [found for group in space.group for found in _list_found(group, best)]


def _rank(records: Sequence[Record]) -> tuple[int, float]:
    """Of least loss first; behind them recipes whose folds did not all start, as easy ones may be missing."""
    return -len(records), average(records, "validation_loss")


def _group(records: Sequence[Record]) -> dict[int, list[Record]]:
    """Trials of one share by the number of their recipe."""
    grouped: dict[int, list[Record]] = {}
    for record in records:
        grouped.setdefault(record.cell.seed_index % MAX_RECIPES, []).append(record)
    return grouped


def _make_request(task: str, model: str, tried: Tried, share: float, fold: int, index: int) -> TuneRequest:
    n_epochs = float(tried.get("n_epochs", get_task(task).recipe(model).n_epochs))
    cell = Cell(kind="tuning", task=task, model=model, seed_index=MAX_TRIALS * fold + index)
    return TuneRequest(cell=cell, tried={**tried, "n_epochs": max(1, round(share * n_epochs))}, fold=fold)


def _list_found(group: Group, best: dict[str, Sequence[Record]]) -> list[Found]:
    """The models of a group, smallest first."""
    found = [Found(group.name, model, best[model]) for model in group.models if model in best]
    found.sort(key=lambda f: f.n_nonzero)
    is_on = compute_front([f.n_nonzero for f in found], [f.accuracy for f in found])
    return [replace(f, is_winner=w) for f, w in zip(found, is_on, strict=True)]
