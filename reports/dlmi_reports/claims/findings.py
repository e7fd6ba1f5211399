"""From a claim and a store to what was found, kind by kind."""

import math
from collections.abc import Callable

from dlmi_bench.instruments.onnx_graph import count_operators, load_graph
from dlmi_bench.records import Figure
from dlmi_bench.stats.estimates import (
    Estimate,
    Exact,
    Middle,
    Share,
    estimate_accuracy,
    estimate_difference,
    estimate_mean,
    estimate_sd_ratio,
)
from dlmi_bench.units import format_count
from dlmi_reports.claims.comparisons import (
    Comparison,
    Finding,
    show_factor,
    show_log,
    show_percent,
    show_points,
    show_share,
)
from dlmi_reports.claims.evidence import Evidence, check_same_session
from dlmi_reports.claims.kinds import (
    COUNTS,
    SNRS,
    Above,
    Claim,
    NonInferior,
    OnTask,
    Ordered,
    Paired,
    Ratio,
    Reaches,
    Structure,
)
from dlmi_reports.results.answers import UnmeasuredError
from dlmi_reports.results.costs import list_machines
from dlmi_reports.results.load import ModelResults

SAME = 1e-4  # log ratios below it are rounding of float32: the images say the same


def find_reaches(claim: Reaches, evidence: Evidence, _: float) -> Finding:
    results = evidence.find_model(claim)
    reached = []
    for record in results.trainings:
        target = record.provenance.get("target")
        if not isinstance(target, dict) or target.get("validation_accuracy") != claim.target:
            raise UnmeasuredError(
                f"the runs of {claim.model} had another target than {claim.target:.0%}", "mend the claim"
            )
        hit = record.figure("time_to_target_s")
        reached.append(hit is not None and hit.value is not None)
    if not reached:
        raise UnmeasuredError(f"no training of {claim.model}")
    share = Share(sum(reached), len(reached), "seeds")
    label = f"{sum(reached)} of {len(reached)} seeds reached {claim.target:.0%}"
    return Finding((Comparison(label, share, claim.share, show_share, f", claimed over {claim.share:.0%}"),))


def find_above(claim: Above, evidence: Evidence, _: float) -> Finding:
    answers = evidence.read_table(claim, claim.metric)
    limit = evidence.find_observer(claim.task, claim.observer) if claim.value is None else claim.value
    name = f" ({claim.observer})" if claim.observer else ""
    wanted = f", claimed above {100 * limit:.4g}{name}"
    label = f"{_say(claim.metric)} of {claim.model}, {len(answers.table)} seeds"
    return Finding((Comparison(label, estimate_accuracy(answers.table), limit, show_percent, wanted),))


def find_non_inferior(claim: NonInferior, evidence: Evidence, _: float) -> Finding:
    return Finding(tuple(_compare_accuracy(claim, evidence, o, claim.metric, claim.margin) for o in claim.against))


def _compare_accuracy(claim: OnTask, evidence: Evidence, other: str, metric: str, margin: float) -> Comparison:
    """The model's accuracy less the other's; of a gap the other's less the model's."""
    own, its = evidence.read_table(claim, metric), evidence.read_table(claim, metric, other)
    own.check_same_examples(its)
    is_gap = metric == "generalisation_gap"
    first, second = (its, own) if is_gap else (own, its)
    label = f"{_say(metric)}, {other} less {claim.model}" if is_gap else f"{_say(metric)}, {claim.model} less {other}"
    estimate = estimate_difference(first.table, second.table, is_paired=own.seeds == its.seeds)
    return Comparison(label, estimate, -margin, show_points, f", margin {100 * margin:.4g}")


def find_ratio(claim: Ratio, evidence: Evidence, alpha: float) -> Finding:
    comparisons, notes = [], []
    for other in claim.against:
        is_comparable = True
        if claim.comparable_within is not None:
            accuracy = _compare_accuracy(claim, evidence, other, "test_accuracy", claim.comparable_within)
            lo, hi = accuracy.estimate.compute_interval(alpha)
            if hi < -claim.comparable_within:
                notes.append(f"{other} is left out, it is more accurate ({accuracy.describe(alpha)})")
                continue
            is_comparable = lo > -claim.comparable_within
            if not is_comparable:
                notes.append(f"whether {other} is of comparable accuracy is open ({accuracy.describe(alpha)})")
        comparisons.append(_compare_cost(claim, evidence, other, may_refute=is_comparable))
    if not comparisons:
        raise UnmeasuredError(f"none of comparable accuracy: {'; '.join(notes)}", "name others in `against`")
    return Finding(tuple(comparisons), tuple(notes))


def _compare_cost(claim: Ratio, evidence: Evidence, other: str, *, may_refute: bool) -> Comparison:
    wanted = f", claimed over {claim.factor:g}"
    label = f"{_say(claim.metric)}, {other} over {claim.model}"
    if claim.metric in COUNTS:
        counts = {name: evidence.find_count(claim, claim.metric, name) for name in (claim.model, other)}
        ratio = Exact(counts[other] / counts[claim.model])
        return Comparison(_say_counts(claim.metric, counts), ratio, claim.factor, show_factor, wanted, may_refute)
    if claim.metric in ("latency_s", "inference_energy_j"):
        values = _pair_processes(claim, evidence, other)
        what = "processes"
    else:
        first, second = evidence.find_model(claim), evidence.find_model(claim, other)
        values, what = pair_seeds(first, second, claim.metric), "seeds"
    return Comparison(label, _estimate_ratio(values, what), math.log(claim.factor), show_log, wanted, may_refute)


def _pair_processes(claim: Ratio, evidence: Evidence, other: str) -> list[float]:
    """Log ratios of the process medians of one session."""
    (own, a), (its, b) = (evidence.find_figure(claim, claim.metric, name) for name in (claim.model, other))
    check_measured(own, its)
    if claim.metric == "latency_s":
        check_same_session([a, b])
    if len(own.samples) != len(its.samples) or len(own.samples) < 2:
        raise UnmeasuredError(
            f"{claim.metric}: no two pairs of processes to see a spread", "a suite with n_processes of 2 or more"
        )
    return [math.log(y / x) for x, y in zip(own.samples, its.samples, strict=True)]


def check_measured(*figures: Figure) -> None:
    """Modelled energy is time multiplied by a constant: it can neither support nor refute."""
    for figure in figures:
        if figure.kind == "modelled":
            raise UnmeasuredError(f"modelled only ({figure.source})", "a machine whose RAPL or NVML can be read")


def pair_seeds(first: ModelResults, second: ModelResults, metric: str) -> list[float]:
    """Log ratios second over first by seed; infinite where only one side has a figure, none where neither has."""
    conditions = {"component": "cpu"} if metric.endswith("_j") else {}
    own, its = (
        {r.cell.seed_index: r.figure(metric, **conditions) for r in results.trainings} for results in (first, second)
    )
    if len(list_machines([*first.trainings, *second.trainings])) > 1:
        raise UnmeasuredError(f"{metric}: trained on several kinds of machine", "train all seeds of both on one")
    values = []
    for index in sorted(own.keys() & its.keys()):
        x, y = own[index], its[index]
        if x is None or y is None:
            continue
        check_measured(x, y)
        if x.value is not None and y.value is not None:
            values.append(math.log(y.value / x.value))
        elif x.value is not None or y.value is not None:
            values.append(math.inf if y.value is None else -math.inf)
    if len(values) < 2:
        raise UnmeasuredError(f"{metric}: fewer than two seeds on both sides")
    return values


def _estimate_ratio(values: list[float], what: str) -> Estimate:
    """A t-interval of the mean log ratio; the sign test where some are infinite."""
    return estimate_mean(values, what) if all(map(math.isfinite, values)) else Middle(tuple(values), what)


def find_ordered(claim: Ordered, evidence: Evidence, _: float) -> Finding:
    names = (claim.model, *claim.against)
    found = {name: evidence.find_count(claim, claim.metric, name) for name in names}
    least = min(value for name, value in found.items() if name != claim.model)
    label = _say_counts(claim.metric, found)
    return Finding((Comparison(label, Exact(least - found[claim.model]), 0.0, show_factor, ""),))


def find_structure(claim: Structure, evidence: Evidence, _: float) -> Finding:
    found = count_operators(load_graph(evidence.find_artifact(claim, "onnx")))
    counts = {name: found.get(name, 0) for name in claim.operators}
    wanted = ", ".join(f"{n} {name}" for name, n in claim.operators.items())
    label = f"graph of {claim.model}: {', '.join(f'{n} {name}' for name, n in counts.items())}; claimed {wanted}"
    return Finding((Comparison(label, Exact(float(counts == claim.operators)), 0.5, show_factor, ""),))


def find_paired(claim: Paired, evidence: Evidence, _: float) -> Finding:
    model, task = claim.control_model or claim.model, claim.control_task or claim.task
    arm, control = f"{claim.model} on {claim.task}", f"{model} on {task}"
    wanted = f", claimed over {claim.factor:g}"
    if claim.metric in SNRS:
        figures = [evidence.find_of_task(name, claim.metric) for name in (claim.task, task)]
        label = f"{claim.metric.replace('_', ' ')}, {claim.task} over {task}"
        gain, limit = estimate_gain(*figures), math.log(claim.factor)
        return Finding((Comparison(label, gain, limit, show_log, wanted, exactly=": the same for every image"),))
    if claim.effect == "ratio":
        values = pair_seeds(evidence.find_model(claim), evidence.find_model(claim, model, task), claim.metric)
        label = f"{_say(claim.metric)}, {control} over {arm}"
        comparison = Comparison(label, _estimate_ratio(values, "seeds"), math.log(claim.factor), show_log, wanted)
        return Finding((comparison,))
    own, its = evidence.read_table(claim, claim.metric), evidence.read_table(claim, claim.metric, model, task)
    if claim.effect == "mean":
        own.check_same_examples(its)
        estimate = estimate_difference(own.table, its.table, is_paired=own.seeds == its.seeds)
        label = f"{_say(claim.metric)}, {arm} less {control}"
        wanted = f", claimed above {100 * claim.margin:.4g}"
        return Finding((Comparison(label, estimate, claim.margin, show_points, wanted),))
    try:
        ratio = estimate_sd_ratio(own.table.mean(1).tolist(), its.table.mean(1).tolist())
    except ValueError as error:
        raise UnmeasuredError(f"stability: {error}") from None
    label = f"sd of {_say(claim.metric)} over {ratio.n} seeds, {control} over {arm}"
    return Finding((Comparison(label, ratio, claim.factor, show_factor, wanted),))


def estimate_gain(arm: Figure, control: Figure) -> Estimate:
    """Mean log ratio image by image; of the pooled figure the jackknife's, from the figures without each image.

    Raises:
        UnmeasuredError: other images, or ratios without a logarithm.

    Source: M. H. Quenouille, Biometrika 43 (1956) 353-360, for the jackknife.
    """
    pairs = [*zip(arm.samples, control.samples, strict=False), (arm.value or 0.0, control.value or 0.0)]
    if len(arm.samples) != len(control.samples) or min(map(min, pairs)) <= 0:
        raise UnmeasuredError(f"{arm.name}: other images, or no signal in some", "the same data for both, with --fresh")
    *logs, whole = [math.log(x / y) for x, y in pairs]
    if max(map(abs, logs)) < SAME:
        return Exact(0.0)
    if arm.name == "pooled_snr":
        logs = [len(logs) * whole - (len(logs) - 1) * without for without in logs]
    return estimate_mean(logs, "images")


def _say(name: str) -> str:
    """A figure's name as words, without its unit."""
    name = name.removeprefix("n_")
    return (name[:-2] if name.endswith(("_s", "_j")) else name.removesuffix("_bytes")).replace("_", " ")


def _say_counts(metric: str, counts: dict[str, float]) -> str:
    return f"{_say(metric)}: " + ", ".join(f"{name} {format_count(value)}" for name, value in counts.items())


FINDERS: dict[str, Callable[..., Finding]] = {
    "reaches": find_reaches,
    "above": find_above,
    "non_inferior": find_non_inferior,
    "ratio": find_ratio,
    "ordered": find_ordered,
    "paired": find_paired,
    "structure": find_structure,
}


def find(claim: Claim, evidence: Evidence, alpha: float) -> Finding:
    """What the store holds for and against the claim.

    Raises:
        UnmeasuredError: nothing.
        StoreError, DataError: a file is damaged.
    """
    finding: Finding = FINDERS[claim.kind](claim, evidence, alpha)
    return finding
