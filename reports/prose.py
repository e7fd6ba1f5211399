"""Sentences about claims, rendered from their verdicts: what the report says cannot drift from what was found."""

from reports.claims import Judgement, Verdict, Verdicts
from reports.tables import Table


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


def make_claim_table(verdicts: Verdicts) -> Table:
    """One row per claim."""
    rows = [
        [
            j.claim.id,
            j.verdict.value,
            ("SYNTHETIC DATA: " if j.is_synthetic else "") + "; ".join(j.evidence),
            "" if j.p is None else f"{j.p:.2g}",
            describe_next(j, verdicts),
            j.claim.source,
        ]
        for j in verdicts.judgements
    ]
    caption = (
        "REFUTED means that the interval leaves the claim out; INCONCLUSIVE that it does not tell. The p-value is "
        "Holm's, for the side on which the estimate lies; counts are exact and need none."
    )
    return Table("Verdicts", caption, ["claim", "verdict", "evidence", "p", "what next", "traced to"], rows)


def list_sentences(verdicts: Verdicts) -> list[str]:
    """The family, then every claim that was measured; the others are in the table."""
    measured = [j for j in verdicts.judgements if j.verdict is not Verdict.not_measured]
    said = [describe_judgement(j, verdicts) for j in measured]
    n_missing = len(verdicts.judgements) - len(measured)
    more = (
        [f"{n_missing} claims are not measured by this store; the table names what measures them."] if n_missing else []
    )
    return [describe_family(verdicts), *said, *more]
