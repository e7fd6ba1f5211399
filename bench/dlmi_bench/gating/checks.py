"""Checks that need no clock: exact costs on any machine, and accuracy on the same test examples."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from dlmi_bench.gating.accuracy.convergence import Effort
from dlmi_bench.gating.accuracy.decision import AccuracyVerdict, Limits, judge_convergence, judge_recipe, judge_weights
from dlmi_bench.gating.accuracy.evidence import ExampleSet, PredictedClasses, Runs
from dlmi_bench.gating.growth import Growth
from dlmi_bench.gating.settings import AllowedGrowth, Settings
from dlmi_bench.gating.sides.baseline import Entry, Predictions, Training
from dlmi_bench.gating.sides.candidate import Candidate
from dlmi_bench.gating.verdicts import Decision, Verdict, judge_closed
from dlmi_tasks import get_task


def check_costs(entry: Entry, candidate: Candidate, settings: Settings) -> list[Decision]:
    """Compare exact costs: one decision for the counts, which must not grow, one for the operators.

    A count that grows within the allowance of the settings passes, with the reason in the notes.
    """
    before, now = entry.costs, candidate.costs
    missing = sorted(set(before) ^ set(now))
    if missing:
        why = f"on one side only: {', '.join(missing)}"
        counts = Decision(f"{entry.name} counts", Verdict.INCOMPARABLE, why)
    else:
        growths = [Growth(name, before[name], now[name], settings.find_growth(entry.name, name)) for name in before]
        counts = _check_counts(entry.name, growths)
    return [counts, _check_operators(entry, candidate, settings.find_growth(entry.name, "n_operators"))]


def _check_counts(name: str, growths: list[Growth]) -> Decision:
    changed = [growth for growth in growths if growth.now != growth.before]
    if not all(growth.is_within for growth in growths):
        verdict = Verdict.REGRESSED
    elif any(growth.now > growth.before for growth in growths):
        verdict = Verdict.PASS
    else:
        verdict = Verdict.IMPROVED if changed else Verdict.SAME
    why = "; ".join(g.describe() for g in changed) or ", ".join(f"{g.name} {g.now}" for g in growths)
    notes = tuple(note for growth in growths for note in growth.describe_allowance(is_used=growth.now > growth.before))
    return Decision(f"{name} counts", verdict, why, notes=notes)


def _check_operators(entry: Entry, candidate: Candidate, allowed: AllowedGrowth | None) -> Decision:
    """Compare the operators. A changed graph may be as fast, but it needs a new baseline or an allowance to pass."""
    names = sorted({*entry.operators, *candidate.operators})
    pairs = [(name, entry.operators.get(name, 0), candidate.operators.get(name, 0)) for name in names]
    changes = [f"{name} {old} -> {new}" for name, old, new in pairs if old != new]
    total = Growth("n_operators", sum(entry.operators.values()), sum(candidate.operators.values()), allowed)
    notes = total.describe_allowance(is_used=bool(changes) and total.now >= total.before)
    if not changes:
        return Decision(f"{entry.name} operators", Verdict.SAME, f"{total.now} operators, unchanged", notes=notes)
    if total.now < total.before:
        verdict = Verdict.IMPROVED
    else:
        verdict = Verdict.PASS if allowed and total.is_within else Verdict.REGRESSED
        changes += [total.describe()] if allowed and not total.is_within else []
    return Decision(f"{entry.name} operators", verdict, "; ".join(changes), notes=notes)


def check_accuracy(
    entry: Entry, candidate: Candidate, predictions: Mapping[int, Predictions], settings: Settings
) -> Decision:
    """Judge accuracy: the same weights paired over examples, a retrained recipe over seeds and examples. Fails closed.

    Args:
        predictions: The baseline's classes of the test examples, by seed.
    """
    is_pair = candidate.has_same_weights and len(candidate.predictions) < 2
    margin = settings.find_margin(entry.name, is_recipe=not is_pair)

    def judge() -> Decision:
        limits = Limits(margin=margin)
        if is_pair:
            verdict = _judge_weights(entry, candidate, predictions, limits)
        else:
            verdict = _judge_recipe(entry, candidate, predictions, limits)
        return _to_decision(entry.name, verdict, margin)

    return replace(judge_closed(entry.name, judge), name=f"{entry.name} {'same weights' if is_pair else 'recipe'}")


def _make_examples(sha256: Mapping[str, str], n: int) -> ExampleSet:
    return ExampleSet(sha256["test_images"], sha256["test_labels"], n)


def _judge_weights(
    entry: Entry, candidate: Candidate, predictions: Mapping[int, Predictions], limits: Limits
) -> AccuracyVerdict:
    first = entry.trainings[0].seed
    before, now = predictions[first], next(iter(candidate.predictions.values()))
    labels, n_classes = _load_labels(entry, candidate)
    return judge_weights(
        PredictedClasses(_make_examples(entry.data_sha256, len(before)), before),
        PredictedClasses(_make_examples(candidate.data_sha256, len(now)), now),
        labels,
        n_classes,
        limits,
    )


def _load_labels(entry: Entry, candidate: Candidate) -> tuple[NDArray[np.int64], int]:
    if candidate.labels is not None:
        return candidate.labels, candidate.n_classes
    task = get_task(entry.task)
    return task.load().test.labels, task.n_classes


def _judge_recipe(
    entry: Entry, candidate: Candidate, predictions: Mapping[int, Predictions], limits: Limits
) -> AccuracyVerdict:
    labels, _ = _load_labels(entry, candidate)
    sides = [(entry.data_sha256, predictions, tuple(predictions)),
             (candidate.data_sha256, candidate.predictions, candidate.declared_seeds)]  # fmt: skip
    runs = [
        Runs(
            _make_examples(sha256, max(len(classes) for classes in by_seed.values())),
            declared,
            {seed: _compare(classes, labels) for seed, classes in by_seed.items()},
        )
        for sha256, by_seed, declared in sides
    ]
    verdict = judge_recipe(runs[0], runs[1], limits)
    if verdict.verdict in (Verdict.PASS, Verdict.IMPROVED):
        speed = judge_convergence(_list_efforts(entry.trainings), _list_efforts(candidate.trainings), limits)
        return speed if speed.verdict is Verdict.SUSPICIOUS_IMPROVEMENT else verdict
    return verdict


def _compare(classes: Predictions, labels: NDArray[np.int64]) -> Predictions:
    """Correctness, (example,); an array of another length is returned as it is, to be refused for its shape."""
    return (classes == labels).astype(np.uint8) if classes.shape == labels.shape else classes


def _list_efforts(trainings: tuple[Training, ...]) -> list[Effort]:
    return [Effort(t.epochs_to_target or t.n_epochs or 0, t.epochs_to_target is not None) for t in trainings]


def _to_decision(name: str, verdict: AccuracyVerdict, margin: float) -> Decision:
    found = verdict.difference
    decision = Decision(name, verdict.verdict, verdict.reason, tau=margin)
    return replace(decision, estimate=found.value, lo=found.lo, hi=found.hi) if found else decision
