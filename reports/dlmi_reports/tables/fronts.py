"""Models on the front of accuracy against cost, with probabilities from a bootstrap."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dlmi_bench.units import format_share
from dlmi_reports.results.costs import Cost, CostSample, list_costs
from dlmi_reports.results.load import TaskResults
from dlmi_reports.results.memo import remember
from dlmi_reports.results.model import ModelResults
from dlmi_reports.structure import Table
from dlmi_reports.tables.cells import render_gap

if TYPE_CHECKING:
    from numpy.random import Generator

N_DRAWS = 2000
MAX_DRAWN = 1 << 20  # values that are drawn at a time
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Draws:
    """Replicates of all models that have accuracy and this cost; rows are models, columns replicates."""

    names: list[str]
    costs: Floats
    accuracies: Floats

    @property
    def is_on_front(self) -> NDArray[np.bool_]:
        """Models that no other one dominates in cost and accuracy, by replicate."""
        cost, gain = self.costs, self.accuracies
        is_on = np.ones(cost.shape, bool)
        for c, g in zip(cost, gain, strict=True):
            is_on &= ~((c <= cost) & (g >= gain) & ((c < cost) | (g > gain)))
        return is_on

    def compute_band(self, grid: Floats) -> tuple[Floats, Floats]:
        """Compute 2.5 % and 97.5 % bounds of the best accuracy for each cost of `grid`; NaN if it may buy none."""
        best = np.stack([np.where(self.costs <= c, self.accuracies, -np.inf).max(0) for c in grid])
        lo, hi = np.quantile(best, [0.025, 0.975], axis=1, method="closest_observation")
        is_bought = np.isfinite(lo)
        return np.where(is_bought, lo, np.nan), np.where(is_bought, hi, np.nan)


@remember
def draw_task(task: TaskResults, cost: Cost) -> Draws | None:
    """Draw reproducible replicates for one cost; None if no model has both figures."""
    pairs = [(model, sample) for model in task.by_size if model.compute_accuracy() and (sample := cost.find(model))]
    if not pairs:
        return None
    generator = np.random.default_rng(0)
    accuracies = np.stack([draw_accuracies(model, generator) for model, _ in pairs])
    # Models timed side by side share their processes, so the same ones are drawn for all of a session.
    n_most = max(len(sample.samples) for _, sample in pairs)
    shared: dict[str, Floats] = defaultdict(lambda: generator.random((N_DRAWS, n_most)))
    costs = []
    for _, sample in pairs:
        sources = [shared[sample.session]] if sample.session else _draw_rows(n_most, generator)
        costs.append(_draw_medians(sample, sources))
    return Draws([model.name for model, _ in pairs], np.stack(costs), accuracies)


def _draw_medians(sample: CostSample, sources: Iterable[Floats]) -> Floats:
    """Draw medians of resampled samples by shares in [0, 1), (N_DRAWS, samples or more) in parts; (N_DRAWS,)."""
    values, n = np.array(sample.samples), len(sample.samples)
    medians = [
        np.median(values[(part[:, :n] * n).astype(int)], axis=1) if n else np.full(len(part), sample.value)
        for part in sources
    ]
    return np.concatenate(medians)


def _draw_rows(n_columns: int, generator: "Generator") -> Iterator[Floats]:
    """Draw (N_DRAWS, n_columns) shares in [0, 1), some rows at a time."""
    n_rows = max(1, MAX_DRAWN // max(1, n_columns))
    for start in range(0, N_DRAWS, n_rows):
        yield generator.random((min(n_rows, N_DRAWS - start), n_columns))


def draw_accuracies(model: ModelResults, generator: "Generator") -> Floats:
    """Draw mean test accuracies: resampled seeds, test sample from the beta posterior (Jeffreys' prior)."""
    drawn, after = _draw_from(model, json.dumps(generator.bit_generator.state))
    generator.bit_generator.state = json.loads(after)
    return drawn


@remember
def _draw_from(model: ModelResults, state: str) -> tuple[Floats, str]:
    """Draw from a state on, which is the same for nearly all costs; returns the state after it as well."""
    generator = np.random.default_rng()
    generator.bit_generator.state = json.loads(state)
    values, accuracy = np.array(model.values("test_accuracy")), model.compute_accuracy()
    assert accuracy is not None
    n_rows = max(1, MAX_DRAWN // len(values))
    sizes = [min(n_rows, N_DRAWS - start) for start in range(0, N_DRAWS, n_rows)]
    means = np.concatenate([values[generator.integers(len(values), size=(n, len(values)))].mean(1) for n in sizes])
    drawn = generator.beta(means * accuracy.n_effective + 0.5, (1 - means) * accuracy.n_effective + 0.5)
    return drawn, json.dumps(generator.bit_generator.state)


def make_front_tables(task: TaskResults) -> list[Table]:
    """Probability that a model is on the front, for each cost."""
    found: dict[str, dict[str, str]] = {model.name: {} for model in task.by_size}
    columns = []
    for cost in list_costs(task):
        draws = draw_task(task, cost)
        if draws is None:
            continue
        columns.append(cost)
        shares: Any = draws.is_on_front.mean(1)
        found_here = {name: format_share(float(p)) for name, p in zip(draws.names, shares, strict=True)}
        for model in task.by_size:
            found[model.name][cost.title] = found_here.get(model.name) or render_gap(model, cost)
    if not columns:
        return []
    rows = [[name, *(cells[cost.title] for cost in columns)] for name, cells in found.items()]
    caption = (
        "Probability that no other model is at least as accurate at the same cost or less: its share of "
        f"{N_DRAWS} bootstrap samples of seeds, test examples and timing processes. Test examples are resampled for "
        "each model separately, which makes the probabilities conservative. So are processes of models that were timed "
        "in different sessions; drift between sessions is not included. Modelled energy is excluded."
    )
    return [Table("On the front of accuracy against", caption, ["model", *(cost.title for cost in columns)], rows)]
