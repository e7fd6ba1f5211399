"""The answer of a report: what stands first on the page, in the summary and on the terminal."""

from collections.abc import Sequence

from dlmi_reports.answers.pairs import describe_pairs, list_pairs
from dlmi_reports.claims.changes import LockedVerdicts
from dlmi_reports.claims.prose import describe_family, describe_next
from dlmi_reports.claims.verdicts import ClaimVerdict, Judgement, Verdicts
from dlmi_reports.front.best import list_best
from dlmi_reports.front.standing import list_standings
from dlmi_reports.results.load import Results
from dlmi_reports.structure import STATES, Answer, Chip, ClaimGroup, ClaimLine

N_SENTENCES = 3


def make_answer(verdicts: LockedVerdicts, results: Results) -> Answer:
    """Make the answer from the verdicts; without claims it is empty."""
    groups = [
        ClaimGroup(
            family.family.title or "Claims",
            count_states(family.judgements, verdicts),
            [_make_line(judged, verdicts) for judged in family.judgements],
            any(judged.is_synthetic for judged in family.judgements),
            describe_family(family, verdicts) if family.n_tested else "",
        )
        for family in verdicts.families
    ]
    standings = list_standings(verdicts, results)
    sentences = [standing.describe() for standing in standings]
    sentences += list_best(results, {standing.task for standing in standings})
    if any(task.is_reported for task in results.tasks.values()):
        sentences.append(" ".join(describe_pairs(list_pairs(verdicts))))
    return Answer([*filter(None, sentences)][:N_SENTENCES], count_states(verdicts.judgements, verdicts), groups)


def find_state(judged: Judgement, verdicts: Verdicts) -> str:
    """Find the state of a claim, a key of STATES: its verdict, or that it is open and makes no difference."""
    if judged.verdict is ClaimVerdict.inconclusive:
        return "equivalent" if verdicts.is_settled(judged) else "open"
    names = {ClaimVerdict.supported: "supported", ClaimVerdict.refuted: "refuted"}
    return names.get(judged.verdict, "unmeasured")


def count_states(judgements: Sequence[Judgement], verdicts: Verdicts) -> list[Chip]:
    """Count the claims in each state that any is in."""
    found = [find_state(judged, verdicts) for judged in judgements]
    return [Chip(state, found.count(state)) for state in STATES if state in found]


def _make_line(judged: Judgement, verdicts: LockedVerdicts) -> ClaimLine:
    return ClaimLine(
        judged.claim.id,
        find_state(judged, verdicts),
        judged.verdict.value,
        judged.claim.sentence,
        [*verdicts.lock.notes.get(judged.claim.id, ()), *judged.evidence],
        describe_next(judged, verdicts),
        judged.claim.source,
        judged.claim.role == "primary",
        judged.is_synthetic,
    )
