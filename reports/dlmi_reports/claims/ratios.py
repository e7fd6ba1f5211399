"""Ratios of costs, paired by process or by seed."""

import math

from dlmi_bench.records import Figure
from dlmi_bench.stats.estimates import Estimate, MedianEstimate, estimate_mean
from dlmi_bench.store.rounds import find_session
from dlmi_reports.claims.evidence import Evidence
from dlmi_reports.claims.predicate import Conditions
from dlmi_reports.results.answers import UnmeasuredError
from dlmi_reports.results.costs import list_machines
from dlmi_reports.results.load import ModelResults


def pair_processes(claim: Conditions, evidence: Evidence, metric: str, other: str) -> list[float]:
    """Log ratios, other over model, of the process medians of one session."""
    (own, a), (its, b) = (evidence.find_figure(claim, metric, name) for name in (claim.model, other))
    _check_measured(own, its)
    if metric == "latency_s" and find_session(a) != find_session(b):
        cause = f"{claim.model} and {other} were timed in different sessions"
        raise UnmeasuredError(cause, "run both at once, with --fresh latency")
    if len(own.samples) != len(its.samples) or len(own.samples) < 2:
        raise UnmeasuredError(
            f"{metric}: fewer than two pairs of processes, so no spread", "use a suite with n_processes of 2 or more"
        )
    return [math.log(y / x) for x, y in zip(own.samples, its.samples, strict=True)]


def _check_measured(*figures: Figure) -> None:
    """Raise UnmeasuredError for modelled energy: time multiplied by a constant can neither support nor refute."""
    for figure in figures:
        if figure.kind == "modelled":
            raise UnmeasuredError(
                f"modelled only ({figure.source})", "use a machine whose RAPL or NVML counters can be read"
            )


def _check_available(metric: str, *figures: Figure) -> None:
    """Raise UnmeasuredError for a figure that is missing for another reason than censoring."""
    for figure in figures:
        if figure.value is None and not figure.reason.startswith("censored"):
            raise UnmeasuredError(f"{metric}: {figure.reason}", "compare models that have it")


def pair_seeds(first: ModelResults, second: ModelResults, metric: str) -> list[float]:
    """Log ratios, second over first, by seed.

    A ratio is infinite where one side is censored; seeds for which neither side has a figure are left out.

    Raises:
        UnmeasuredError: fewer than two pairs, several kinds of machine, or a side that has no such figure.
    """
    if outside := [results.name for results in (first, second) if results.is_from_elsewhere]:
        raise UnmeasuredError(f"{metric}: trained elsewhere: {', '.join(outside)}", "claim a cost of inference instead")
    conditions = {"component": "cpu"} if metric.endswith("_j") else {}
    own, its = (
        {r.cell.seed_index: r.figure(metric, **conditions) for r in results.trainings} for results in (first, second)
    )
    if len(list_machines([*first.trainings, *second.trainings])) > 1:
        raise UnmeasuredError(f"{metric}: trained on several kinds of machine", "train all seeds of both on one")
    if metric == "time_to_target_s" and not any(own.values()):
        raise UnmeasuredError(f"{metric}: the task states no target", "state one in the task, or drop the claim")
    values = []
    for index in sorted(own.keys() & its.keys()):
        x, y = own[index], its[index]
        if x is None or y is None:
            continue
        _check_measured(x, y)
        _check_available(metric, x, y)
        if x.value is not None and y.value is not None:
            values.append(math.log(y.value / x.value))
        elif x.value is not None or y.value is not None:
            values.append(math.inf if y.value is None else -math.inf)
    if len(values) < 2:
        raise UnmeasuredError(f"{metric}: fewer than two seeds on both sides")
    return values


def estimate_ratio(values: list[float], what: str) -> Estimate:
    """Estimate the mean log ratio with a t-interval; with the sign test where some ratios are infinite."""
    return estimate_mean(values, what) if all(map(math.isfinite, values)) else MedianEstimate(tuple(values), what)
