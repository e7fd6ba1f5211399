"""Sentences about claims, rendered from their verdicts: what the report says cannot drift from what was found."""

from dlmi_reports.claims.verdicts import Judgement, Verdict, Verdicts
from dlmi_reports.structure import Table


def describe_family(verdicts: Verdicts) -> str:
    """How many of which, and how they were corrected."""
    counts = ", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in Verdict)
    return (
        f"{len(verdicts.judgements)} claims: {counts}. {verdicts.n_tested} of them are tests and were corrected "
        f"together (Holm): the probability of any wrong SUPPORTED or REFUTED is at most {verdicts.alpha:.0%}. "
        f"Intervals are {1 - verdicts.alpha:.0%}, each for itself."
    )


def describe_judgement(judgement: Judgement, verdicts: Verdicts) -> str:
    """The claim's sentence where it holds; where it does not, that, why, and what holds instead."""
    claim = judgement.claim
    mark = "SYNTHETIC DATA: " if judgement.is_synthetic else ""
    evidence = "; ".join(judgement.evidence)
    if judgement.verdict is Verdict.supported:
        return f"{mark}{claim.sentence} ({evidence}.)"
    if judgement.verdict is Verdict.refuted:
        return f"{mark}Refuted: “{claim.sentence}” ({evidence}.){_describe_nearest(judgement, verdicts)}"
    if judgement.verdict is Verdict.inconclusive:
        return f"{mark}Open: “{claim.sentence}” ({evidence}.) {_capitalise(judgement.decides)}."
    return f"{mark}Not measured: “{claim.sentence}” ({evidence}.) {_describe_remedy(judgement, verdicts)}"


def _describe_nearest(judgement: Judgement, verdicts: Verdicts) -> str:
    if not judgement.claim.nearest:
        return ""
    nearest = verdicts.get(judgement.claim.nearest)
    if nearest.verdict is Verdict.supported:
        return f" What holds: {nearest.claim.sentence}"
    return f" The nearest claim, {nearest.claim.id}, is {nearest.verdict} itself."


def _describe_remedy(judgement: Judgement, verdicts: Verdicts) -> str:
    said = [f"To measure it: {judgement.decides}."]
    if name := judgement.claim.beside:
        said.append(f"Read beside it: {name}, {verdicts.get(name).verdict}.")
    return " ".join(said)


def _capitalise(text: str) -> str:
    return text[:1].upper() + text[1:]


def describe_next(judgement: Judgement, verdicts: Verdicts) -> str:
    """What to do about a claim that is not supported."""
    if judgement.verdict is Verdict.refuted:
        return _describe_nearest(judgement, verdicts).strip()
    return _describe_remedy(judgement, verdicts) if judgement.verdict is Verdict.not_measured else judgement.decides


def describe_evidence(judgement: Judgement) -> str:
    """The comparison on which the verdict hangs, and how many more there are."""
    comparisons = judgement.finding.comparisons if judgement.finding else ()
    side = (lambda i: comparisons[i].p[1]) if judgement.verdict is Verdict.refuted else (lambda i: -comparisons[i].p[0])
    found = judgement.evidence[min(range(len(comparisons)), key=side, default=0)]
    n_more = len(judgement.evidence) - 1
    mark = "SYNTHETIC DATA: " if judgement.is_synthetic else ""
    return f"{mark}{found}" + (f"; {n_more} more below" if n_more else "")


def make_claim_table(verdicts: Verdicts) -> Table:
    """One row per claim."""
    rows = [
        [j.claim.id, j.verdict.value, j.claim.sentence, describe_evidence(j), describe_next(j, verdicts)]
        for j in verdicts.judgements
    ]
    caption = (
        "REFUTED means that the interval leaves the claim out; INCONCLUSIVE that it does not tell. Of several "
        "comparisons the one that decides is shown; all of them, and each claim's origin, are in the words below."
    )
    return Table("Verdicts", caption, ["claim", "verdict", "claimed", "evidence", "what would decide it"], rows)


def list_sentences(verdicts: Verdicts) -> list[str]:
    """Every claim in words, with all of its evidence, Holm's p-value where it is a test, and its origin."""
    return [
        f"{j.claim.id}: {describe_judgement(j, verdicts)}"
        + ("" if j.p is None else f" Holm's p {j.p:.2g}.")
        + f" Traced to: {j.claim.source}."
        for j in verdicts.judgements
    ]
