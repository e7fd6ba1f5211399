"""Differences of models to a reference and to each other, with what is resolved."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import NormalDist
from typing import TypeVar

from dlmi_bench.stats.intervals import compute_t_interval, compute_welch_interval
from dlmi_bench.stats.reported import estimate_reported
from dlmi_bench.units import format_number, format_ratio
from dlmi_reports.results.answers import Answers, read_answers
from dlmi_reports.results.arrays import UnmeasuredError
from dlmi_reports.results.costs import Cost, CostSample, list_costs
from dlmi_reports.results.load import TaskResults
from dlmi_reports.results.machines import SEVERAL
from dlmi_reports.results.model import Accuracy, ModelResults
from dlmi_reports.structure import Table
from dlmi_reports.tables.cells import MISSING, render_gap

ALPHA = 0.05
S = TypeVar("S")  # a side of a comparison
D = TypeVar("D")  # its result


@dataclass(frozen=True)
class Difference:
    """A difference or a ratio with its bounds; without bounds it is not resolved, for the reason given."""

    value: float
    lo: float | None
    hi: float | None
    reason: str = ""

    def is_resolved(self, null: float) -> bool:
        return self.lo is not None and self.hi is not None and not self.lo <= null <= self.hi


def compute_accuracy_difference(a: ModelResults, b: ModelResults, alpha: float = ALPHA) -> Difference | None:
    """Compute the mean test accuracy of `a` minus that of `b`; two-sided at `alpha`, over seeds and test examples.

    The examples are paired if both kept their answers to the same ones. Otherwise they count as two independent
    samples, and the bounds are wider than necessary.
    """
    x, y = a.compute_accuracy(), b.compute_accuracy()
    if x is None or y is None:
        return None
    if any(side.n_seeds < 2 and not model.is_reported for side, model in ((x, a), (y, b))):
        return Difference(x.mean - y.mean, None, None, "needs two seeds of each")
    return _compare_answers(a, b, alpha) or _compare_means(a, b, x, y, alpha)


def _compare_answers(a: ModelResults, b: ModelResults, alpha: float) -> Difference | None:
    """Compare the answers to each example; None if they were not kept, or the examples differ."""
    try:
        x, y = (read_answers(model, "test_accuracy") for model in (a, b))
        return compare_answers(x, y, alpha)
    except UnmeasuredError:
        return None


def compare_answers(x: Answers, y: Answers, alpha: float = ALPHA) -> Difference:
    """Compute the mean of `x` minus that of `y` on the same examples; paired by seed if the seeds are the same."""
    estimate = x.subtract(y)
    return Difference(estimate.value, *estimate.compute_interval(alpha))


def _compare_means(a: ModelResults, b: ModelResults, x: Accuracy, y: Accuracy, alpha: float) -> Difference:
    """Compare means with Welch's interval over seeds and two independent samples of examples."""
    value, lo, _ = compute_welch_interval(a.values("test_accuracy"), b.values("test_accuracy"), alpha / 2)
    z = NormalDist().inv_cdf(1 - alpha / 2)
    variance = x.mean * (1 - x.mean) / x.n + y.mean * (1 - y.mean) / y.n
    half = math.hypot(value - lo, z * math.sqrt(variance))
    return Difference(value, value - half, value + half)


def compute_cost_ratio(a: CostSample, b: CostSample, alpha: float = ALPHA) -> Difference | None:
    """Compute the cost of `a` over that of `b`, over shared processes or over seeds; counts are exact."""
    if min(a.value, b.value) <= 0:
        return None
    if not a.samples and not b.samples:
        ratio = a.value / b.value
        return Difference(ratio, ratio, ratio)
    if a.is_reported or b.is_reported:
        return _compare_reported(a, b, alpha)
    x, y = ([math.log(v) for v in sample.samples] for sample in (a, b))
    if len(a.machines | b.machines) > 1:
        return Difference(a.value / b.value, None, None, SEVERAL)
    if a.session != b.session:
        return Difference(a.value / b.value, None, None, "not timed in the same session")
    if min(len(x), len(y)) < 2:
        return Difference(a.value / b.value, None, None, "needs two samples of each")
    if a.session and len(x) == len(y):
        logs = [p - q for p, q in zip(x, y, strict=True)]
        value, (lo, hi) = math.fsum(logs) / len(logs), compute_t_interval(logs, alpha / 2)
    else:
        value, lo, hi = compute_welch_interval(x, y, alpha / 2)
    return Difference(math.exp(value), math.exp(lo), math.exp(hi))


def _compare_reported(a: CostSample, b: CostSample, alpha: float) -> Difference:
    """Compare costs of which bounds are known at most; the two are taken as independent."""
    if min(a.hi - a.lo, b.hi - b.lo) <= 0:
        return Difference(a.value / b.value, None, None, "reported without bounds")
    ratio = estimate_reported(a.value, a.lo, a.hi, b.value, b.lo, b.hi)
    lo, hi = ratio.compute_interval(alpha)
    return Difference(math.exp(ratio.value), math.exp(lo), math.exp(hi))


def make_difference_tables(task: TaskResults) -> list[Table]:
    """Tables of every model against the reference, and of all pairs."""
    return [make_relative_table(task), make_pair_table(task)] if task.reference and len(task.models) > 1 else []


def make_relative_table(task: TaskResults) -> Table:
    reference = task.reference
    assert reference is not None
    costs = [cost for cost in list_costs(task) if cost.find(reference)]
    rows = []
    for model in task.by_size:
        if model is reference:
            rows.append([model.name, "reference", *("1 x" for _ in costs)])
        else:
            difference = compute_accuracy_difference(model, reference)
            rows.append([model.name, format_points(difference), *(_render_ratio(c, model, reference) for c in costs)])
    caption = (
        f"Differences of accuracy in points, and ratios of cost. Brackets hold 95 % intervals: of accuracy over seeds "
        f"and test examples, paired where the answers were kept; of latency and energy over processes that measured "
        f"both models side by side; of training over seeds. Counts are exact. "
        f"The reference is {reference.name}{'' if task.chosen_reference else ', the most accurate model'}."
    )
    header = ["model", "test accuracy, points", *(cost.title for cost in costs)]
    return Table(f"Relative to {reference.name}", caption, header, rows)


def _render_ratio(cost: Cost, model: ModelResults, reference: ModelResults) -> str:
    a, b = cost.find(model), cost.find(reference)
    ratio = compute_cost_ratio(a, b) if a and b else None
    if ratio is None:
        return render_gap(model, cost)
    return _mark(format_ratio(ratio.value, ratio.lo, ratio.hi), ratio, 1.0)


def format_points(difference: Difference | None) -> str:
    """Write points with their interval, and a remark if they are not resolved."""
    if difference is None:
        return MISSING
    value, lo, hi = (None if x is None else 100 * x for x in (difference.value, difference.lo, difference.hi))
    assert value is not None
    spread = (hi - lo) / 2 if lo is not None and hi is not None else None
    text = _sign(value, spread)
    if lo is not None and hi is not None:
        text += f" [{_sign(lo, spread)}, {_sign(hi, spread)}]"
    return _mark(text, difference, 0.0)


def _sign(value: float, spread: float | None) -> str:
    return f"{'+' if value > 0 else ''}{format_number(value, spread)}"


def _mark(text: str, difference: Difference, null: float) -> str:
    if difference.is_resolved(null) or difference.value == null:
        return text
    return f"{text} ({difference.reason or 'not resolved'})"


def compare_pairs(sides: Sequence[S], compare: Callable[[S, S, float], D]) -> list[tuple[S, S, D]]:
    """Compare all pairs at a level corrected for their number (Bonferroni)."""
    pairs = list(combinations(sides, 2))
    return [(a, b, compare(a, b, ALPHA / len(pairs))) for a, b in pairs]


def make_pair_table(task: TaskResults) -> Table:
    """Compare all pairs, so that 95 % holds for the whole table."""
    judged = [model for model in task.by_size if model.compute_accuracy()]
    pairs = compare_pairs(judged, compute_accuracy_difference)
    rows, unresolved = [], 0
    for a, b, difference in pairs:
        assert difference is not None
        is_resolved = difference.is_resolved(0.0)
        unresolved += not is_resolved
        if not is_resolved:
            verdict = "not resolved"
        else:
            verdict = f"{a.name if difference.value > 0 else b.name} is more accurate"
        rows.append([a.name, b.name, format_points(difference).split(" (")[0], verdict])
    caption = (
        "Test accuracy of the first minus that of the second, in points. Brackets hold simultaneous 95 % intervals "
        f"(Bonferroni, {len(pairs)} pairs). "
        f"{len(pairs) - unresolved} of {len(pairs)} differences are resolved."
    )
    return Table("Which differences are resolved", caption, ["first", "second", "difference", "verdict"], rows)
