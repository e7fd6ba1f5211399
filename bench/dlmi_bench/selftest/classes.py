"""Coverage of the intervals of three ordered classes, against figures of very many examples."""

import zlib
from collections import defaultdict
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from dlmi_bench.metrics import describe_answers
from dlmi_bench.records import Figure
from dlmi_bench.selftest.metrics import FEWEST, HIGHEST, LOWEST, N_WORLDS, PAIRS
from dlmi_bench.selftest.rows import Row, make_share
from dlmi_bench.selftest.worlds import GROUP_SIZE, SETTINGS, SHARED, Floats, Setting

N_TRUTH = 300_000  # examples that stand for infinitely many
NAMES = ("test_auc", "test_auprc", "test_absolute_error", "test_calibration_slope", "test_log_loss", "test_brier")
CLASS_NAMES = ("early", "middle", "late")
DISTANCES = (0.8, 1.5, 2.2)
FACTOR = 1.5  # of logits that are too extreme
FEW = "at least 95 %: 3 examples of two classes"


def check_classes(n_worlds: int = N_WORLDS, settings: tuple[Setting, ...] = SETTINGS) -> Iterator[Row]:
    """Measure how often intervals hold the truth; two of three classes have the setting's share, at most a third."""
    for setting in settings:
        rng, hits = np.random.default_rng(zlib.crc32(f"three {setting.text}".encode())), defaultdict(list)
        for _ in range(n_worlds):
            distance = float(rng.choice(DISTANCES))
            truths = compute_truths(setting.prevalence, distance)
            for name, figure in _describe(setting.n, setting, distance, rng).items():
                if figure.lo is not None and figure.hi is not None:
                    hits[name].append(figure.lo <= truths[name] <= figure.hi)
        for name, held in hits.items():
            remark = _explain(name, setting)
            subject = f"{name.removeprefix('test_').replace('_', ' ')} of 3 classes, {setting.text}"
            yield make_share(
                "coverage", subject, held, lowest=LOWEST, highest=1.0 if remark else HIGHEST, remark=remark
            )


def _explain(name: str, setting: Setting) -> str:
    if setting.n * setting.prevalence < FEWEST:
        return FEW
    return PAIRS if setting.is_clustered and name != "test_calibration_slope" else ""


@lru_cache
def compute_truths(prevalence: float, distance: float) -> dict[str, float]:
    """Compute the figures of very many examples with the same shares of the classes."""
    rng, setting = np.random.default_rng(0), Setting(60, prevalence, is_clustered=False)
    figures = _describe(N_TRUTH, setting, distance, rng)
    return {name: figure.value for name, figure in figures.items() if figure.value is not None}


def _draw_labels(n: int, prevalence: float) -> NDArray[np.int64]:
    share = min(prevalence, 1 / 3)
    n_rare = round(60 * share) * n // 60
    return np.repeat([0, 1, 2], [n - 2 * n_rare, n_rare, n_rare])


def _describe(n: int, setting: Setting, distance: float, rng: np.random.Generator) -> dict[str, Figure]:
    """Make the figures of a test set, those over all classes."""
    labels = _draw_labels(n, setting.prevalence)
    groups = None
    noise: Floats = rng.standard_normal((n, 3))
    if setting.is_clustered:
        groups = np.arange(n) // GROUP_SIZE
        noise = np.sqrt(SHARED) * rng.standard_normal((n, 3))[groups] + np.sqrt(1 - SHARED) * noise
    scores = FACTOR * distance * (noise + distance * np.eye(3)[labels])
    figures = describe_answers(
        scores, labels, class_names=CLASS_NAMES, is_ordinal=True, groups=groups, source="simulation", conditions={}
    )
    found: dict[str, Figure] = {}
    for figure in figures:
        if figure.name in NAMES:
            found.setdefault(figure.name, figure)
    return found
