"""Seeds are added look by look until every claim is decided, futile, or out of time."""

import time
from collections.abc import Callable
from statistics import fmean

from dlmi_bench.deciding.allocation import OpenClaim, choose_cells
from dlmi_bench.deciding.arms import Arm, list_arms, list_first_cells, select_decidable
from dlmi_bench.deciding.limits import Limits, check_looks
from dlmi_bench.deciding.text import describe_look
from dlmi_bench.instruments.pinning import list_cpus
from dlmi_bench.records import Cell
from dlmi_bench.store import Store
from dlmi_bench.suite.display import Display
from dlmi_bench.suite.runner import Outcome, Runner
from dlmi_bench.suite.suites import Suite
from dlmi_reports.claims.file import ClaimFile
from dlmi_reports.claims.looks import FUTILE
from dlmi_reports.claims.predicate import OnTask
from dlmi_reports.claims.verdicts import ClaimVerdict, Verdicts, choose_claims, judge_claims
from dlmi_reports.results.load import Results, load_results

USUAL_S = 5.0  # of a training of which none was timed


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
    """Train what the claims need, `n_first` seeds of each model first, then more where they decide.

    Everything is in the store, so the same call resumes an interrupted one.
    """
    claims, outcome = select_decidable(file, limits.allowed), Outcome()
    tasks = dict.fromkeys(name for claim in file.claim for name in claim.list_population("task"))
    outcome.add(runner.compute_references(tasks, display))
    outcome.add(runner.train(list_first_cells(claims, n_first), display))
    deadline_s = clock() + limits.budget_s
    tried: set[Cell] = set()
    while True:
        results = load_results(store)
        verdicts = judge_claims(file, results)
        counts, times = count_seeds(results), estimate_times(results)
        waiting = list_open(verdicts, claims, counts, limits.max_seeds)
        display.say(describe_look(verdicts, waiting))
        training_s = {arm: times.get(arm, USUAL_S) for claim in waiting for arm in claim.arms}
        able = [c for c in waiting if not tried.issuperset(c.list_missing(c.next_look, counts))]
        chosen = choose_cells(able, counts, training_s, len(list_cpus()) or 1)
        todo = [cell for cell in chosen if cell not in tried]  # one that failed is not tried for ever
        if not todo or clock() >= deadline_s:
            return outcome
        tried |= set(todo)
        outcome.add(runner.train(todo, display, deadline_s=deadline_s))


def list_open(verdicts: Verdicts, claims: dict[str, OnTask], counts: dict[Arm, int], max_seeds: int) -> list[OpenClaim]:
    """List the claims that more seeds may decide: open, not futile, with a look to come."""
    found = []
    for judged in verdicts.judgements:
        claim = claims.get(judged.claim.id)
        chances = {n: chance for n, chance in judged.chances if n <= max_seeds}
        is_worth = max(chances.values(), default=0.0) >= FUTILE
        if claim and judged.verdict is ClaimVerdict.inconclusive and is_worth and not verdicts.is_settled(judged):
            arms = list_arms(claim)
            found.append(OpenClaim(claim.id, arms, min(counts.get(arm, 0) for arm in arms), chances))
    return found


def count_seeds(results: Results) -> dict[Arm, int]:
    """Count the seeds of each model on each task, all folds of each done."""
    return {
        Arm(name, model): len(found.repeats)
        for name, task in results.tasks.items()
        for model, found in task.models.items()
    }


def estimate_times(results: Results) -> dict[Arm, float]:
    """Estimate the time of a training of each model [s], by those that were done."""
    times: dict[Arm, list[float]] = {}
    for record in results.records:
        took_s = record.provenance.get("took_s")
        if record.cell.kind == "train" and isinstance(took_s, int | float):
            times.setdefault(Arm(record.cell.task, record.cell.model), []).append(float(took_s))
    return {arm: fmean(found) for arm, found in times.items()}
