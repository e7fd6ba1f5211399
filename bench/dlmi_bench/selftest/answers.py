"""Simulated trainings and test sets, and the bounds that reports would print of them.

Trainings are like recorded ones (30 trainings of each of four recipes on digits): the same examples are hard for all
seeds, so that the answers of two seeds to one example correlate by .7 to .8. Tables are (seed, example), 1 where right.
"""

import math

import numpy as np
from numpy.typing import NDArray

from dlmi_bench.records import Cell, CellKind, Figure, Record
from dlmi_bench.selftest.rows import ALPHA, Bounds, Simulate
from dlmi_bench.stats.confusion import Metric, draw_interval
from dlmi_bench.stats.estimates import MedianEstimate, Share, estimate_accuracy
from dlmi_bench.stats.intervals import compute_wilson
from dlmi_reports.claims.kinds.paired import estimate_gain
from dlmi_reports.results.answers import Answers
from dlmi_reports.results.costs import COSTS
from dlmi_reports.results.load import TaskResults
from dlmi_reports.results.model import ModelResults
from dlmi_reports.tables.differences import Difference, compare_answers, compare_pairs, compute_accuracy_difference
from dlmi_reports.tables.fronts import draw_task
from dlmi_tasks.spect.anatomy.anatomy import Regions
from dlmi_tasks.spect.preprocess import WINDOW, compute_left_out_snr, compute_pooled_snr

Generator = np.random.Generator
Floats = NDArray[np.float64]

N_SEEDS, N_EXAMPLES = 5, 2007
ACCURACY, SEED_SD = 0.95, 0.004
SAME_HARD, OTHER_HARD = 0.95, 0.9  # latent correlation of two seeds of one recipe, and of two recipes


def draw_ease(rng: Generator, n_recipes: int = 1, n: int = N_EXAMPLES) -> list[Floats]:
    """Draw how easy each example is for each recipe, standard normal; recipes mostly agree on what is hard."""
    common = rng.standard_normal(n)
    return [_mix(common, OTHER_HARD, rng) for _ in range(n_recipes)]


def draw_table(rng: Generator, ease: Floats, accuracies: Floats) -> Floats:
    """Answers of one seed for each of `accuracies`, which are what it would score on infinitely many examples."""
    from scipy.special import ndtri

    seeds = np.stack([_mix(ease, SAME_HARD, rng) for _ in accuracies])
    return (seeds < ndtri(accuracies)[:, None]).astype(float)


def draw_luck(rng: Generator, mean: float = ACCURACY, n_seeds: int = N_SEEDS, sd: float = SEED_SD) -> Floats:
    return np.clip(rng.normal(mean, sd, n_seeds), 0.01, 0.999)


def _mix(common: Floats, correlation: float, rng: Generator) -> Floats:
    own = rng.standard_normal(len(common))
    return math.sqrt(correlation) * common + math.sqrt(1 - correlation) * own


def make_model(table: Floats, name: str = "m") -> ModelResults:
    """A model of these answers, as a report loads it."""
    figures = [
        Figure(name="test_accuracy", value=float(row.mean()), kind="measured", source="simulation", n=len(row))
        for row in table
    ]
    return ModelResults(name, [Record(cell=_cell("train", name, i), figures=(f,)) for i, f in enumerate(figures)])


def _cell(kind: CellKind, model: str, seed_index: int = 0) -> Cell:
    return Cell(kind=kind, task="simulated", model=model, seed_index=seed_index)


def make_answers(table: Floats, name: str) -> Answers:
    """The same answers as a report reads them from files; the arms of a comparison have the same seeds."""
    seeds = tuple(_cell("train", name, index).seed for index in range(len(table)))
    return Answers(table, np.zeros(table.shape[1]), seeds)


def simulate_network(rng: Generator) -> Bounds:
    """One training of the recipe, against what that network would score on infinitely many examples."""
    return _bound_own(rng, 1)


def simulate_disagreement(rng: Generator) -> Bounds:
    rate = float(rng.uniform(0.002, 0.02))
    return *compute_wilson(int(rng.binomial(N_EXAMPLES, rate)), N_EXAMPLES), rate


def simulate_mean_of_seeds(rng: Generator) -> Bounds:
    return _bound_own(rng, N_SEEDS)


def _bound_own(rng: Generator, n_seeds: int) -> Bounds:
    luck = draw_luck(rng, n_seeds=n_seeds)
    found = make_model(draw_table(rng, draw_ease(rng)[0], luck)).compute_accuracy()
    assert found is not None
    return found.lo, found.hi, float(luck.mean())


def simulate_reach(rng: Generator) -> Bounds:
    rate = float(rng.uniform(0.5, 1.0))
    return *Share(int(rng.binomial(20, rate)), 20, "seeds").compute_interval(ALPHA), rate


def simulate_two_way(rng: Generator) -> Bounds:
    table = draw_table(rng, draw_ease(rng)[0], draw_luck(rng))
    return *estimate_accuracy(table).compute_interval(ALPHA), ACCURACY


def simulate_few_examples(rng: Generator) -> Bounds:
    """60 patients, 70 %, as the stages of a disease have."""
    table = draw_table(rng, draw_ease(rng, n=60)[0], draw_luck(rng, 0.7, sd=0.02))
    return *estimate_accuracy(table).compute_interval(ALPHA), 0.7


def simulate_paired_arms(rng: Generator) -> Bounds:
    """Seeds of equal number share their luck."""
    luck = rng.normal(0, SEED_SD, N_SEEDS)
    first, second = (draw_table(rng, ease, a + luck) for ease, a in zip(draw_ease(rng, 2), (0.95, 0.94), strict=True))
    return _bound_answers(first, second, names=("m+a", "m+b"))


def simulate_two_recipes(rng: Generator) -> Bounds:
    return _bound_answers(*_draw_two(rng), names=("a", "b"))


def _bound_answers(first: Floats, second: Floats, *, names: tuple[str, str]) -> Bounds:
    found = compare_answers(make_answers(first, names[0]), make_answers(second, names[1]))
    return *_get_bounds(found), 0.01


def _get_bounds(found: Difference) -> tuple[float, float]:
    assert found.lo is not None
    assert found.hi is not None
    return found.lo, found.hi


def simulate_pairs(rng: Generator) -> Bounds:
    """All six pairs of four models at once: the farthest truth, in half widths of its interval."""
    truths = {"a": 0.95, "b": 0.945, "c": 0.94, "d": 0.93}
    models = {
        make_answers(draw_table(rng, ease, draw_luck(rng, accuracy)), name): accuracy
        for ease, (name, accuracy) in zip(draw_ease(rng, len(truths)), truths.items(), strict=True)
    }
    farthest = 0.0
    for x, y, difference in compare_pairs(list(models), compare_answers):
        lo, hi = _get_bounds(difference)
        farthest = max(farthest, abs(models[x] - models[y] - difference.value) / ((hi - lo) / 2))
    return -1.0, 1.0, farthest


def simulate_common_examples(rng: Generator) -> Bounds:
    return _bound_models(*_draw_two(rng))


def simulate_two_test_sets(rng: Generator) -> Bounds:
    """Simulate what Welch's interval assumes: other examples for each model, seeds that differ by chance alone."""
    from scipy.special import ndtri

    sides = [(rng.standard_normal(N_EXAMPLES), draw_luck(rng, a)) for a in (0.95, 0.94)]
    first, second = ((ease < ndtri(luck)[:, None]).astype(float) for ease, luck in sides)
    return _bound_models(first, second)


def _bound_models(first: Floats, second: Floats) -> Bounds:
    """Bound the difference of models of which only accuracies were kept."""
    found = compute_accuracy_difference(make_model(first), make_model(second))
    assert found is not None
    return *_get_bounds(found), 0.01


def _draw_two(rng: Generator) -> tuple[Floats, Floats]:
    first, second = (
        draw_table(rng, ease, draw_luck(rng, a)) for ease, a in zip(draw_ease(rng, 2), (0.95, 0.94), strict=True)
    )
    return first, second


def simulate_censored(rng: Generator) -> Bounds:
    """Log ratios of times to target of 20 seeds; one in ten never got there, and its ratio is infinite."""
    logs = np.where(rng.random(20) < 0.1, math.inf, rng.normal(0, 0.3, 20))
    truth = 0.3 * 0.13971029888186212  # normal quantile of 5/9: the median of such a mixture
    return *MedianEstimate(tuple(logs.tolist()), "seeds").compute_interval(ALPHA), truth


RECALLS = np.array([[0.7, 0.2, 0.1], [0.15, 0.7, 0.15], [0.1, 0.25, 0.65]])
N_OF_CLASS = np.array([30, 60, 30])


def simulate_confusion(metric: Metric) -> Simulate:
    """Test sets of 120 patients with a fixed number of each stage."""
    truth = float(metric(RECALLS * N_OF_CLASS[:, None]))

    def simulate(rng: Generator) -> Bounds:
        rows = [rng.multinomial(n, recall) for n, recall in zip(N_OF_CLASS, RECALLS, strict=True)]
        return *draw_interval(np.stack(rows).astype(np.int64), metric), truth

    return simulate


def simulate_front(rng: Generator) -> Bounds:
    """The best that a model of middling size can do, where a smaller one comes within one point."""
    task = TaskResults("simulated")
    truths = {"small": (1_000, 0.94), "middle": (4_000, 0.95), "large": (16_000, 0.955)}
    for ease, (name, (n_parameters, accuracy)) in zip(draw_ease(rng, 3), truths.items(), strict=True):
        task.models[name] = make_model(draw_table(rng, ease, draw_luck(rng, accuracy)), name)
        count = Figure(name="n_parameters", value=n_parameters, kind="counted", source="simulation")
        task.models[name].measured["counts"] = Record(cell=_cell("counts", name), figures=(count,))
    draws = draw_task(task, COSTS[0])
    assert draws is not None
    lo, hi = draws.compute_band(np.array([4_000.0]))
    return float(lo[0]), float(hi[0]), 0.95


def simulate_gain(rng: Generator) -> Bounds:
    """180 scans: the arm removes scale and offset of each, which the control leaves in."""
    contrast, noise = rng.normal(2, 0.3, 180), rng.normal(0, 0.2, (180, 16))
    scale, offset = rng.normal(1, 0.05, 180), rng.normal(0, 0.1, 180)
    plain = np.concatenate([contrast[:, None] + noise[:, :8], noise[:, 8:]], axis=1)
    figures = [_make_pooled(scans) for scans in (plain, scale[:, None] * (plain + offset[:, None]))]
    truth = math.log(math.hypot(0.2, 0.1) * math.hypot(1, 0.05) / 0.2)
    lo, hi = estimate_gain(*figures).compute_interval(ALPHA)
    return lo, hi, truth


def _make_pooled(scans: Floats) -> Figure:
    """Pooled signal to noise of scans whose first half are striatal pixels, and without each scan in turn."""
    planes, is_striatal = scans.reshape(-1, 4, 4).astype(np.float32), np.arange(16).reshape(4, 4) < 8
    volume = np.broadcast_to(is_striatal, (WINDOW.stop, 4, 4))
    regions = Regions(~volume, (volume,))
    without = compute_left_out_snr(planes, regions).tolist()
    value = compute_pooled_snr(planes, regions)
    return Figure(name="pooled_snr", value=value, kind="measured", source="simulation", samples=tuple(without))
