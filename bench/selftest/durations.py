"""Simulated times of processes, calls and trainings, and the bounds that reports would print of them."""

import math
from statistics import NormalDist, median

import numpy as np

from bench.estimates import estimate_mean
from bench.percentiles import compute_percentile
from bench.ratios import compute_latency_ratio, make_rounds_key
from bench.records import Cell, Record
from bench.resolution import Noise
from bench.selftest.rows import ALPHA, Bounds, Simulate
from reports.costs import CostSample
from reports.differences import compute_cost_ratio

Generator = np.random.Generator

N_PROCESSES, N_ROUNDS, N_SEEDS = 5, 100, 5
RATIO = 1.05  # of the latencies of two models
FEWEST_CALLS, MOST_CALLS = 300, 3000  # single calls of five processes


def draw_rounds(rng: Generator, ratio: float = RATIO) -> tuple[list[list[float]], list[list[float]]]:
    """Two programs side by side: processes differ by 0.4 %, one in seven is 1.6 times slow, blocks are pre-empted."""
    shape = (N_PROCESSES, N_ROUNDS)
    slow = np.where(rng.random((N_PROCESSES, 1)) < 1 / 7, 1.6, 1.0)
    sides = [
        factor * slow * np.exp(rng.normal(0, 0.02, shape)) * np.where(rng.random(shape) < 0.05, 2.0, 1.0)
        for factor in (1.0, ratio * np.exp(rng.normal(0, 0.004, (N_PROCESSES, 1))))
    ]
    return sides[0].tolist(), sides[1].tolist()


def simulate_ratio(rng: Generator) -> Bounds:
    key = make_rounds_key("eager", 1, 1)
    records = [
        Record(
            cell=Cell(kind="latency", task="simulated", model=name),
            figures=(),
            details={"session": "s", "rounds_s": {key: rounds}},
        )
        for name, rounds in zip("ab", draw_rounds(rng), strict=True)
    ]
    found = compute_latency_ratio(*records, backend="eager", batch=1)
    assert found.lo is not None
    assert found.hi is not None
    return found.lo, found.hi, RATIO


def simulate_paired_costs(rng: Generator) -> Bounds:
    first, second = draw_rounds(rng)
    medians = [tuple(median(process) for process in side) for side in (second, first)]
    return _bound_costs(*(CostSample(median(m), min(m), max(m), m, session="s") for m in medians))


def simulate_training_costs(rng: Generator) -> Bounds:
    """Durations of 5 trainings on each side, the second of them three times as scattered."""
    sides = [tuple(np.exp(rng.normal(m, sd, N_SEEDS)).tolist()) for m, sd in ((math.log(RATIO), 0.02), (0, 0.06))]
    return _bound_costs(*(CostSample(median(s), min(s), max(s), s) for s in sides))


def _bound_costs(first: CostSample, second: CostSample) -> Bounds:
    found = compute_cost_ratio(first, second)
    assert found is not None
    assert found.lo is not None
    assert found.hi is not None
    return found.lo, found.hi, RATIO


def simulate_claimed_ratio(rng: Generator) -> Bounds:
    base, other = draw_rounds(rng)
    logs = [math.log(median(y) / median(x)) for x, y in zip(base, other, strict=True)]
    return *estimate_mean(logs, "processes").compute_interval(ALPHA), math.log(RATIO)


def simulate_percentile(p: float, n_calls: int) -> Simulate:
    def simulate(rng: Generator) -> Bounds:
        found = compute_percentile(np.exp(rng.standard_normal(n_calls)).tolist(), p)
        assert found is not None
        return -math.inf, found.hi, math.exp(NormalDist().inv_cdf(p))

    return simulate


def simulate_itself(rng: Generator) -> Bounds:
    """A net against itself in 12 processes, as `doctor` times it."""
    return *Noise(tuple(rng.normal(0, 0.01, 12).tolist()), (), 1.0).compute_bias(), 0.0


def simulate_noise(rng: Generator) -> Bounds:
    """The difference that a machine resolves, against that of a machine whose spread is known."""
    noise = Noise(tuple(rng.normal(0, 0.01, 12).tolist()), (), 1.0)
    worst = noise.compute_paired(30.0, is_worst=True)
    exact = Noise((-0.01 / math.sqrt(2), 0.01 / math.sqrt(2)), (), 1.0).compute_paired(30.0)
    assert worst is not None
    assert exact is not None
    return -math.inf, worst, exact
