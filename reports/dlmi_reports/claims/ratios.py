"""Ratios of costs, paired by process or by seed."""

import math

from dlmi_bench.records import UNTIMED, Figure
from dlmi_bench.stats.estimates import Estimate, MedianEstimate, estimate_mean
from dlmi_bench.stats.reported import estimate_reported
from dlmi_bench.store.rounds import find_session
from dlmi_reports.claims.evidence import Evidence
from dlmi_reports.claims.predicate import Conditions
from dlmi_reports.results.arrays import UnmeasuredError
from dlmi_reports.results.costs import list_machines
from dlmi_reports.results.machines import NOT_COMPARABLE, REPORTED
from dlmi_reports.results.model import ModelResults

EPOCHS = "epochs_to_target"  # a count, the same on every machine and beside others
TIMED = "timed seeds"  # of which no more are trained to decide a claim


def pair_processes(claim: Conditions, evidence: Evidence, metric: str, other: str) -> list[float]:
    """Log ratios, other over model, of the process medians of one session."""
    (own, a), (its, b) = (evidence.find_figure(claim, metric, name) for name in (claim.model, other))
    _check_measured(own, its)
    if len(list_machines([a, b])) > 1:
        raise UnmeasuredError(f"{metric}: {NOT_COMPARABLE}", f"run both on one, with --fresh {a.cell.kind}")
    if metric == "latency_s" and find_session(a) != find_session(b):
        cause = f"{claim.model} and {other} were timed in different sessions"
        raise UnmeasuredError(cause, "run both at once, with --fresh latency")
    if len(own.samples) != len(its.samples) or len(own.samples) < 2:
        raise UnmeasuredError(
            f"{metric}: fewer than two pairs of processes, so no spread", "use a suite with n_processes of 2 or more"
        )
    return [math.log(y / x) for x, y in zip(own.samples, its.samples, strict=True)]


def compare_reported(claim: Conditions, evidence: Evidence, metric: str, other: str) -> Estimate | None:
    """Compare costs that others reported, other over model, by their bounds; None where they were measured here.

    Raises:
        UnmeasuredError: one has no bounds, or one alone was measured here.
    """
    own, its = (evidence.find_figure(claim, metric, name)[0] for name in (claim.model, other))
    reported = [figure.conditions.get("backend") == REPORTED for figure in (own, its)]
    if not any(reported):
        return None
    if not all(reported):
        raise UnmeasuredError(f"{metric}: one of the two was reported by others", "compare costs of one origin")
    bounds = [(f.value, f.lo, f.hi) for f in (its, own)]
    known = [float(x) for triple in bounds for x in triple if x]
    if len(known) < 2 * len(bounds[0]) or any(f.lo == f.hi for f in (own, its)):
        raise UnmeasuredError(f"{metric} was reported without bounds", "add their columns to the table of costs")
    return estimate_reported(*known)


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


def pair_seeds_by_kind(first: ModelResults, second: ModelResults, metric: str) -> dict[str, list[float]]:
    """Log ratios, second over first, by seed, for each kind of machine on which two seeds of both were trained.

    Of a count, which is the same everywhere, all seeds stand under "".

    Raises:
        UnmeasuredError: there is no such kind, or see `pair_seeds`.
    """
    mine, its = (results.list_kinds(("train",)) for results in (first, second))
    if metric == EPOCHS or not (mine and its):
        return {"": pair_seeds(first, second, metric)}
    if not (common := sorted({*mine} & {*its})):
        raise UnmeasuredError(f"{metric}: {NOT_COMPARABLE}", "train all seeds of both on one")
    found: dict[str, list[float]] = {}
    gaps: list[UnmeasuredError] = []
    for kind in common:
        try:
            found[kind] = pair_seeds(first.on(kind), second.on(kind), metric)
        except UnmeasuredError as gap:
            gaps.append(gap)
    if not found:
        raise gaps[0]
    return found


def pair_seeds(first: ModelResults, second: ModelResults, metric: str) -> list[float]:
    """Log ratios, second over first, by seed; those are left out for which a side has no figure, or was not timed.

    Raises:
        UnmeasuredError: fewer than two pairs, times of several kinds of machine, or a side that has no such figure.
    """
    check_trained_here(metric, first, second)
    if metric in ("time_to_target_s", EPOCHS) and not any(r.figure(metric) for r in first.trainings):
        raise UnmeasuredError(f"{metric}: the task states no target", "state one in the task, or drop the claim")
    if metric != EPOCHS:
        _check_timed(metric, first, second)
    own, its = (_find_timed(results, metric) for results in (first, second))
    for index in own.keys() & its.keys():
        _check_measured(own[index], its[index])
        _check_available(metric, own[index], its[index])
    x, y = ({i: math.inf if f.value is None else f.value for i, f in side.items()} for side in (own, its))
    return pair_values(x, y, metric)


def _check_timed(metric: str, *sides: ModelResults) -> None:
    """Raise UnmeasuredError where a side was only trained beside others, or times come from unlike machines."""
    if untimed := [results.name for results in sides if results.trainings and not results.timed]:
        raise UnmeasuredError(
            f"{metric}: {UNTIMED}: {', '.join(untimed)}", "name them in a suite, whose first seeds are timed"
        )
    if len(list_machines([record for results in sides for record in results.timed])) > 1:
        raise UnmeasuredError(f"{metric}: trained on several kinds of machine", "train all seeds of both on one")


def _find_timed(results: ModelResults, metric: str) -> dict[int, Figure]:
    """Find the figure of each seed, but of those that were trained beside others and so not timed."""
    conditions = {"component": "cpu"} if metric.endswith("_j") else {}
    found = {r.cell.seed_index: r.figure(metric, **conditions) for r in results.select(metric)}
    return {index: figure for index, figure in found.items() if figure and figure.reason != UNTIMED}


def check_trained_here(metric: str, *sides: ModelResults) -> None:
    """Raise UnmeasuredError for finished weights, of whose training nothing is known."""
    if outside := [results.name for results in sides if results.is_from_elsewhere]:
        raise UnmeasuredError(f"{metric}: trained elsewhere: {', '.join(outside)}", "claim a cost of inference instead")


def pair_values(first: dict[int, float], second: dict[int, float], what: str) -> list[float]:
    """Log ratios, second over first, by seed; infinite where one side is, and none where both are.

    Raises:
        UnmeasuredError: fewer than two pairs.
    """
    pairs = [(first[index], second[index]) for index in sorted(first.keys() & second.keys())]
    values = [math.log(y) - math.log(x) for x, y in pairs if math.isfinite(x) or math.isfinite(y)]
    if len(values) < 2:
        raise UnmeasuredError(f"{what}: fewer than two seeds on both sides")
    return values


def estimate_ratio(values: list[float], what: str) -> Estimate:
    """Estimate the mean log ratio with a t-interval; with the sign test where some ratios are infinite."""
    return estimate_mean(values, what) if all(map(math.isfinite, values)) else MedianEstimate(tuple(values), what)
