"""Seeds are added look by look until every claim is decided, futile, or out of time."""

import time
from collections.abc import Callable
from statistics import fmean

from dlmi_bench.deciding.allocation import OpenClaim, choose_cells
from dlmi_bench.deciding.arms import Arm, list_arms, select_decidable
from dlmi_bench.deciding.limits import Limits, check_looks
from dlmi_bench.deciding.text import describe_look
from dlmi_bench.instruments.host.kinds import is_here
from dlmi_bench.records import Cell
from dlmi_bench.store import Store
from dlmi_bench.suite.display import Display
from dlmi_bench.suite.outcome import Outcome
from dlmi_bench.suite.runner import Runner
from dlmi_bench.suite.suites import Suite
from dlmi_reports.claims.file import ClaimFile
from dlmi_reports.claims.looks import FUTILE
from dlmi_reports.claims.predicate import OnTask
from dlmi_reports.claims.verdicts import ClaimVerdict, Verdicts, choose_claims, judge_claims
from dlmi_reports.results.load import Results, load_results

FIRST_CHANCE = 0.5  # that the first look decides a claim, of which nothing is known before


def decide_stored(runner: Runner, store: Store, suite: Suite, limits: Limits, display: Display) -> Outcome:
    """Decide the claims of a folder of results, by the suite's seeds first; nothing where there are no results.

    Raises:
        UsageError: the claims have no looks.
    """
    if not any(attempt.record for attempt in store.current().values()):
        return Outcome()
    file = choose_claims(load_results(store))
    check_looks(file)
    return decide(runner, store, file, limits, display, n_first=suite.n_seeds)


def decide(
    runner: Runner,
    store: Store,
    file: ClaimFile,
    limits: Limits,
    display: Display,
    *,
    n_first: int,
    clock: Callable[[], float] = time.monotonic,
) -> Outcome:
    """Train what the claims need, until the budget ends: `n_first` seeds of each model, then more where they decide.

    Everything is in the store, so the same call resumes an interrupted one.
    """
    claims, outcome = select_decidable(file, limits.allowed), Outcome()
    tasks = dict.fromkeys(name for claim in file.claim for name in claim.list_population("task"))
    outcome.add(runner.compute_references(tasks, display))
    deadline_s = clock() + limits.budget_s
    tried: set[Cell] = set()
    while True:
        results = load_results(store)
        verdicts = judge_claims(file, results)
        counts, times = count_seeds(results), estimate_times(results)
        waiting = list_open(verdicts, claims, counts, limits.max_seeds, n_first)
        display.say(describe_look(verdicts, waiting))
        training_s = {arm: times.get(arm) or arm.typical_s for claim in waiting for arm in claim.arms}
        able = [c for c in waiting if not tried.issuperset(c.list_missing(c.next_look, counts))]
        chosen = choose_cells(able, counts, training_s, runner.count_places())
        todo = [cell for cell in chosen if cell not in tried]  # one that failed is not tried for ever
        if not todo or clock() >= deadline_s:
            return outcome
        tried |= set(todo)
        outcome.add(runner.train(todo, display, deadline_s=deadline_s))


def list_open(
    verdicts: Verdicts, claims: dict[str, OnTask], counts: dict[Arm, int], max_seeds: int, n_first: int
) -> list[OpenClaim]:
    """List the claims that more seeds may decide: before their first look, or open, not futile, with a look to come."""
    found = []
    for name, claim in claims.items():
        judged, arms = verdicts.get(name), list_arms(claim)
        n_seeds, is_primary = min(counts.get(arm, 0) for arm in arms), claim.role == "primary"
        if n_seeds < min(n_first, max_seeds):
            found.append(OpenClaim(name, arms, n_seeds, {min(n_first, max_seeds): FIRST_CHANCE}, is_primary))
        elif judged.verdict is ClaimVerdict.inconclusive and not verdicts.is_settled(judged):
            chances = {n: chance for n, chance in judged.chances if n <= max_seeds}
            if max(chances.values(), default=0.0) >= FUTILE:
                found.append(OpenClaim(name, arms, n_seeds, chances, is_primary))
    return found


def count_seeds(results: Results) -> dict[Arm, int]:
    """Count the seeds of each model on each task, all folds of each done."""
    return {
        Arm(name, model): len(found.repeats)
        for name, task in results.tasks.items()
        for model, found in task.models.items()
    }


def estimate_times(results: Results) -> dict[Arm, float]:
    """Estimate the time of a training of each model [s], by those that were done: on this kind of machine, if any."""
    times: dict[bool, dict[Arm, list[float]]] = {False: {}, True: {}}
    for record in results.records:
        took_s = record.provenance.get("took_s")
        if record.cell.kind == "train" and isinstance(took_s, int | float):
            arm = Arm(record.cell.task, record.cell.model)
            times[is_here(record.provenance)].setdefault(arm, []).append(float(took_s))
    elsewhere, here = ({arm: fmean(found) for arm, found in times[is_own].items()} for is_own in (False, True))
    return elsewhere | here
