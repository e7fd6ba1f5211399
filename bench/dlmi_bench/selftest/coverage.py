"""Coverage of the 95 % intervals that reports print: sessions of known truth through the functions that they use."""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from dlmi_bench.selftest import answers, durations
from dlmi_bench.selftest.rows import Row, Simulate, make_share
from dlmi_bench.stats.confusion import compute_balanced_accuracy, compute_macro_f1, compute_quadratic_kappa

N_SESSIONS = 1000
LOWEST, HIGHEST = 0.93, 0.97


FEWEST, MOST = durations.FEWEST_CALLS, durations.MOST_CALLS
PERCENTILES = ((0.5, FEWEST), (0.9, FEWEST), (0.95, MOST), (0.99, FEWEST), (0.999, MOST))


@dataclass(frozen=True)
class Method:
    """An interval and a simulation of its sessions.

    Attributes:
        highest: Above HIGHEST where the method promises 95 % at least, for the reason in `remark`.
    """

    name: str
    simulate: Simulate
    highest: float = HIGHEST
    remark: str = ""


METHODS: tuple[Method, ...] = (
    Method("Wilson: accuracy of one network, 2 007 examples", answers.simulate_network),
    Method("Wilson: decisions that differ, 0.2-2 % of 2 007", answers.simulate_disagreement),
    Method(
        "Wilson: mean accuracy of 5 seeds, 2 007 examples",
        answers.simulate_mean_of_seeds,
        highest=1.0,
        remark="at least 95 %: one network's; the mean of five varies less",
    ),
    Method("Wilson: share of 20 seeds that reach the target", answers.simulate_reach),
    Method("two-way t: mean accuracy, 5 seeds, 2 007 examples", answers.simulate_two_way),
    Method("two-way t: mean accuracy, 5 seeds, 60 examples", answers.simulate_few_examples),
    Method("two-way t: difference of arms, seeds paired", answers.simulate_paired_arms),
    Method("two-way t: difference of recipes", answers.simulate_two_recipes),
    Method("two-way t with Bonferroni: all 6 pairs of 4 models at once", answers.simulate_pairs),
    Method("Welch and binomial: answers not kept, two test sets", answers.simulate_two_test_sets),
    Method(
        "Welch and binomial: answers not kept, one test set",
        answers.simulate_common_examples,
        highest=1.0,
        remark="at least 95 %: common examples are taken for two samples",
    ),
    Method("sign test: median ratio, 20 pairs, some censored", answers.simulate_censored),
    Method("jackknife t: ratio of pooled signal to noise, 180 images", answers.simulate_gain),
    Method("posterior: balanced accuracy, 120 examples", answers.simulate_confusion(compute_balanced_accuracy)),
    Method("posterior: macro-F1, 120 examples", answers.simulate_confusion(compute_macro_f1)),
    Method("posterior: quadratic kappa, 120 examples", answers.simulate_confusion(compute_quadratic_kappa)),
    Method("bootstrap: front of accuracy against parameters", answers.simulate_front),
    Method("t: latency ratio, 5 processes, paired rounds", durations.simulate_ratio),
    Method("t: latency ratio, 5 processes, their medians", durations.simulate_paired_costs),
    Method("t: claimed latency ratio, 5 processes", durations.simulate_claimed_ratio),
    Method("Welch: ratio of training durations, 5 and 5 seeds", durations.simulate_training_costs),
    *(
        Method(f"order statistics: bound of p{100 * p:g}, {n} calls", durations.simulate_percentile(p, n))
        for p, n in PERCENTILES
    ),
    Method("t: latency of a net against itself, 12 processes", durations.simulate_itself),
    Method("chi-square: worst resolvable difference, 12 processes", durations.simulate_noise),
)


def check_coverage(n_sessions: int = N_SESSIONS, methods: tuple[Method, ...] = METHODS) -> Iterator[Row]:
    """Measure how often the bounds hold the true value, method by method, on the same draws every time."""
    for method in methods:
        rng = np.random.default_rng(zlib.crc32(method.name.encode()))
        sessions = (method.simulate(rng) for _ in range(n_sessions))
        hits = [lo <= truth <= hi for lo, hi, truth in sessions]
        yield make_share("coverage", method.name, hits, lowest=LOWEST, highest=method.highest, remark=method.remark)
