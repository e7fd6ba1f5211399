"""Coverage of the intervals of answers, and bias of the calibration error, in simulated test sets of known truth."""

import zlib
from collections import defaultdict
from collections.abc import Iterator, Mapping

import numpy as np

from dlmi_bench.instruments.accuracy import make_confusion_figure
from dlmi_bench.metrics import compare_areas, describe_answers
from dlmi_bench.metrics.thresholds import AT_SPECIFICITY, FIXES, compute_predictive
from dlmi_bench.records import Figure
from dlmi_bench.selftest.rows import ALPHA, Row, make_mean, make_share
from dlmi_bench.selftest.worlds import CLASS_NAMES, SETTINGS, Floats, Setting, World, compute_area
from dlmi_bench.stats.calibration import estimate_calibration_error
from dlmi_bench.stats.confusion import (
    compute_balanced_accuracy,
    compute_design,
    compute_macro_f1,
    compute_mcc,
    count_confusion,
)
from dlmi_bench.stats.estimates import estimate_difference
from dlmi_bench.stats.linear import Units
from dlmi_bench.stats.ranking import rank_auc
from dlmi_reports.results.answers import Examples, compute_area_row

N_WORLDS = 1000
LOWEST, HIGHEST = 0.93, 0.97
FEWEST, MANY = 10, 100  # positive examples, and examples
N_SEEDS, SEED_NOISE = 5, 0.2  # trainings of a model, and the variance by which their scores differ
N_CALIBRATED, MOST_BIAS = 200, 0.01
CONFUSION = {
    "test_mcc": compute_mcc,
    "test_balanced_accuracy": compute_balanced_accuracy,
    "test_macro_f1": compute_macro_f1,
}
AT_LEAST = "at least 95 %: "
FEW = f"{AT_LEAST}3 positive examples"
PAIRS = f"{AT_LEAST}pairs never narrow it"
RARE = f"{AT_LEAST}class sizes count as drawn"
ANY = f"{AT_LEAST}holds for any miscalibration"
WIDENED = ("sensitivity", "specificity", "ppv", "npv", "mcc", "accuracy", "f1")  # by groups, never narrowed


def check_metrics(n_worlds: int = N_WORLDS, settings: tuple[Setting, ...] = SETTINGS) -> Iterator[Row]:
    """Measure how often the interval of each figure holds the truth; worlds in which it has none are left out."""
    for setting in settings:
        hits = defaultdict(list)
        rng = np.random.default_rng(zlib.crc32(setting.text.encode()))
        for _ in range(n_worlds):
            for name, is_held in _judge_world(World.draw(setting, rng), rng).items():
                hits[name].append(is_held)
        for name, held in hits.items():
            remark, subject = _explain(name, setting), f"{name.removeprefix('test_').replace('_', ' ')}, {setting.text}"
            highest = 1.0 if remark else HIGHEST
            yield make_share("coverage", subject, held, lowest=LOWEST, highest=highest, remark=remark)


def _explain(name: str, setting: Setting) -> str:
    """Say why an interval is wider on purpose; nothing where it is not."""
    if name == "test_ece":
        return ANY
    if setting.n * setting.prevalence < FEWEST:
        return FEW
    if name == "test_confident_accuracy" and setting.prevalence < 0.5:
        return RARE
    return PAIRS if setting.is_clustered and any(word in name for word in WIDENED) else ""


def _judge_world(world: World, rng: np.random.Generator) -> dict[str, bool]:
    """Tell of each figure with an interval whether it holds the truth."""
    odds, known = world.draw_odds(rng), world.draw_odds(rng)
    figures = {_name(figure): figure for figure in _describe(world, odds, known)}
    limits = {at: fix(known, world.labels == 1) for at, fix in FIXES.items()}
    found = {}
    for name, truth in (world.compute_truths() | _compute_rates(world, limits)).items():
        figure = figures[name]
        if figure.lo is not None and figure.hi is not None:
            found[name] = figure.lo <= truth <= figure.hi
    return found


def _name(figure: Figure) -> str:
    at = figure.conditions.get("at", "")
    return f"{figure.name} at {at}" if at and not figure.name.endswith("pv") else figure.name


def _describe(world: World, odds: Floats, known: Floats) -> list[Figure]:
    """Make all figures of a test set as a run makes them."""
    labels, groups = world.labels, world.groups
    scores, validation = (np.stack([np.zeros(len(x)), x], axis=1) for x in (odds, known))
    figures = describe_answers(
        scores, labels, class_names=CLASS_NAMES, groups=groups, validation=(validation, labels), source="simulation",
        conditions={},
    )  # fmt: skip
    decisions, units = (odds > 0).astype(np.int64), Units(labels, groups, 2)
    for name, metric in CONFUSION.items():
        design = None if groups is None else compute_design(decisions, units, metric)
        confusion = count_confusion(labels, decisions, 2)
        figures.append(make_confusion_figure(name, confusion, metric, source="simulation", design=design))
    return figures


def _compute_rates(world: World, limits: Mapping[str, float]) -> dict[str, float]:
    """True figures of decisions: at both thresholds, and at even odds."""
    found: dict[str, float] = {}
    for at, limit in limits.items():
        names = (f"test_sensitivity at {at}", f"test_specificity at {at}")
        found |= dict(zip(names, world.compute_rates(limit), strict=True))
    confusion = world.compute_confusion(limits[AT_SPECIFICITY])
    for name, index in (("test_ppv", 1), ("test_npv", 0)):
        found[name] = float(compute_predictive(confusion, index, world.share))
    return found | {name: float(metric(world.compute_confusion())) for name, metric in CONFUSION.items()}


def check_differences(n_worlds: int = N_WORLDS, settings: tuple[Setting, ...] = SETTINGS) -> Iterator[Row]:
    """Measure how often bounds of the difference of two areas hold the truth: of one training each, and of five."""
    for name, judge in (("one training each", _judge_pair), ("5 seeds, two-way t", _judge_seeds)):
        for setting in settings:
            rng = np.random.default_rng(zlib.crc32(f"{name}, {setting.text}".encode()))
            held = [judge(World.draw(setting, rng), rng) for _ in range(n_worlds)]
            remark = _explain_difference(setting, is_one=judge is _judge_pair)
            subject, highest = f"difference of areas, {name}, {setting.text}", 1.0 if remark else HIGHEST
            yield make_share("coverage", subject, held, lowest=LOWEST, highest=highest, remark=remark)


def _explain_difference(setting: Setting, *, is_one: bool) -> str:
    """Say why bounds of a difference are wider on purpose; nothing where they are not."""
    if setting.n * setting.prevalence < FEWEST:
        return FEW
    if setting.n < MANY:
        return f"{AT_LEAST}areas of 1 are not alike for certain"
    return "" if is_one or not setting.is_clustered else f"{AT_LEAST}a pair gained and one lost are added"


def _judge_pair(world: World, rng: np.random.Generator) -> bool:
    odds = world.draw_odds(rng)
    rival, distance = world.draw_rival(odds, rng)
    first, second = (np.stack([np.zeros(len(x)), x], axis=1) for x in (odds, rival))
    found = compare_areas(first, second, world.labels, class_names=CLASS_NAMES, groups=world.groups)
    return found.lo <= compute_area(world.distance) - compute_area(distance) <= found.hi


def _judge_seeds(world: World, rng: np.random.Generator) -> bool:
    """Five seeds of each of two models; the scores of seeds differ by noise."""
    odds = world.draw_odds(rng)
    rival, distance = world.draw_rival(odds, rng)
    score = (odds - world.offset) / world.factor
    tables = [_draw_seeds(world, x, rng) for x in (score, rival)]
    estimate = estimate_difference(*(_pool(world, table) for table in tables), is_paired=False)
    truth = compute_area(world.distance / np.sqrt(1 + SEED_NOISE)) - compute_area(distance / np.sqrt(1 + SEED_NOISE))
    lo, hi = estimate.compute_interval(ALPHA)
    return lo <= truth <= hi


def _draw_seeds(world: World, score: Floats, rng: np.random.Generator) -> Floats:
    rows = []
    for _ in range(N_SEEDS):
        seen = score + np.sqrt(SEED_NOISE) * rng.standard_normal(len(score))
        rows.append(compute_area_row(np.stack([np.zeros(len(seen)), seen], axis=1), world.labels))
    return np.stack(rows)


def _pool(world: World, table: Floats) -> Floats:
    return Examples(table, world.labels, world.groups, ()).pool().table


def check_calibration_bias(n_worlds: int = N_WORLDS) -> Iterator[Row]:
    """Measure the calibration error of perfectly calibrated probabilities, which has none."""
    from scipy.special import expit

    rng, read = np.random.default_rng(0), []
    for _ in range(n_worlds):
        chances = expit(rng.uniform(0.5, 3) * rng.standard_normal(N_CALIBRATED) + rng.normal())
        is_right = rng.random(N_CALIBRATED) < chances
        units = Units(is_right.astype(np.int64), None, 2)
        read.append(estimate_calibration_error(chances, is_right, units).value)
    subject = f"calibration error of calibrated probabilities, n {N_CALIBRATED}"
    yield make_mean("bias", subject, read, lowest=-MOST_BIAS, highest=MOST_BIAS)


def check_delong(n_worlds: int = 20) -> Iterator[Row]:
    """Compare the variance of an area with that of all pairs, counted one by one; the largest relative error."""
    rng, errors = np.random.default_rng(0), []
    for _ in range(n_worlds):
        scores, is_positive = np.round(rng.standard_normal(60), 1), np.arange(60) < 20
        area = rank_auc(scores, is_positive)
        gaps = scores[is_positive][:, None] - scores[~is_positive]
        wins = (gaps > 0) + 0.5 * (gaps == 0)
        truth = wins.mean(1).var(ddof=1) / 20 + wins.mean(0).var(ddof=1) / 40
        errors.append(
            Units(is_positive.astype(np.int64), None, 2).linearise(area.value, area.parts).variance / truth - 1
        )
    worst = float(max(errors, key=abs))
    yield Row("bias", "DeLong's variance against all pairs", worst, None, None, n_worlds, -1e-9, 1e-9)
