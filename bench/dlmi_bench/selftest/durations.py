"""Simulated times of processes, calls and trainings, and the bounds that reports would print of them."""

import math
from statistics import NormalDist, median
from typing import Any

import numpy as np

from dlmi_bench.records import Benchmark, Cell, Figure, Record
from dlmi_bench.selftest.rows import ALPHA, Bounds, Simulate
from dlmi_bench.stats.intervals import compute_process_summary
from dlmi_bench.stats.percentiles import compute_percentile
from dlmi_bench.stats.resolution import Noise
from dlmi_bench.store.rounds import compute_latency_ratio
from dlmi_reports.claims.evidence import Evidence
from dlmi_reports.claims.kinds.ratio import Ratio
from dlmi_reports.results.costs import COSTS
from dlmi_reports.results.load import Results, TaskResults
from dlmi_reports.results.model import ModelResults
from dlmi_reports.tables.differences import compute_cost_ratio

Generator = np.random.Generator

N_PROCESSES, N_ROUNDS, N_SEEDS = 5, 100, 5
RATIO = 1.05  # of the latencies of two models
BENCHMARK: dict[str, Any] = {"backend": "onnxruntime", "batch": 1, "threads": 1}  # the one that models are compared by
CLAIM = Ratio(
    kind="ratio",
    id="quicker",
    sentence="It is quicker.",
    source="simulation",
    task="simulated",
    model="base",
    against=("other",),
    metric="latency_s",
    **BENCHMARK,
)
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


def draw_session(rng: Generator) -> TaskResults:
    """Two models timed in one session, as a report loads them: `other` takes RATIO times as long as `base`."""
    task = TaskResults("simulated")
    for name, rounds in zip(("base", "other"), draw_rounds(rng), strict=True):
        summary = compute_process_summary(rounds)
        figure = Figure(
            name="latency_s",
            value=summary.value,
            lo=summary.lo,
            hi=summary.hi,
            kind="measured",
            source="simulation",
            conditions=BENCHMARK,
            samples=tuple(median(process) for process in rounds),
        )
        details: dict[str, Any] = {"session": "s", "rounds_s": {Benchmark("", "onnxruntime", batch=1).key: rounds}}
        record = Record(cell=Cell(kind="latency", task=task.name, model=name), figures=(figure,), details=details)
        task.models[name] = ModelResults(name, measured={"latency": record})
    return task


def simulate_ratio(rng: Generator) -> Bounds:
    records = [model.measured["latency"] for model in draw_session(rng).models.values()]
    found = compute_latency_ratio(*records, **BENCHMARK)
    assert found.lo is not None
    assert found.hi is not None
    return found.lo, found.hi, RATIO


def simulate_paired_costs(rng: Generator) -> Bounds:
    models = draw_session(rng).models
    return _bound_costs("latency", models["other"], models["base"])


def simulate_training_costs(rng: Generator) -> Bounds:
    """Durations of 5 trainings on each side, the second of them three times as scattered."""
    sides = [np.exp(rng.normal(m, sd, N_SEEDS)).tolist() for m, sd in ((math.log(RATIO), 0.02), (0, 0.06))]
    return _bound_costs("training", *(_make_trained(name, side) for name, side in zip("ab", sides, strict=True)))


def _make_trained(name: str, durations_s: list[float]) -> ModelResults:
    figures = [Figure(name="training_s", value=t, kind="measured", source="simulation") for t in durations_s]
    cells = [Cell(kind="train", task="simulated", model=name, seed_index=i) for i in range(len(figures))]
    return ModelResults(name, [Record(cell=c, figures=(f,)) for c, f in zip(cells, figures, strict=True)])


def _bound_costs(name: str, first: ModelResults, second: ModelResults) -> Bounds:
    cost = next(cost for cost in COSTS if cost.name == name)
    a, b = cost.find(first), cost.find(second)
    assert a is not None
    assert b is not None
    found = compute_cost_ratio(a, b)
    assert found is not None
    assert found.lo is not None
    assert found.hi is not None
    return found.lo, found.hi, RATIO


def simulate_claimed_ratio(rng: Generator) -> Bounds:
    task = draw_session(rng)
    (found,) = CLAIM.find(Evidence(Results({task.name: task}, [], [], []), ALPHA)).comparisons
    return *found.estimate.compute_interval(ALPHA), math.log(RATIO)


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
