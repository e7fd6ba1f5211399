"""Studies of several claims, looked at while seeds are added: how often they err and decide, and the seeds they take.

A study errs where any claim of its family is SUPPORTED or REFUTED wrongly when it ends. At a truth exactly on the limit
either is wrong.
"""

import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Any

import numpy as np

from dlmi_bench.selftest.experiments import (
    ACCURACIES,
    ARM,
    EPOCHS,
    MOST,
    PLAIN,
    RIVAL,
    TASK,
    Outcome,
    Setting,
    draw_evidence,
    follow_all,
    run_study,
)
from dlmi_bench.selftest.rows import ALPHA, Row, make_mean, make_share
from dlmi_bench.stats.looks import LOOKS
from dlmi_reports.claims.comparisons import Finding
from dlmi_reports.claims.file import ClaimFile
from dlmi_reports.claims.looks import Course
from dlmi_reports.claims.verdicts import judge_courses

N_STUDIES = 1000
POWER = 0.8  # as studies are planned
SEEDS = 0.5  # of the fixed design
PRIMARY = ("above", "close", "better")


@dataclass(frozen=True)
class Scenario:
    """Studies alike.

    Attributes:
        effects: Truth less limit by claim, an accuracy or the log of a ratio; other claims are not made.
    """

    name: str
    effects: Mapping[str, float]
    n_studies: int = N_STUDIES
    setting: Setting = field(default_factory=Setting)


EFFECTS = {"above": 0.02, "close": 0.015, "better": 0.015, "faster": 0.2, "behind": 0.015, "rival": 0.02}
AT_LIMIT = dict.fromkeys(EFFECTS, 0.0)
NULL = Scenario("six claims at their limits", AT_LIMIT)
ONE = Scenario("one claim at its limit", {"faster": 0.0})
DIGITS = Scenario("six at their limits, 2 007 examples", AT_LIMIT, 200, Setting(2007, 0.004))
SOME = Scenario("two of six claims true", AT_LIMIT | {"above": 0.03, "close": -0.005, "faster": 0.15})
TRUE = Scenario("six true claims, 2 007 examples", EFFECTS, 500, Setting(2007, 0.006))


def make_file(effects: Mapping[str, float], *, is_two_group: bool = False) -> ClaimFile:
    """Make six claims of four kinds whose truths lie `effects` above their limits."""
    e = AT_LIMIT | dict(effects)
    rows: dict[str, dict[str, Any]] = {
        "above": {"kind": "above", "model": PLAIN, "value": ACCURACIES[PLAIN] - e["above"]},
        "close": {"kind": "non_inferior", "model": PLAIN, "against": [RIVAL], "margin": 0.01 + e["close"]},
        "better": {"kind": "paired", "model": ARM, "control_model": PLAIN, "margin": 0.02 - e["better"]},
        "faster": {
            "kind": "paired",
            "model": ARM,
            "control_model": PLAIN,
            "effect": "ratio",
            "metric": "epochs_to_target",
            "factor": EPOCHS[PLAIN] / EPOCHS[ARM] * math.exp(-e["faster"]),
        },
        "behind": {"kind": "non_inferior", "model": RIVAL, "against": [ARM], "margin": 0.01 + e["behind"]},
        "rival": {"kind": "above", "model": RIVAL, "value": ACCURACIES[RIVAL] - e["rival"]},
    }
    claims = [
        {"id": name, "sentence": "It is so.", "source": "simulation", "task": TASK}
        | row
        | {"role": "primary" if name in PRIMARY or not is_two_group else "secondary"}
        for name, row in rows.items()
        if name in effects
    ]
    return ClaimFile.model_validate({"alpha": ALPHA, "looks": list(LOOKS), "claim": claims})


@dataclass(frozen=True)
class Ended:
    """A study when it ended, by the graph of its family, and what the same seeds say if all were planned."""

    holm: Outcome
    two_group: Outcome
    planned: Outcome


def simulate(scenario: Scenario, n_studies: int) -> list[Ended]:
    """Run the studies of a scenario, on the same draws every time."""
    rng = np.random.default_rng(zlib.crc32(scenario.name.encode()))
    return [run_one(rng, scenario) for _ in range(n_studies)]


def run_one(rng: np.random.Generator, scenario: Scenario) -> Ended:
    file, grouped = (make_file(scenario.effects, is_two_group=two) for two in (False, True))
    evidence = draw_evidence(rng, scenario.setting)
    courses = follow_all(file, evidence)
    planned = {name: Course((replace(course.last, share=1.0),)) for name, course in courses.items()}
    return Ended(run_study(file, courses), run_study(grouped, courses), run_study(file, planned))


def has_error(outcome: Outcome, effects: Mapping[str, float]) -> bool:
    """Tell whether any verdict says what is not so."""
    decided = {name: test.side for name, test in outcome.tests.items() if test.is_decided}
    return any(effects[name] >= 0 if side else effects[name] <= 0 for name, side in decided.items())


def holds(finding: Finding, effect: float, alpha: float) -> bool:
    """Tell whether the intervals at this level hold the truth."""
    bounds = [(c.estimate.compute_interval(alpha), c.threshold + effect) for c in finding.comparisons]
    return all(lo <= truth <= hi for (lo, hi), truth in bounds)


def hold_intervals(outcome: Outcome, effects: Mapping[str, float]) -> list[bool]:
    """Tell of each claim whether the interval that is printed, when the study ended, holds the truth."""
    judged = judge_courses(outcome.file, outcome.courses).judgements
    return [holds(j.finding, effects[j.claim.id], j.alpha) for j in judged if j.finding]


def hold_bounds(outcome: Outcome, effects: Mapping[str, float]) -> list[bool]:
    """Tell the same of the bounds that are printed of open claims, here of all, which are to hold together."""
    looks = {name: course.find_narrowest(ALPHA) for name, course in outcome.courses.items()}
    n_compared = sum(len(look.finding.comparisons) for look in looks.values())
    return [holds(look.finding, effects[name], ALPHA / n_compared * look.share) for name, look in looks.items()]


def check_errors(scenario: Scenario, ended: Sequence[Ended]) -> Iterator[Row]:
    """Wrong verdicts anywhere in a family."""
    for graph, outcomes in (("Holm", [e.holm for e in ended]), ("two groups", [e.two_group for e in ended])):
        wrong = [has_error(outcome, scenario.effects) for outcome in outcomes]
        yield make_share("studies", f"any wrong verdict, {graph}: {scenario.name}", wrong, lowest=0.0, highest=ALPHA)


def check_intervals(scenario: Scenario, ended: Sequence[Ended]) -> Iterator[Row]:
    """Intervals that hold the truth after stopping: each that is printed, and the bounds of all claims together."""
    shares = [fmean(hold_intervals(e.holm, scenario.effects)) for e in ended]
    yield make_mean("studies", f"intervals after stopping hold the truth: {scenario.name}", shares, lowest=1 - ALPHA)
    together = [all(hold_bounds(e.holm, scenario.effects)) for e in ended]
    yield make_share("studies", f"all bounds of a study hold: {scenario.name}", together, lowest=1 - ALPHA)


def check_effort(scenario: Scenario, ended: Sequence[Ended]) -> Iterator[Row]:
    """True claims that are supported, the seeds that this takes, and what all seeds at once would say."""
    graphs = {
        "Holm": [e.holm for e in ended],
        "two groups": [e.two_group for e in ended],
        f"{MOST} planned seeds": [e.planned for e in ended],
    }
    for graph, outcomes in graphs.items():
        power = [fmean(t.is_decided and t.side == 0 for t in outcome.tests.values()) for outcome in outcomes]
        yield make_mean("studies", f"true claims supported, {graph}: {scenario.name}", power, lowest=POWER)
    seeds = [fmean(e.holm.counts.values()) / MOST for e in ended]
    yield make_mean("studies", f"seeds, as a share of {MOST}: {scenario.name}", seeds, lowest=0.0, highest=SEEDS)


def check_limits(n_studies: int | None = None) -> Iterator[Row]:
    """Studies with claims at their limits: all, one, or some; of a few hundred examples and of 2 007."""
    for scenario in (NULL, ONE, DIGITS, SOME):
        ended = simulate(scenario, n_studies or scenario.n_studies)
        yield from check_errors(scenario, ended)
        yield from check_intervals(scenario, ended)


def check_effects(n_studies: int | None = None) -> Iterator[Row]:
    """Studies with true claims of realistic size."""
    ended = simulate(TRUE, n_studies or TRUE.n_studies)
    yield from check_errors(TRUE, ended)
    yield from check_intervals(TRUE, ended)
    yield from check_effort(TRUE, ended)
