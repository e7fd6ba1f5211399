"""Text about claims, rendered from their verdicts, so that it always agrees with what was found."""

from textwrap import wrap

from dlmi_bench.units import clean_line, format_share
from dlmi_reports.claims.file import NAME
from dlmi_reports.claims.verdicts import ClaimVerdict, Judgement, Verdicts
from dlmi_reports.structure import Table

WIDTH = 80  # columns
VERDICT_WIDTH = 14
NO_CLAIMS = (
    "No claims were stated for these tasks; write them in a TOML file and judge them with dlmi-bench claims --file, or "
    f"keep it as {NAME} in the folder of the results."
)


def format_verdicts(verdicts: Verdicts) -> str:
    """Write each claim as plain text: its verdict and name, the evidence, and what to do next."""
    indent, lines = " " * VERDICT_WIDTH, []
    for judgement in verdicts.judgements:
        mark = " (SYNTHETIC DATA)" if judgement.is_synthetic else ""
        lines.append(f"{judgement.verdict.value:<{VERDICT_WIDTH}}{judgement.claim.id}{mark}")
        for text in (*judgement.evidence, _describe_next(judgement, verdicts)):
            lines += wrap(clean_line(text), WIDTH, initial_indent=indent, subsequent_indent=indent + "  ")
    return "\n".join([*lines, *([""] if lines else []), *wrap(describe_family(verdicts), WIDTH)])


def describe_family(verdicts: Verdicts) -> str:
    """Count the verdicts, and say how the claims were corrected."""
    if not verdicts.judgements:
        return NO_CLAIMS
    counts = ", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in ClaimVerdict)
    return (
        f"{len(verdicts.judgements)} claims: {counts}. Tests: {verdicts.n_tested}, corrected together "
        f"(Holm): the probability of any wrong SUPPORTED or REFUTED is at most {format_share(verdicts.alpha)}. "
        f"Brackets hold {format_share(1 - verdicts.alpha)} intervals, which are not corrected."
    )


def describe_judgement(judgement: Judgement, verdicts: Verdicts) -> str:
    """Write the claim's sentence if it holds; if not, the verdict, the reason, and what holds instead."""
    claim = judgement.claim
    mark = "SYNTHETIC DATA: " if judgement.is_synthetic else ""
    evidence = "; ".join(judgement.evidence)
    if judgement.verdict is ClaimVerdict.supported:
        return f"{mark}{claim.sentence} ({evidence}.)"
    if judgement.verdict is ClaimVerdict.refuted:
        return f"{mark}Refuted: “{claim.sentence}” ({evidence}.) {_describe_nearest(judgement, verdicts)}".rstrip()
    if judgement.verdict is ClaimVerdict.inconclusive:
        return f"{mark}Open: “{claim.sentence}” ({evidence}.) {judgement.decides[:1].upper()}{judgement.decides[1:]}."
    return f"{mark}Not measured: “{claim.sentence}” ({evidence}.) {_describe_remedy(judgement, verdicts)}"


def _describe_nearest(judgement: Judgement, verdicts: Verdicts) -> str:
    if not judgement.claim.nearest:
        return ""
    nearest = verdicts.get(judgement.claim.nearest)
    if nearest.verdict is ClaimVerdict.supported:
        return f"What holds: {nearest.claim.sentence}"
    return f"The nearest claim, {nearest.claim.id}, is {nearest.verdict} itself."


def _describe_remedy(judgement: Judgement, verdicts: Verdicts) -> str:
    said = [f"To measure it: {judgement.decides}."]
    if name := judgement.claim.beside:
        said.append(f"See also {name}, {verdicts.get(name).verdict}.")
    return " ".join(said)


def _describe_next(judgement: Judgement, verdicts: Verdicts) -> str:
    """Say what to do about a claim that is not supported."""
    if judgement.verdict is ClaimVerdict.refuted:
        return _describe_nearest(judgement, verdicts)
    return (
        _describe_remedy(judgement, verdicts) if judgement.verdict is ClaimVerdict.not_measured else judgement.decides
    )


def describe_evidence(judgement: Judgement) -> str:
    """Write the comparison that decides the verdict, and count the others."""
    comparisons = judgement.finding.comparisons if judgement.finding else ()
    side = (
        (lambda i: comparisons[i].p[1])
        if judgement.verdict is ClaimVerdict.refuted
        else (lambda i: -comparisons[i].p[0])
    )
    found = judgement.evidence[min(range(len(comparisons)), key=side, default=0)]
    n_more = len(judgement.evidence) - 1
    mark = "SYNTHETIC DATA: " if judgement.is_synthetic else ""
    return f"{mark}{found}" + (f"; {n_more} more below" if n_more else "")


def make_claim_table(verdicts: Verdicts) -> Table:
    """One row per claim."""
    rows = [
        [j.claim.id, j.verdict.value, j.claim.sentence, describe_evidence(j), _describe_next(j, verdicts)]
        for j in verdicts.judgements
    ]
    caption = (
        "REFUTED: the data contradict the claim. INCONCLUSIVE: the data neither support nor contradict it. If a claim "
        "has several comparisons, the table shows the one that decides; the text below lists all of them, and the "
        "source of each claim."
    )
    return Table("Verdicts", caption, ["claim", "verdict", "claimed", "evidence", "what would decide it"], rows)


def list_sentences(verdicts: Verdicts) -> list[str]:
    """Write every claim in words, with all of its evidence, Holm's p-value if it is a test, and its source."""
    return [
        f"{j.claim.id}: {describe_judgement(j, verdicts)}"
        + ("" if j.p is None else f" Holm's p {j.p:.2g}.")
        + f" Source: {j.claim.source}."
        for j in verdicts.judgements
    ]
